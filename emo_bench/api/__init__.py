"""What ``import emo_bench`` offers: one call for each main job. The commands call the same functions."""
