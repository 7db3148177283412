"""Contact sheets: the tracker's results, for visual inspection."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emo_bench.actors.capture import Capture, resize_area
from emo_bench.errors import UserError
from emo_bench.files import write_bytes

CELL_PX = 256
COLUMNS = 6
CHECKS = 32
LABEL_PX = 18


def contact_sheet(capture: Capture, out_png: Path | str, columns: int = COLUMNS) -> Path:
    """Write a contact sheet with one column per frame.

    The rows show the frame, its landmarks, the UV map, the UV map as a checkerboard over the frame, and the foreground.
    The frames cover the range of the head's yaw: both extremes, and evenly spaced values between them.

    Args:
        capture: any actor.
        out_png: the file to write.
        columns: the number of frames.

    Returns:
        The path written.

    Raises:
        UserError: the file's name does not end with ``.png``.
    """
    from emo_bench.system import opencv as cv2

    out_png = Path(out_png)
    if out_png.suffix.lower() != ".png":
        raise UserError(f"{out_png}: a contact sheet is a PNG; give a name that ends with .png")
    out_png.parent.mkdir(parents=True, exist_ok=True)
    chosen = _spread_over_yaw(capture, columns)
    strips = []
    for i, frame in zip(chosen, capture.frames(chosen), strict=True):
        yaw, pitch = capture.track.yaw_pitch_deg()[i]
        label = f"{capture.name} {i}  yaw {yaw:+.0f} pitch {pitch:+.0f}"
        strips.append(_strip(capture, i, resize_area(frame, CELL_PX), label))
    sheet = np.concatenate(strips, axis=1)
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))
    write_bytes(out_png, encoded.tobytes())
    return out_png


def checkerboard(uv: np.ndarray, checks: int = CHECKS) -> np.ndarray:
    """Draw a UV map ``[S, S, 2]`` as a checkerboard of ``checks`` fields per side, tinted by position: uint8 RGB."""
    u, v = np.moveaxis(uv.astype(np.float32), -1, 0)
    odd = (np.floor(u * checks) + np.floor(v * checks)) % 2
    colour = np.stack((u, v, 1.0 - u), axis=-1) * 0.6 + 0.4
    return (255.0 * colour * np.where(odd, 1.0, 0.35)[..., None]).astype(np.uint8)


def _spread_over_yaw(capture: Capture, count: int) -> list[int]:
    valid = capture.valid_indices
    order = valid[np.argsort(capture.track.yaw_pitch_deg()[valid, 0])]
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(i) for i in order[places]]


def _strip(capture: Capture, i: int, frame: np.ndarray, label: str) -> np.ndarray:
    from emo_bench.system import opencv as cv2

    track = capture.track
    uv, mask = track.uv(i, CELL_PX)
    dotted = frame.copy()
    scale = CELL_PX / track.size_px
    for points, colour in ((track.landmarks478[i], (90, 220, 255)), (track.landmarks68[i], (255, 60, 60))):
        for x, y in points * scale:
            cv2.circle(dotted, (int(x), int(y)), 1, colour, -1)
    flat = np.zeros_like(frame)
    flat[mask] = np.concatenate((uv[mask] * 255, np.zeros((int(mask.sum()), 1))), axis=1).astype(np.uint8)
    laid = frame.copy()
    laid[mask] = (0.55 * frame[mask] + 0.45 * checkerboard(uv)[mask]).astype(np.uint8)
    person = frame.copy()
    person[~track.foreground(i, CELL_PX)] = (0, 160, 0)
    title = np.zeros((LABEL_PX, CELL_PX, 3), dtype=np.uint8)
    cv2.putText(title, label, (4, LABEL_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate((title, frame, dotted, flat, laid, person), axis=0)
