"""The scorer: streaming equals all at once, records travel with the table, mistakes get one clear line."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas
import pytest
from skimage import data

from emo_bench import metrics
from emo_bench.errors import UserError
from emo_bench.metrics import Metric, MetricInfo, Scorer, list_metrics, score
from emo_bench.metrics.metric import Backend
from emo_bench.metrics.registry import metric_class

PIXEL_METRICS = ("psnr", "ssim", "sd")


@pytest.fixture
def video() -> tuple[np.ndarray, np.ndarray]:
    """Seven 48 px frames of a pan over a photograph, and the same pan a pixel late."""
    photograph = data.astronaut()
    frames = np.stack([photograph[80:128, 180 + i : 228 + i] for i in range(8)])
    return frames[1:], frames[:-1]


def test_stream_of_uneven_batches_equals_one_call(video) -> None:
    frames, reference = video
    scorer = Scorer(PIXEL_METRICS)
    for part in (slice(0, 1), slice(1, 5), slice(5, 7)):
        scorer.add(frames[part], reference[part], range(100, 107)[part])
    table = scorer.table()
    assert list(table.index) == list(range(100, 107)) and table.index.name == "frame"
    whole = score(frames, reference, metrics=PIXEL_METRICS, names=range(100, 107))
    pandas.testing.assert_frame_equal(table, whole)
    assert table.attrs == whole.attrs


def test_records_survive_parquet(video, tmp_path: Path) -> None:
    table = score(*video, metrics=PIXEL_METRICS)
    table.to_parquet(tmp_path / "frames.parquet")
    read = pandas.read_parquet(tmp_path / "frames.parquet")
    pandas.testing.assert_frame_equal(read, table)
    record = read.attrs["records"]["sd"]
    assert record == json.loads(json.dumps(table.attrs["records"]["sd"]))
    assert (record["resolution"], record["direction"], record["version"]) == ("48x48", "lower", "1")
    assert (record["frames_scored"], record["frames_dropped"]) == (7, [])


def test_a_degraded_video_scores_worse_in_the_stated_direction(video) -> None:
    frames, _ = video
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, frames.shape)
    light, heavy = (np.clip(frames + s * noise, 0, 255).astype(np.uint8) for s in (4, 16))
    table_light, table_heavy = (score(x, frames, metrics=PIXEL_METRICS).mean() for x in (light, heavy))
    for name in PIXEL_METRICS:
        sign = 1 if metric_class(name).info.direction == "higher" else -1
        assert sign * (table_light[name] - table_heavy[name]) > 0


@pytest.mark.parametrize(
    ("frames", "reference", "message"),
    [
        (np.zeros((2, 16, 16, 3)), np.zeros((2, 16, 16, 3), np.uint8), "must be uint8"),
        (np.zeros((2, 16, 16), np.uint8), None, "must be uint8"),
        (np.zeros((2, 16, 16, 3), np.uint8), None, "frames of a reference are needed for"),
        (np.zeros((2, 16, 16, 3), np.uint8), np.zeros((1, 16, 16, 3), np.uint8), "1 reference frames"),
        (np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 8, 3), np.uint8), "like the frames"),
    ],
)
def test_frames_that_do_not_fit_are_named(frames, reference, message: str) -> None:
    with pytest.raises(UserError, match=message):
        score(frames, reference, metrics=("psnr",))


def test_size_must_not_change_midway(video) -> None:
    frames, reference = video
    scorer = Scorer(("psnr",))
    scorer.add(frames, reference)
    with pytest.raises(UserError, match="24x48 px after frames of 48x48 px"):
        scorer.add(frames[:, :, :24], reference[:, :, :24])


def test_unknown_metric_lists_the_known_ones(video) -> None:
    with pytest.raises(UserError, match=r"there is no metric 'psnrr' \(known: psnr, .*did you mean psnr\?"):
        score(*video, metrics=("psnrr",))


def test_all_built_in_metrics_describe_themselves() -> None:
    states = {state.info.id: state for state in list_metrics()}
    assert {"psnr", "ssim", "sd", "lpips", "st-lpips", "flmd"} <= set(states)
    assert all(state.info.direction in ("higher", "lower") for state in states.values())
    assert states["psnr"].missing is None


class Brightness(Metric):
    """A plug-in: mean level of a frame; needs no reference."""

    info = MetricInfo("brightness", "1", "Mean level", "higher", "8-bit levels", needs_reference=False)
    backend = Backend("numpy")

    def score(self, frames, reference):
        return frames.mean(axis=(1, 2, 3))


def test_plug_in_metric_comes_by_entry_point(video, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("brightness", f"{__name__}:Brightness", "emo_bench.metrics")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr("emo_bench.plug_ins.loading.entry_points", lambda group: [entry])
    table = score(video[0], metrics=("brightness",))
    assert table["brightness"][0] == pytest.approx(video[0][0].mean())
    assert "brightness" in {state.info.id for state in list_metrics()}


def test_importing_the_package_is_light() -> None:
    code = "import sys, emo_bench.metrics, emo_bench.perceptual; print({'torch', 'pandas'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
    assert all(hasattr(metrics, name) for name in metrics.__all__)
