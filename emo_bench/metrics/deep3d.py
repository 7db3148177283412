"""Expression and head pose by Deep3DFaceRecon, which most papers on reenactment use for their AED and APD.

The network (Deng et al. 2019, Accurate 3D Face Reconstruction with Weakly-Supervised Learning; PyTorch release
sicxu/Deep3DFaceRecon_pytorch) regresses 257 coefficients of the Basel face model from a picture of the face. Its 64
expression coefficients and three angles need no face model. The user brings the weights; nothing is downloaded.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.metrics.detectors import NO_FACE, Face, Landmarks68
from emo_bench.metrics.metric import Backend, MetricInfo
from emo_bench.metrics.regressed import Coefficients, ExpressionDistance, Floats, PoseDistance
from emo_bench.untrusted.refusal import Unreadable, reading
from emo_bench.untrusted.regular_file import read_regular

if TYPE_CHECKING:
    import torch

ASSET = "deep3d-recon"
WEIGHTS, STANDARD_FACE = "epoch_20.pth", "similarity_Lm3D_all.mat"
STANDARD_FACE_BYTES = 10**6
# The face in the network's input: side in pixels, and pixels per unit of the standard face.
INPUT_PX, PX_PER_UNIT = 224, 102.0
# Names and sizes of the coefficients, in the order of the network's last layers.
COEFFICIENTS = {"identity": 80, "expression": 64, "texture": 80, "angles": 3, "light": 27, "shift": 2, "depth": 1}


class Deep3D:
    """The network with its standard face, from the folder of the asset.

    Raises:
        UserError: the asset is missing, or a file of it cannot be read.
    """

    def __init__(self, device: str = "cpu") -> None:
        import torch

        folder = assets.require(ASSET)
        self._network = _network(folder.path / WEIGHTS).to(device)
        self._standard = _five(_standard_face(folder.path / STANDARD_FACE))
        self._device = device
        self.backend = Backend(ASSET, folder.sha256, f"torch {torch.__version__}")

    def coefficients(self, frame_u8: NDArray[np.uint8], face: Face) -> Coefficients:
        """Return 64 expression coefficients, and the rotations around x, y and z, of a face in ``[H, W, 3]`` RGB."""
        import torch

        crop = aligned(frame_u8, face.landmarks68, self._standard)
        image = torch.from_numpy(crop).to(self._device).permute(2, 0, 1)[None].float() / 255.0
        with torch.inference_mode():
            found = self._network(image)[0].double().cpu().numpy()
        parts = np.split(found, np.cumsum(list(COEFFICIENTS.values()))[:-1])
        named = dict(zip(COEFFICIENTS, parts, strict=True))
        return Coefficients(named["expression"], named["angles"])


def aligned(frame_u8: NDArray[np.uint8], landmarks: Landmarks68, standard: Floats) -> NDArray[np.uint8]:
    """Crop the face as the network was trained: ``[224, 224, 3]``.

    A scaled orthographic camera is fitted by least squares to the five points of the standard face ``[5, 3]``. The
    frame is resized so that a unit of that face has ``PX_PER_UNIT`` pixels, and the origin lies in the crop's middle.
    """
    from PIL import Image

    height, width = frame_u8.shape[:2]
    # There the centre of the first pixel is (0, 0), and y points upwards.
    points = _five(landmarks.astype(np.float64) - 0.5)
    points[:, 1] = height - 1 - points[:, 1]
    (x, y), scale = _camera(points, standard)
    enlarged = PX_PER_UNIT / scale
    size = int(width * enlarged), int(height * enlarged)
    left = int(size[0] / 2 - INPUT_PX / 2 + (x - width / 2) * enlarged)
    top = int(size[1] / 2 - INPUT_PX / 2 + (height / 2 - y) * enlarged)
    picture = Image.fromarray(np.ascontiguousarray(frame_u8)).resize(size, resample=Image.Resampling.BICUBIC)
    return np.array(picture.crop((left, top, left + INPUT_PX, top + INPUT_PX)))


def _five(points: Floats) -> Floats:
    """Return both eyes (the middle of their corners), the tip of the nose and the corners of the mouth, ``[5, D]``."""
    eyes = points[[36, 39]].mean(axis=0), points[[42, 45]].mean(axis=0)
    return np.stack([*eyes, points[30], points[48], points[54]])


def _camera(points: Floats, standard: Floats) -> tuple[Floats, float]:
    """Return shift ``[2]`` and scale of the affine camera that maps the standard face ``[5, 3]`` to ``[5, 2]``."""
    solved = np.linalg.lstsq(np.column_stack([standard, np.ones(len(standard))]), points, rcond=None)[0]
    return solved[3], float(np.linalg.norm(solved[:3], axis=0).mean())


def _network(path: Path) -> torch.nn.Module:
    """Build the ResNet-50 with one last layer for all coefficients, and load the published weights into it."""
    import torch
    from torchvision.models import resnet50

    from emo_bench.untrusted.torch_archive import read_torch

    what = "file of Deep3DFaceRecon's weights"
    network = resnet50(weights=None, num_classes=sum(COEFFICIENTS.values()))
    with reading(path, what):
        published: Mapping[str, torch.Tensor] = read_torch(path, what)["net_recon"]
        state = {k.removeprefix("backbone."): v for k, v in published.items() if k.startswith("backbone.")}
        # Seven 1x1 convolutions on the pooled features are one linear layer.
        last = [published[f"final_layers.{i}.weight"].flatten(1) for i in range(len(COEFFICIENTS))]
        state["fc.weight"] = torch.cat(last)
        state["fc.bias"] = torch.cat([published[f"final_layers.{i}.bias"] for i in range(len(COEFFICIENTS))])
        sizes = [len(layer) for layer in last]
        if sizes != list(COEFFICIENTS.values()):
            raise Unreadable(f"its last layers have {sizes} coefficients, not {list(COEFFICIENTS.values())}")
        network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _standard_face(path: Path) -> Floats:
    """Read the 68 points of the standard face, ``[68, 3]``, y upwards, from a MATLAB file."""
    from scipy.io import loadmat

    with reading(path, "standard face of Deep3DFaceRecon"):
        content = read_regular(path, STANDARD_FACE_BYTES)
        points = np.asarray(loadmat(io.BytesIO(content), variable_names=["lm"])["lm"], np.float64)
        if points.shape != (68, 3) or not np.isfinite(points).all():
            raise Unreadable(f"lm is {points.shape}, not 68 points")
    return points


class Deep3DExpression(ExpressionDistance):
    """AED of GAGAvatar, LAM, OTAvatar and others: the mean of |difference| over 64 expression coefficients."""

    info = MetricInfo("aed_deep3d", "1", "AED: 64 expression coefficients", "lower", "1", undefined=NO_FACE)
    asset, network = ASSET, Deep3D


class Deep3DPose(PoseDistance):
    """APD of GAGAvatar, LAM and others: the mean of |difference| over the head's three angles, in radians."""

    info = MetricInfo("apd_deep3d", "1", "APD: three head angles", "lower", "radians", undefined=NO_FACE)
    asset, network = ASSET, Deep3D
