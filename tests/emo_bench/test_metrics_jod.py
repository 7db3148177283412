"""JOD against cvvdp itself, called on whole videos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import emo_bench
from emo_bench.actors import load
from emo_bench.cli.app import app
from emo_bench.errors import UserError
from emo_bench.metrics import Scorer, Settings, score
from emo_bench.metrics.comparability import difference
from emo_bench.metrics.jod import JOD, jod, visible
from emo_bench.metrics.registry import metric_class
from emo_bench.video.lossless import write_lossless

FramesU8 = NDArray[np.uint8]
needs_cvvdp = pytest.mark.skipif(JOD.missing() is not None, reason=str(JOD.missing()))


def damaged(reference: FramesU8, noise: float) -> FramesU8:
    grain = np.random.default_rng(0).normal(0.0, noise, reference.shape)
    return np.clip(reference + grain, 0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def video() -> FramesU8:
    return np.stack(list(load("1").frames(range(30, 44), size=64)))


def of_package(frames: FramesU8, reference: FramesU8, fps: float) -> float:
    import pycvvdp
    import torch

    model = pycvvdp.cvvdp(display_name="standard_4k", quiet=True, device=torch.device("cpu"))
    return float(model.predict(frames, reference, dim_order="FHWC", frames_per_second=fps)[0])


@needs_cvvdp
@pytest.mark.parametrize("fps", [25.0, 60.0])
@pytest.mark.parametrize("noise", [0.0, 3.0, 40.0])
def test_the_score_of_a_video_is_cvvdps(video: FramesU8, noise: float, fps: float) -> None:
    frames = damaged(video, noise)
    column = score(frames, video, metrics=("jod",), settings=Settings(fps=fps), batch=5)["jod"].to_numpy()
    assert JOD.aggregate(column) == pytest.approx(of_package(frames, video, fps), abs=2e-5)
    if noise == 0.0:
        assert (column == 10.0).all()


@needs_cvvdp
def test_flicker_costs_more_at_the_frame_rate_where_it_is_seen(video: FramesU8) -> None:
    """A brightness that alternates from frame to frame: 12 Hz is visible, 60 Hz fuses. PSNR cannot tell."""
    still = np.repeat(video[:1], 14, axis=0)
    change = np.where(np.arange(14) % 2, 6, -6)[:, None, None, None]
    flickering = np.clip(still.astype(int) + change, 0, 255).astype(np.uint8)
    slow, fast = (
        JOD.aggregate(score(flickering, still, metrics=("jod",), settings=Settings(fps=fps))["jod"].to_numpy())
        for fps in (24.0, 120.0)
    )
    assert slow < fast - 0.1


@needs_cvvdp
def test_scores_do_not_depend_on_the_batches_and_videos_do_not_mix(video: FramesU8) -> None:
    frames = damaged(video, 8.0)
    whole, single = (
        score(frames, video, metrics=("jod",), settings=Settings(fps=25.0), batch=batch)["jod"] for batch in (14, 1)
    )
    np.testing.assert_array_equal(whole, single)
    metric = JOD(fps=25.0)
    first = metric.score(frames[5:], video[5:])
    metric.score(frames[:3], video[:3])
    np.testing.assert_array_equal(metric.score(frames[5:], video[5:]), first)


@needs_cvvdp
def test_the_record_names_display_and_frame_rate_and_others_are_not_comparable(video: FramesU8) -> None:
    records = []
    for fps in (25.0, 30.0):
        scorer = Scorer(("jod",), settings=Settings(fps=fps))
        scorer.add(video[:2], video[:2])
        records.append(scorer.records()[0].as_dict())
    backend = records[0]["backend"]
    assert records[0]["conditions"] == {"display": "standard_4k", "frame rate": "25 fps"}
    assert backend["name"].startswith("cvvdp-0.5") and "sRGB" in backend["detail"]
    assert "200 cd/m2" in backend["detail"] and len(backend["sha256"]) == 64
    assert "30 fps" in str(difference(*records))


def test_without_a_frame_rate_there_is_no_score_and_the_record_says_why(video: FramesU8) -> None:
    table = score(video[:2], video[:2], metrics=("jod",))
    backend = table.attrs["records"]["jod"]["backend"]
    assert table["jod"].isna().all() and backend["name"] == "n/a"
    if JOD.missing() is None:
        assert "--fps" in backend["detail"]
        with pytest.raises(UserError, match="frame rate"):
            metric_class("jod")("cpu").score(video[:2], video[:2])


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, 5, elements=st.floats(0.0, 300.0)))
def test_differences_and_jod_convert_both_ways(differences: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(visible(jod(differences)), differences, rtol=1e-9, atol=1e-9)


@needs_cvvdp
def test_the_conversion_is_cvvdps() -> None:
    import pycvvdp
    import torch

    model = pycvvdp.cvvdp(device=torch.device("cpu"))
    values = np.array([0.0, 0.01, 0.1, 0.11, 1.0, 30.0, 200.0])
    np.testing.assert_allclose(jod(values), model.met2jod(torch.from_numpy(values)).numpy(), rtol=1e-6)


@needs_cvvdp
def test_the_package_leaves_the_import_path_modules_of_others_and_the_root_logger_alone() -> None:
    """It imports modules named `interp` and `third_party` from its own folder, which it adds to the path.

    Its `logging.debug(...)` gave the root logger a handler, which printed every message of ours a second time.
    """
    code = (
        "import sys, types; sys.modules['interp'] = mine = types.ModuleType('interp'); before = list(sys.path);"
        "from emo_bench.metrics.jod import JOD; JOD(fps=25.0);"
        "assert sys.modules['interp'] is mine and 'third_party' not in sys.modules and sys.path == before;"
        "import logging; assert not logging.getLogger().handlers"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True)
    assert done.stderr == ""


@needs_cvvdp
def test_the_command_takes_the_frame_rate_of_a_video_or_the_option(video: FramesU8, tmp_path: Path) -> None:
    recorded, grain = tmp_path / "recorded.mkv", damaged(video[:4], 8.0)
    write_lossless(recorded, video[:4])
    (tmp_path / "made").mkdir()
    for number, frame in enumerate(grain):
        Image.fromarray(frame).save(tmp_path / "made" / f"{number}.png")
    by_video = emo_bench.score(tmp_path / "made", recorded, metrics="jod")
    by_hand = score(grain, video[:4], metrics=("jod",), settings=Settings(fps=25.0))
    np.testing.assert_array_equal(by_video.scores["jod"].to_numpy(), by_hand["jod"].to_numpy())
    assert by_video.means["jod"] == JOD.aggregate(by_hand["jod"].to_numpy())
    given = emo_bench.score(tmp_path / "made", tmp_path / "made", metrics="jod", fps=50)
    assert given.scores.attrs["records"]["jod"]["conditions"]["frame rate"] == "50 fps"
    done = CliRunner().invoke(app, ["score", str(tmp_path / "made"), "--reference", str(recorded), "--metrics", "jod"])
    assert done.exit_code == 0 and "cvvdp" in done.output
    with pytest.raises(UserError, match="fps is 0"):
        emo_bench.score(tmp_path / "made", recorded, metrics="jod", fps=0.0)
