"""Driven avatars scored against true pictures: which metrics, which clip, and what is said where there is none."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

import emo_bench
from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.metrics.metric import NO_BACKEND
from emo_bench.runs import runner, truth_clip
from emo_bench.runs.finished import load_run
from emo_bench.runs.plan import RunRequest, plan_run
from emo_bench.runs.truth import RENDERED_ONLY
from emo_bench.runs.truth_clip import open_truth
from emo_bench.runs.verification import Verification, verify
from emo_bench.video.lossless import read_lossless
from emo_bench.video.writing import H264, VideoWriter
from protocols.loader import Protocol, load_protocol
from reports.figures.clips import read_panels
from reports.figures.lineup import line_up
from reports.notes import truth_notes
from reports.ranking import group_rows
from tests.conftest import disc_frame, write_actor

SHOWN = tuple(range(30, 42))
PAIRS = """
[driving]
transfer = "relative"
frames = 8
[[driving.pairs]]
subject = "dot"
driver = "dash"
frames = ["30-41"]
truth_sha256 = "{sha256}"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("two")
    for name, frames, speed in (("dot", 150, 0.21), ("dash", 110, 0.1)):
        folder = home / "captures" / name
        folder.mkdir(parents=True)
        write_actor(folder, frames, (5,), speed)
    return home


@pytest.fixture(autouse=True)
def two_actors(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    monkeypatch.setenv("EMO_BENCH_OFFLINE", "1")


@pytest.fixture
def clips(tmp_path: Path, two_actors: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of truth clips with that of dot driven by dash: a disc that moves another way than in both videos."""
    folder = tmp_path / "clips"
    monkeypatch.setattr(truth_clip, "BUNDLED", folder)
    write_clip(folder / "truth-dot-by-dash.mp4")
    return folder


def write_clip(path: Path, **changes: object) -> None:
    about = {
        "subject": {"name": "dot", "sha256": actors.load("dot").sha256},
        "driver": {"name": "dash", "sha256": actors.load("dash").sha256},
        "transfer": "relative",
        "frames": "30-41",
    }
    path.parent.mkdir(exist_ok=True)
    with VideoWriter(path, H264, 25, json.dumps(about | changes)) as writer:
        for i in SHOWN:
            writer.write(disc_frame(0.03 * (i - 36)))


@pytest.fixture
def request_(clips: Path, quick_protocol_text: str, tmp_path: Path) -> RunRequest:
    return request_of(clips, quick_protocol_text, tmp_path)


def request_of(clips: Path, text: str, folder: Path) -> RunRequest:
    sha256 = hashlib.sha256((clips / "truth-dot-by-dash.mp4").read_bytes()).hexdigest()
    text = text.replace('"quick"', '"cross"').replace('"self-reenactment"', '"cross-reenactment"')
    text = text.replace('["psnr", "ssim", "sd"]', '["sd"]\ntruth_metrics = ["psnr", "ssim"]')
    file = folder / "cross.toml"
    file.write_text(text + PAIRS.format(sha256=sha256))
    return RunRequest(
        "nearest-frame", "dot", str(file), profile="smoke", runs_dir=folder / "runs", device="cpu", driver="dash"
    )


def make(request: RunRequest, **changes: object) -> Path:
    return runner.run(dataclasses.replace(request, **changes), trivial=False)[0]  # type: ignore[arg-type]


def test_truth_metrics_compare_with_the_clip_and_the_others_with_the_driver(request_: RunRequest, clips: Path) -> None:
    run = load_run(make(request_))
    rendered = list(read_lossless(run.path / "render.mkv"))
    clip = open_truth(clips / "truth-dot-by-dash.mp4")
    assert clip.frames_shown == SHOWN
    true, recorded = list(clip.frames(SHOWN)), list(actors.load("dash").frames(SHOWN))
    assert np.abs(true[3].astype(int) - disc_frame(0.03 * (33 - 36))).mean() < 3, "the clip's frames, by their numbers"
    expected = [peak_signal_noise_ratio(*pair) for pair in zip(true, rendered, strict=True)]
    np.testing.assert_allclose(run.scores["psnr"], expected, rtol=1e-9)
    records = run.scores.attrs["records"]
    assert list(run.scores) == ["psnr", "ssim", "sd"] == list(records)
    assert records["psnr"]["reference_sha256"] != records["sd"]["reference_sha256"]
    driven = emo_bench.score(run.path, metrics="sd").scores["sd"]
    np.testing.assert_array_equal(run.scores["sd"], driven)
    assert not all(map(np.array_equal, true, recorded))


def test_scoring_the_folder_again_compares_with_the_same_pictures(request_: RunRequest) -> None:
    folder = make(request_)
    again = emo_bench.score(folder, metrics=["psnr", "ssim"])
    np.testing.assert_array_equal(again.scores["psnr"], load_run(folder).scores["psnr"])
    with pytest.raises(UserError, match="psnr compares with the true picture and sd with the driver's frame"):
        emo_bench.score(folder, metrics=["psnr", "sd"])
    verified = verify(folder, Verification(render=True, device="cpu"))
    assert verified.holds, verified.checks
    assert {check.what: check.state for check in verified.checks}["psnr"] == "same"


def test_a_pair_without_a_clip_has_na_with_the_reason(request_: RunRequest) -> None:
    run = load_run(make(request_, actor="dash", driver="dot"))
    assert run.scores[["psnr", "ssim"]].isna().all(axis=None) and run.scores["sd"].notna().all()
    record = run.manifest["stages"]["score"]["records"]["psnr"]
    assert record["backend"]["name"] == NO_BACKEND and run.reasons["psnr"] == RENDERED_ONLY
    (group,) = group_rows([run])
    assert not truth_notes(group.rows) and verify(run.path, Verification(device="cpu")).holds
    with pytest.raises(UserError, match="psnr cannot be scored, because there is no true picture"):
        emo_bench.score(run.path, metrics="psnr")


def test_who_drives_itself_has_the_recorded_frames_as_truth(request_: RunRequest, protocol_file: str) -> None:
    cross = load_run(make(request_, driver="dot"))
    own = load_run(make(request_, driver=None, protocol=protocol_file))
    for metric in ("psnr", "ssim"):
        np.testing.assert_array_equal(cross.scores[metric], own.scores[metric].loc[cross.scores.index])


def test_an_avatar_that_renders_the_truth_is_perfect(request_: RunRequest, clips: Path, tmp_path: Path) -> None:
    path = str(clips / "truth-dot-by-dash.mp4")
    file = tmp_path / "oracle.py"
    file.write_text(
        "from dataclasses import replace\nfrom pathlib import Path\n"
        "from baselines.mean_frame import MeanFrame\nfrom emo_bench.runs.truth_clip import open_truth\n"
        "class Oracle(MeanFrame):\n"
        "    info = replace(MeanFrame.info, name='oracle', title='Oracle')\n"
        f"    def render(self, capture, indices):\n        return open_truth(Path({path!r})).frames(indices)\n"
    )
    scores = load_run(make(request_, method=f"{file}:Oracle")).scores
    assert np.isinf(scores["psnr"]).all() and scores["ssim"].to_numpy() == pytest.approx(1.0)


def test_the_preview_and_the_lineup_show_the_truth(request_: RunRequest) -> None:
    run = load_run(make(request_))
    picture = next(read_panels(run, 64))
    assert picture.shape == (64, 3 * 64, 3), "driver, truth, ours"
    compared, ends = (next(read_panels(run, 64, kept=kept)) for kept in ("compared", "ends"))
    np.testing.assert_array_equal(compared, picture[:, 64:])
    np.testing.assert_array_equal(ends, np.concatenate([picture[:, :64], picture[:, 128:]], axis=1))
    (group,) = group_rows([run])
    strips, headings = line_up(group.rows, 3)
    assert [strip.label for strip in strips][:2] == ["driver", "truth"] and headings[0] == "frame 30"
    true = disc_frame(0.03 * (30 - 36)).astype(int)
    assert np.abs(strips[1].pictures[0] - true).mean() < 6 < np.abs(strips[0].pictures[0] - true).mean()
    assert truth_notes(group.rows)[0].startswith("PSNR, SSIM: compared with the true picture")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer": "absolute"}, "follows rule absolute, not relative"),
        ({"frames": "31-42"}, "does not show frame 30"),
    ],
)
def test_a_clip_of_something_else_is_refused_before_the_fit(
    clips: Path, quick_protocol_text: str, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    write_clip(clips / "truth-dot-by-dash.mp4", **changes)
    request = request_of(clips, quick_protocol_text, tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        plan_run(request)
    assert "\n" not in str(caught.value)


def test_a_changed_or_missing_clip_is_refused(request_: RunRequest, clips: Path) -> None:
    file = clips / "truth-dot-by-dash.mp4"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(UserError, match="is not the truth clip that the protocol names"):
        plan_run(request_)
    file.unlink()
    with pytest.raises(UserError, match="is missing: install emo-bench again"):
        plan_run(request_)


def test_an_actor_of_the_same_name_is_not_the_one_that_the_clip_shows(
    clips: Path, quick_protocol_text: str, tmp_path: Path
) -> None:
    write_clip(clips / "truth-dot-by-dash.mp4", driver={"name": "dash", "sha256": "0" * 64})
    plan = plan_run(request_of(clips, quick_protocol_text, tmp_path))
    assert plan.applied.truth.pictures is None and plan.applied.truth.reason == RENDERED_ONLY


def test_a_metric_compares_with_one_picture_and_only_driven_avatars_have_a_truth() -> None:
    fields = load_protocol("cross_reenactment").model_dump()
    fields["scoring"]["truth_metrics"] = [*fields["scoring"]["metrics"][:1]]
    with pytest.raises(ValueError, match="is listed twice"):
        Protocol(**fields)
    fields = load_protocol("self_reenactment").model_dump()
    fields["scoring"]["truth_metrics"] = ["biq"]
    with pytest.raises(ValueError, match="truth_metrics are for cross-reenactment"):
        Protocol(**fields)
