"""Features of recorded frames come back from the temporary file with every bit, and scores do not change."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from emo_bench import assets
from emo_bench.metrics import Batch, Scorer, perceptual
from emo_bench.metrics.feature_file import FeatureFile
from emo_bench.metrics.kept import KeptResults
from emo_bench.metrics.perceptual import STLPIPS
from emo_bench.perceptual import PerceptualDistance


def maps(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    plain = torch.randn((count, 4, 5, 3), generator=generator)
    return [plain, torch.randn((count, 7, 2, 2), generator=generator).contiguous(memory_format=torch.channels_last)]


def test_values_and_layout_come_back() -> None:
    file, features = FeatureFile(), maps(3)
    assert file.find("abc") is None
    file.add("ab", [part[:2] for part in features])
    assert file.find("abc") is None
    file.add("abc", features)
    found = file.find("cab")
    assert found is not None
    for part, original in zip(found, features, strict=True):
        assert torch.equal(part, original[[2, 0, 1]])
        assert part.stride() == original.stride()


def test_only_what_fits_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    features = maps(3)
    one = sum(4 * part[0].numel() for part in features)
    file = FeatureFile(most_bytes=2 * one)
    file.add("abc", features)
    assert file.find("ab") is not None
    assert file.find("c") is None
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 4 * one))
    small = FeatureFile()
    small.add("abc", features)
    assert small.find("a") is not None
    assert small.find("b") is None


@pytest.mark.parametrize("written", [7, None])
def test_a_full_disk_ends_the_storing(written: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        if written is None:
            raise OSError(28, "No space left on device")
        return written

    file = FeatureFile()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", full)
        file.add("ab", maps(2))
    assert file.find("a") is None
    file.add("ab", maps(2))
    assert file.find("a") is None


@pytest.mark.skipif(assets.locate("stlpips-alex") is None, reason="package stlpips-pytorch is not installed")
def test_a_second_scoring_computes_no_features_of_recorded_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    frames = [rng.integers(0, 255, reference.shape, dtype=np.uint8) for _ in range(2)]
    computed: list[int] = []
    features = PerceptualDistance.features

    def counted(self: PerceptualDistance, images: torch.Tensor) -> list[torch.Tensor]:
        computed.append(len(images))
        return features(self, images)

    monkeypatch.setattr(PerceptualDistance, "features", counted)
    monkeypatch.setattr(perceptual, "FEATURES", FeatureFile())
    counts = []
    for mine in frames:
        computed.clear()
        scorer = Scorer(("st-lpips",), kept=KeptResults([tmp_path]))
        scorer.add(mine[:3], reference[:3])
        scorer.add(mine[3:], reference[3:])
        counts.append(sum(computed))
        assert scorer.table()["st-lpips"].tolist() == STLPIPS().score(mine, reference).tolist()
    assert counts == [10, 5]
    computed.clear()
    STLPIPS().score_batch(Batch(frames[0], reference))
    assert sum(computed) == 10
