"""Checks of what works on this machine: each check performs the real operation on a small input."""

import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from emo_bench import assets
from emo_bench.errors import UserError
from emo_bench.system.libraries import missing_library

if TYPE_CHECKING:
    from emo_bench.metrics.batch import FramesU8

# Each of these distributions contains the package cv2; MediaPipe requires the first.
OPENCV_DISTRIBUTIONS = (
    "opencv-contrib-python",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-python-headless",
)


@dataclass(frozen=True)
class Check:
    """One result line: `remedy` is "" if there is nothing to do.

    `required` is False for things that the offline default does not need (a GPU, weights that a fallback replaces).
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True


def run_checks() -> list[Check]:
    """Run all checks, each after those that it depends on; this takes some seconds and uses no network."""
    checks = [
        _guarded("torch", _torch, "pip install torch torchvision"),
        _guarded("GPU", _gpu, "", required=False),
        _guarded("video encoder", _video_encoder, "pip install --force-reinstall av"),
        _guarded("OpenCV", _opencv, "pip install --force-reinstall opencv-contrib-python"),
        _guarded("OpenCV's packages", _opencv_packages, "", required=False),
        _guarded("MediaPipe", _mediapipe, "pip install mediapipe"),
        _guarded("Anny", _anny, "pip install anny", required=False),
        _guarded("Warp", _warp, "pip install warp-lang"),
    ]
    return checks + [_asset(asset) for asset in assets.list_assets()]


def _guarded(name: str, check: Callable[[], str], remedy: str, required: bool = True) -> Check:
    """Run a check that returns its detail; any exception becomes the finding."""
    try:
        return Check(name, True, check(), required=required)
    except UserError as error:
        return Check(name, False, str(error), "", required)
    except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
        lacking = missing_library(error)
        if lacking is not None:
            return Check(name, False, lacking, "", required)
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Check(name, False, f"{type(error).__name__}: {line}", remedy, required)


def _torch() -> str:
    import torch

    try:
        from torchvision.ops import nms
    except RuntimeError as error:  # a torchvision built for another torch: "operator ... does not exist"
        raise UserError(
            f"torch {torch.__version__} and torchvision {version('torchvision')} do not match ({error}); "
            "run: pip install --force-reinstall torch torchvision"
        ) from error
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9]])
    if nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() != [0]:
        raise RuntimeError("torchvision.ops.nms gives a wrong answer")
    return f"torch {torch.__version__}, torchvision {version('torchvision')}, {torch.get_num_threads()} threads"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none: runs use the CPU, the default profile is cpu"
    torch.ones(2, device="cuda").sum().item()
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _video_encoder() -> str:
    """Encode two frames with each codec, decode the lossless one and compare."""
    import numpy as np

    from emo_bench.video.writing import H264, LOSSLESS, write_video

    frames = np.random.default_rng(0).integers(0, 256, size=(2, 64, 64, 3), dtype=np.uint8)
    stored, shown = io.BytesIO(), io.BytesIO()
    write_video(stored, frames, LOSSLESS, 25)
    if not np.array_equal(_decode(stored), frames):
        raise RuntimeError("ffv1 does not return the frames that were written")
    write_video(shown, frames, H264, 25)
    if len(_decode(shown)) != len(frames):
        raise RuntimeError("libx264 lost a frame")
    return f"PyAV {version('av')}, libx264 and lossless ffv1"


def _decode(video: io.BytesIO) -> "FramesU8":
    import av
    import numpy as np

    video.seek(0)
    with av.open(video, "r") as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def _opencv() -> str:
    """Blur a picture of one dot."""
    import numpy as np

    from emo_bench.system import opencv as cv2

    dot = np.zeros((5, 5), dtype=np.float32)
    dot[2, 2] = 1.0
    if cv2.GaussianBlur(dot, (3, 3), 1.0)[2, 1] <= 0.0:
        raise RuntimeError("cv2.GaussianBlur gives a wrong answer")
    return f"OpenCV {cv2.__version__}"


def _opencv_packages() -> str:
    """Check that its files come from one distribution, because pip installs a second one over the first."""
    found = [name for name in OPENCV_DISTRIBUTIONS if _is_installed(name)]
    if len(found) > 1:
        raise UserError(
            f"{' and '.join(found)} have overwritten each other's files; run: pip uninstall -y {' '.join(found)} "
            f"&& pip install {OPENCV_DISTRIBUTIONS[0]}"
        )
    return " ".join(found) or "OpenCV was not installed by pip"


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _mediapipe() -> str:
    """Find the face in scikit-image's portrait photograph, where its position is known."""
    from skimage import data

    from emo_bench.tracking.landmarks import Landmarker

    model = assets.require("face-landmarker")
    detection = Landmarker().detect(data.astronaut())  # type: ignore[no-untyped-call]
    if detection is None:
        raise RuntimeError("the landmarker finds no face in a portrait photograph")
    center_x, center_y = detection.landmarks478.mean(axis=0)
    if not (190 < center_x < 260 and 90 < center_y < 170):
        raise RuntimeError(f"the landmarker puts the face at ({center_x:.0f}, {center_y:.0f})")
    return f"mediapipe {version('mediapipe')} finds a face, model {model.source}"


def _anny() -> str:
    from emo_bench.tracking.head_rig import load_head_rig

    rig = load_head_rig()
    if importlib.util.find_spec("anny") is None:
        raise UserError("not installed; only `actors render` and baking the head rig need it: pip install anny")
    return f"anny {version('anny')}; head rig of {rig.identity_mean.shape[0]} vertices"


def _warp() -> str:
    from emo_bench.tracking.raycast import warp

    wp = warp()
    points = wp.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=wp.vec3, device="cpu")
    wp.Mesh(points=points, indices=wp.array([0, 1, 2], dtype=wp.int32, device="cpu"))
    return f"warp {version('warp-lang')}, devices {', '.join(str(device) for device in wp.get_devices())}"


def _asset(asset: assets.Asset) -> Check:
    required = asset.name in ("face-landmarker", "u2net-small")
    found = assets.locate(asset.name)
    label = f"asset {asset.name}"
    if found is None:
        detail = f"not here; needed by {', '.join(asset.needed_by)}"
        return Check(label, False, detail, asset.remedy(), required)
    return Check(label, True, f"{found.state}: {found.path}", required=required)
