"""Expression and head pose by SMIRK, whose parameters LivePortrait takes for its AED and APD.

The network (Retsinas et al. 2024, 3D Facial Expressions through Analysis-by-Neural-Synthesis; georgeretsi/smirk)
regresses the parameters of FLAME from a picture of the face; FLAME itself is not needed for them. The user brings the
weights; nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.metrics.detectors import NO_FACE, Face
from emo_bench.metrics.metric import Backend, MetricInfo
from emo_bench.metrics.regressed import Coefficients, ExpressionDistance, PoseDistance, RegressedDistance
from emo_bench.untrusted.refusal import reading

if TYPE_CHECKING:
    import torch

ASSET = "smirk"
# The face in the network's input: side in pixels, and how much wider than the box of MediaPipe's 478 points it is.
INPUT_PX, WIDER = 224, 1.4
EXPRESSION, EYELIDS, JAW = 50, 2, 3
# Jaw: it only opens, and turns at most so far in the other two directions, in radians.
JAW_TURN_RAD = 0.2
# The two encoders that are used, with the name and the number of outputs of their last layer.
ENCODERS = {
    "expression": ("tf_mobilenetv3_large_minimal_100", "expression_layers", EXPRESSION + EYELIDS + JAW),
    "pose": ("tf_mobilenetv3_small_minimal_100", "pose_cam_layers", 6),
}


class Smirk:
    """SMIRK's encoders of expression and pose.

    Raises:
        UserError: the asset is missing, or its file cannot be read.
    """

    def __init__(self, device: str = "cpu") -> None:
        file = assets.require(ASSET)
        self._networks = {kind: encoder.to(device) for kind, encoder in _encoders(file.path).items()}
        self._device = device
        self.backend = Backend(ASSET, file.sha256, f"timm {version('timm')}")

    def coefficients(self, frame_u8: NDArray[np.uint8], face: Face) -> Coefficients:
        """Return 50 expression parameters, two eyelids and three of the jaw, and the head's rotation vector."""
        import torch

        assert face.box is not None
        crop = aligned(frame_u8, face.box)
        image = torch.from_numpy(crop).to(self._device).permute(2, 0, 1)[None].float() / 255.0
        with torch.inference_mode():
            found, pose = (self._networks[kind](image)[0].double().cpu().numpy() for kind in ("expression", "pose"))
        found[EXPRESSION : EXPRESSION + EYELIDS] = found[EXPRESSION : EXPRESSION + EYELIDS].clip(0, 1)
        opening, *turns = found[EXPRESSION + EYELIDS :]
        found[EXPRESSION + EYELIDS :] = max(opening, 0.0), *np.clip(turns, -JAW_TURN_RAD, JAW_TURN_RAD)
        return Coefficients(found, pose[:3])


def aligned(frame_u8: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Crop the face as SMIRK does: a square around the box (left, top, right, bottom), ``[224, 224, 3]``."""
    from skimage.transform import SimilarityTransform, warp

    # There the centre of the first pixel is (0, 0).
    left, top, right, bottom = box.astype(np.float64) - 0.5
    size = int((right - left + bottom - top) / 2 * WIDER)
    corner = (left + right - size) / 2, (top + bottom - size) / 2
    scale = size / (INPUT_PX - 1)
    to_frame = SimilarityTransform(np.array([[scale, 0, corner[0]], [0, scale, corner[1]], [0, 0, 1]]))
    crop = warp(frame_u8, to_frame, output_shape=(INPUT_PX, INPUT_PX), preserve_range=True)
    return np.asarray(crop.astype(np.uint8))


def _encoders(path: Path) -> dict[str, torch.nn.Module]:
    import timm
    import torch

    from emo_bench.untrusted.torch_archive import read_torch

    class Encoder(torch.nn.Module):
        """The last feature map of a backbone, averaged, through one linear layer."""

        def __init__(self, backbone: str, outputs: int) -> None:
            super().__init__()
            network: Any = timm.create_model(backbone, pretrained=False, features_only=True)
            self.encoder = network
            self.last = torch.nn.Linear(network.feature_info[-1]["num_chs"], outputs)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.last(self.encoder(image)[-1].mean((2, 3)))
            return found

    what = "file of SMIRK's weights"
    made: dict[str, torch.nn.Module] = {}
    with reading(path, what):
        published: Mapping[str, torch.Tensor] = read_torch(path, what)
        for kind, (backbone, layer, outputs) in ENCODERS.items():
            prefix = f"smirk_encoder.{kind}_encoder."
            own = {key.removeprefix(prefix): value for key, value in published.items() if key.startswith(prefix)}
            encoder = Encoder(backbone, outputs)
            encoder.load_state_dict({key.replace(f"{layer}.0.", "last."): value for key, value in own.items()})
            made[kind] = encoder.eval().requires_grad_(False)
    return made


class _SmirkDistance(RegressedDistance):
    asset, network, detector = ASSET, Smirk, "mediapipe"

    @classmethod
    def missing(cls) -> str | None:
        if importlib.util.find_spec("timm") is None:
            return "needs package timm; run: pip install timm"
        return super().missing()


class SmirkExpression(_SmirkDistance, ExpressionDistance):
    """AED of LivePortrait: the mean of |difference| over 50 expression parameters, two eyelids and three of the jaw."""

    info = MetricInfo("aed_smirk", "1", "AED: expression, eyelids and jaw of SMIRK", "lower", "1", undefined=NO_FACE)


class SmirkPose(_SmirkDistance, PoseDistance):
    """APD of LivePortrait: the mean of |difference| over the head's rotation vector, in radians."""

    info = MetricInfo("apd_smirk", "1", "APD: head rotation of SMIRK", "lower", "radians", undefined=NO_FACE)
