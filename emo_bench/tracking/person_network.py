"""U2-Net small: how much of each pixel the most striking object of a picture covers, which here is the person."""

from __future__ import annotations

import numpy as np

from emo_bench.errors import UserError

ASSET = "u2net-small"
# The colours of its training pictures (ImageNet's mean and deviation).
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Its output with the finest detail, made from those of all its levels.
OUTPUT = "1959"
# A number that OpenCV cannot compute with must not become a mask.
LEAST_SPREAD = 1e-3


class PersonNetwork:
    """U2-Net small (Qin et al., Pattern Recognition 2020), computed by OpenCV, so that no other runtime is needed.

    Args:
        input_px: side of the square that the network sees; it was trained with 320.

    Raises:
        UserError: the weights are not on this machine, or OpenCV cannot read them.
    """

    def __init__(self, input_px: int) -> None:
        from emo_bench.assets import require
        from emo_bench.system import opencv as cv2

        found = require(ASSET)
        self.sha256 = found.sha256
        self.input_px = input_px
        try:
            self._network = cv2.dnn.readNetFromONNX(np.frombuffer(found.path.read_bytes(), dtype=np.uint8))
        except cv2.error as error:
            raise UserError(
                f"OpenCV {cv2.__version__} cannot read {found.path}; run: pip install --upgrade opencv-contrib-python"
            ) from error

    def shares(self, picture_u8: np.ndarray) -> np.ndarray:
        """Return the person's share of each pixel, float32 ``[H, W]`` in [0, 1], of ``[H, W, 3]`` uint8 RGB.

        The output is stretched to the whole range, as its authors do.
        """
        from emo_bench.system import opencv as cv2

        height, width = picture_u8.shape[:2]
        side = (self.input_px, self.input_px)
        how = cv2.INTER_AREA if min(height, width) > self.input_px else cv2.INTER_LINEAR
        seen = cv2.resize(picture_u8, side, interpolation=how).astype(np.float32)
        # The authors divide by the brightest value of the picture.
        mean, deviation = (np.array(colour, dtype=np.float32) for colour in (MEAN, DEVIATION))
        seen = (seen / max(float(seen.max()), 1.0) - mean) / deviation
        self._network.setInput(np.ascontiguousarray(seen.transpose(2, 0, 1)[None]))
        found = self._network.forward(OUTPUT)[0, 0]
        low, high = float(found.min()), float(found.max())
        if not high - low > LEAST_SPREAD:
            return np.zeros((height, width), dtype=np.float32)
        how = cv2.INTER_AREA if max(height, width) < self.input_px else cv2.INTER_LINEAR
        stretched = cv2.resize((found - low) / (high - low), (width, height), interpolation=how)
        return np.clip(np.asarray(stretched, dtype=np.float32), 0.0, 1.0)
