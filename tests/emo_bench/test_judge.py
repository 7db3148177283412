"""The judge: which CLIP it is, and that its metrics are the usual ones by another model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from emo_bench import assets
from emo_bench.clip.judge import find_judge, missing_judge
from emo_bench.clip.model import find_clip
from emo_bench.errors import UserError
from emo_bench.metrics import Captions, Settings, score
from emo_bench.metrics.registry import metric_class

CAPTIONS = Captions("a photo of a man", "a bronze statue of a man")
JUDGED = ("clip_d-judge", "clip_dv-judge")


def make_clip(folder: Path, seed: int, context: int = 16) -> Path:
    """A random CLIP in open_clip's format."""
    open_clip = pytest.importorskip("open_clip")
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": context, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    folder.mkdir()
    torch.manual_seed(seed)
    save_file(open_clip.model.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of assets with a judge, and beside it another CLIP, which reads longer captions."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "clip-judge", seed=1)
    make_clip(folder / "first", seed=2, context=40)
    return folder


@pytest.fixture
def here(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The judge is on this machine; the project's own one is not."""
    entries = tuple(
        dataclasses.replace(entry, bundled="", sha256=None) if entry.name == "clip-judge" else entry
        for entry in assets.list_assets()
    )
    monkeypatch.setattr("emo_bench.assets.catalogue.list_assets", lambda: entries)
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(clips))
    return clips


@pytest.fixture(scope="module")
def video() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Five frames of a moving window over a photograph, with inverted colours, and as they are."""
    photo = data.astronaut()
    reference = np.stack([photo[60:132, 180 + 9 * i : 252 + 9 * i] for i in range(5)])
    return 255 - reference, reference


def test_the_judge_scores_as_the_same_clip_does_under_the_usual_names(here: Path, video) -> None:
    first, judge = (Settings(clip=str(here / name), captions=CAPTIONS) for name in ("first", "clip-judge"))
    both = score(*video, metrics=("clip_d", "clip_dv", *JUDGED), settings=first)
    alone = score(*video, metrics=("clip_d", "clip_dv"), settings=judge)
    for metric in ("clip_d", "clip_dv"):
        np.testing.assert_allclose(both[f"{metric}-judge"], alone[metric], rtol=1e-6, atol=1e-6)
        assert np.abs(both[f"{metric}-judge"] - both[metric]).max() > 1e-3, "another network, another opinion"
    backends = {name: record["backend"] for name, record in both.attrs["records"].items()}
    assert backends["clip_d-judge"]["name"] == backends["clip_dv-judge"]["name"] == "clip-judge"
    assert backends["clip_d"]["name"] == "clip-first"
    assert backends["clip_d-judge"]["sha256"] == find_clip(str(here / "clip-judge")).sha256
    assert both.attrs["records"]["clip_d-judge"]["captions"] == both.attrs["records"]["clip_d"]["captions"]


def test_the_model_of_the_other_scores_is_no_judge_of_them(here: Path) -> None:
    assert find_judge(str(here / "first")).name == "judge"
    assert missing_judge("judge") is not None and "another CLIP model" in str(missing_judge("judge"))
    assert "another CLIP model" in str(missing_judge(str(here / "clip-judge"))), "the same file by its path"
    with pytest.raises(UserError, match="the second CLIP needs another CLIP model"):
        find_judge("judge")


def test_a_published_clip_judges_what_the_projects_own_scores(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = assets.AssetFile(here / "first" / "open_clip_model.safetensors", "cached")
    locate, require = assets.locate, assets.require
    monkeypatch.setattr(assets, "locate", lambda name: file if name == "clip-vit-b-32" else locate(name))
    monkeypatch.setattr(assets, "require", lambda name: file if name == "clip-vit-b-32" else require(name))
    assert find_clip().name == "ViT-B-32"
    assert find_judge().name == "judge", "ViT-B-32 gives the other scores"
    assert find_judge("portraits").name == "ViT-B-32"


def test_without_a_judge_its_scores_say_what_is_missing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMO_BENCH_ASSETS")
    for metric in JUDGED:
        reason = metric_class(metric).missing_for(Settings(captions=CAPTIONS))
        assert reason is not None and "clip-judge" in reason and "python -m factory.clip" in reason


def test_a_caption_that_only_the_judge_cannot_read_stops_no_scoring(here: Path, video) -> None:
    long = Captions("a photo of a man", "a very old and worn bronze statue of a man who stands in a dark garden")
    settings = Settings(clip=str(here / "first"), captions=long)
    assert metric_class("clip_d").missing_for(settings) is None
    reason = metric_class("clip_d-judge").missing_for(settings)
    assert reason is not None and "the CLIP model judge reads 16" in reason
    assert metric_class("clip_dv-judge").missing_for(settings) is None, "this metric reads no caption"
