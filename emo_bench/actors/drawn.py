"""Tell whether a face looks drawn, painted or carved; the tracker and the metrics are made for photographed people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emo_bench.actors.capture import resize_area
from emo_bench.actors.following import FacePicture
from emo_bench.clip.model import PORTRAITS, ClipModel, find_clip, load_clip, missing_clip

# The small CLIP of portraits takes many photographs for airbrush or digital paintings (its card), so these count as
# photographs here, and pictures in these two styles are not noticed.
PHOTOGRAPHED = ("photo", "black and white photo", "HDR photo", "airbrush painting", "digital painting")
DRAWN = (
    "oil painting", "drawing with a thick black brush", "cartoon", "expressionist painting", "pastel drawing",
    "impressionist painting", "batik print", "fauvist painting", "coloured ink drawing", "pebble picture",
    "red chalk drawing", "sepia etching", "watercolour painting", "pointillist painting", "silverpoint drawing",
    "cubist painting", "wax crayon drawing", "woven tapestry", "woodcut print", "Van Gogh painting",
    "red lacquer painting", "pop art painting", "fresco", "gouache painting", "Japanese woodblock print",
    "weathered engraving", "mosaic", "stained glass window", "wooden statue", "embroidery", "pencil sketch",
    "coloured pencil drawing", "bronze statue", "golden statue", "silver statue", "white marble statue",
    "granite statue", "terracotta statue", "comic book picture",
)  # fmt: skip
PEOPLE = ("a person", "somebody")
# Side of the CLIP's input; it does not reduce pictures by area itself, and noise would look like strokes.
INPUT_PX = 96
# A higher score is that of a drawing. People as they were filmed have 0.04 at most (benchmarks/drawn_faces.py).
MOST_PHOTOGRAPHED = 0.2
NOTE = (
    "to the small CLIP of portraits the face looks drawn, painted or carved: landmarks, head model and metrics are "
    "made for photographed people, so look at the contact sheet"
)


def drawn_note(pictures: Sequence[FacePicture]) -> str | None:
    """Return a sentence if a person's pictures look drawn; None if not, or if the CLIP is not on this machine."""
    if not pictures or missing_clip(PORTRAITS) is not None:
        return None
    scores = drawn_scores([picture.image_rgb_u8 for picture in pictures], load_clip(find_clip(PORTRAITS), "cpu"))
    return NOTE if looks_drawn(scores) else None


def looks_drawn(scores: np.ndarray) -> bool:
    """Judge the scores ``[N, 2]`` of one person's pictures by the mean of both medians."""
    return bool(np.median(scores, axis=0).mean() > MOST_PHOTOGRAPHED)


def drawn_scores(pictures: Sequence[np.ndarray], model: ClipModel) -> np.ndarray:
    """Compute how much nearer pictures are to a drawn style than to a photograph, ``[N, 2]`` in [-2, 2].

    The first column is for the pictures as they are, the second for grey ones: colours of a room resemble those of some
    styles, and strokes stay in grey.

    Args:
        pictures: square pictures ``[S, S, 3]`` uint8 RGB around a face, as in ``FacePicture``.
    """
    small = np.stack([resize_area(picture, INPUT_PX) for picture in pictures])
    grey = np.repeat(np.rint(small @ np.array((0.299, 0.587, 0.114)))[..., None], 3, axis=-1).astype(np.uint8)
    drawn, photographed = (_directions(model, names) for names in (DRAWN, PHOTOGRAPHED))
    columns = []
    for frames in (small, grey):
        embeddings = model.of_frames(frames)
        columns.append((embeddings @ drawn.T).max(axis=1) - (embeddings @ photographed.T).max(axis=1))
    return np.stack(columns, axis=1)


def _directions(model: ClipModel, names: Sequence[str]) -> np.ndarray:
    """Return one unit vector for each name, the mean over :data:`PEOPLE`."""
    captions = [[f"{'an' if name[0] in 'aeio' else 'a'} {name} of {who}" for who in PEOPLE] for name in names]
    means = np.stack([np.mean([model.of_caption(caption) for caption in one], axis=0) for one in captions])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))
