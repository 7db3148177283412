"""TokenFlow (Geyer et al. 2023): a video is edited by a text-to-image network whose tokens flow as the source's do."""
