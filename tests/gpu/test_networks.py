"""On a GPU: metrics give the CPU's numbers, renderings obey CUDA's autocast, an edit by dataset update trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emo_bench.actors.capture import Capture
from emo_bench.methods.interface import EditStyle, Workspace
from emo_bench.metrics import Captions, Scorer, Settings
from emo_bench.metrics.registry import list_metrics, metric_class
from emo_bench.system.devices import chosen_device, mixed_precision
from tests.gpu.conftest import REAL
from tests.gpu.test_fits import TEST, build, fit

CAPTIONS = Captions("a photo of a person", "a bronze statue of a person")
METRICS = [state.info.id for state in list_metrics() if metric_class(state.info.id).missing() is None]


def frames(capture: Capture) -> tuple[np.ndarray, np.ndarray]:
    """Six frames at 96 px and the same with some noise."""
    recorded = np.stack(list(capture.frames(range(20, 26), size=96)))
    noise = np.random.default_rng(0).normal(0.0, 6.0, recorded.shape)
    return recorded, np.clip(recorded + noise, 0, 255).astype(np.uint8)


def scores(device: str, capture: Capture) -> dict[str, np.ndarray]:
    recorded, noisy = frames(capture)
    scorer = Scorer(METRICS, settings=Settings(device, captions=CAPTIONS))
    for part in (slice(0, 3), slice(3, 6)):
        scorer.add(noisy[part], recorded[part], range(part.start, part.stop))
    return {name: column.to_numpy() for name, column in scorer.table().items()}


def test_all_metrics_at_once_give_the_numbers_of_the_cpu(capture: Capture, request: pytest.FixtureRequest) -> None:
    expected = scores("cpu", capture)
    found = scores(chosen_device(request.getfixturevalue("gpu")), capture)
    assert expected.keys() == found.keys() and len(expected) >= 20
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("name", ["emo-avatar", "style-avatar", "deep-video-portraits"])
def test_renderings_obey_the_autocast_of_a_gpu(
    name: str, capture: Capture, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    steps = {"steps": "1"}
    method = build(name, tmp_path / "fit", "cpu", **steps)
    fit(method, capture)
    expected = np.stack(list(method.render(capture.restricted(()), TEST)))
    fresh = build(name, tmp_path / "fit", request.getfixturevalue("autocast_gpu"), **steps)
    fresh.load()
    with mixed_precision(fresh.workspace.device, wanted=True):
        assert torch.is_autocast_enabled("cuda")
    found = np.stack(list(fresh.render(capture.restricted(()), TEST)))
    assert np.abs(found.astype(int) - expected.astype(int)).mean() < 4


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_only_imitates_bfloat16_computes_in_float32(
    native: bool, gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emo_bench.system import devices

    devices._gpu_has_bfloat16.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    with mixed_precision("cuda:0", wanted=True):
        assert torch.is_autocast_enabled("cuda") is native
    devices._gpu_has_bfloat16.cache_clear()


def test_an_edit_by_dataset_update_trains_on_a_gpu(
    gpu: str, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emo_bench.methods.picture_editor import ReferenceEditor

    class Brighter(ReferenceEditor):
        can_update = True

        @classmethod
        def missing(cls, settings):  # type: ignore[no-untyped-def]
            return None

        def edit(self, picture_u8, instruction, seed):  # type: ignore[no-untyped-def]
            return 255 - picture_u8

        def update(self, rendering_u8, recorded_u8, instruction, seed):  # type: ignore[no-untyped-def]
            return 255 - recorded_u8

    monkeypatch.setattr("emo_avatar.edited_avatar.open_editor", lambda *_: Brighter(None, "cpu"))
    base = build("emo-avatar", tmp_path / "fit", gpu, steps="1")
    fit(base, capture)
    settings = {"steps": "2", "frame_pool": "3", "supervision": "dataset-update", "update_every_steps": "1"}
    style = EditStyle("inverse", "a photo", "a negative", "invert it", "file")
    folder = tmp_path / "edit"
    folder.mkdir()
    edited = base.edit(style, Workspace(folder, "smoke", 0, base.workspace.device, settings))
    edited.fit(capture.restricted(range(10, 34)), list(range(10, 34)))
    before, after = (np.stack(list(m.render(capture.restricted(()), TEST))) for m in (base, edited))
    assert after.shape == before.shape and not np.array_equal(after, before)
    assert REAL or folder.joinpath("checkpoint.safetensors").is_file()
