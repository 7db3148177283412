"""The preview video appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emo_bench.video.preview import PreviewWriter

FRAME = np.zeros((32, 32, 3), np.uint8)


def test_a_preview_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def break_off() -> None:
        with PreviewWriter(tmp_path / "preview.mp4", "t", 25) as preview:
            preview.add(FRAME, FRAME)
            raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        break_off()
    assert not list(tmp_path.iterdir())
    with PreviewWriter(tmp_path / "preview.mp4", "t", 25) as preview:
        preview.add(FRAME, FRAME)
    assert [file.name for file in tmp_path.iterdir()] == ["preview.mp4"]
