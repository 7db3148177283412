"""Runs of cross-reenactment on two small actors: pairs, scores against the driver, self-driving, reports, checks."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from skimage.metrics import peak_signal_noise_ratio

import emo_bench
from emo_bench import actors
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.metrics import score
from emo_bench.metrics.metric import NO_BACKEND
from emo_bench.metrics.subject_identity import NO_SUBJECT
from emo_bench.runs import runner
from emo_bench.runs.editing import open_method
from emo_bench.runs.finished import load_run
from emo_bench.runs.given_frames import GivenRequest, file_frames
from emo_bench.runs.manifest import read_manifest
from emo_bench.runs.plan import EditRequest, RunRequest, plan_run
from emo_bench.runs.styles import named_style
from emo_bench.runs.transfer import driven_capture
from emo_bench.runs.verification import Verification, verify
from emo_bench.sweeps.planning import SweepPlanner
from emo_bench.sweeps.request import SweepRequest
from emo_bench.sweeps.task import Making, task_from_json, task_to_json
from emo_bench.video.lossless import read_lossless
from protocols import load_protocol
from protocols.splitting import parse_frames
from protocols.sweeps import Grid
from reports.ground import differing_values
from reports.numbers import group_title
from reports.paper import paper_tables_for
from reports.ranking import group_rows
from reports.reproduction import command
from tests.conftest import write_actor

METRICS = '["psnr", "ssim", "sd", "identity_to_subject"]'
PAIR = """
[[driving.pairs]]
subject = "dot"
driver = "dash"
frames = ["30-41"]
[[driving.pairs]]
subject = "dot"
driver = "dusk"
frames = ["20-25"]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("three")
    for name, frames, faceless, speed in (
        ("dot", 150, (7, 8, 120), 0.21),
        ("dash", 110, (5,), 0.1),
        ("dusk", 90, (), 1),
    ):
        folder = home / "captures" / name
        folder.mkdir(parents=True)
        write_actor(folder, frames, faceless, speed)
    return home


@pytest.fixture(autouse=True)
def three_actors(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    monkeypatch.setenv("EMO_BENCH_OFFLINE", "1")


@pytest.fixture
def self_protocol(quick_protocol_text: str, tmp_path: Path) -> str:
    file = tmp_path / "quick.toml"
    file.write_text(quick_protocol_text.replace('["psnr", "ssim", "sd"]', METRICS))
    return str(file)


@pytest.fixture
def request_(self_protocol: str, tmp_path: Path) -> RunRequest:
    text = Path(self_protocol).read_text(encoding="utf-8").replace('"quick"', '"cross"')
    text = text.replace('"self-reenactment"', '"cross-reenactment"')
    file = tmp_path / "cross.toml"
    file.write_text(f'{text}\n[driving]\ntransfer = "relative"\nframes = 8\n{PAIR}')
    return RunRequest(
        "nearest-frame", "dot", str(file), profile="smoke", runs_dir=tmp_path / "runs", device="cpu", driver="dash"
    )


def make(request: RunRequest, **changes: object) -> Path:
    return runner.run(dataclasses.replace(request, **changes), trivial=False)[0]  # type: ignore[arg-type]


def frames_of(folder: Path) -> np.ndarray:
    return np.stack(list(read_lossless(folder / "render.mkv")))


def test_frames_of_the_subject_are_scored_against_the_drivers(request_: RunRequest) -> None:
    folder = make(request_)
    assert folder.relative_to(request_.runs_dir).as_posix() == "cross/dot/by-dash/nearest-frame/smoke-s0"
    run = load_run(folder)
    identity, driver = run.manifest["identity"], actors.load("dash")
    assert identity["actor"]["name"] == "dot" and identity["driver"] == {"name": "dash", "sha256": driver.sha256}
    assert run.scores.index.tolist() == list(range(30, 42))
    train = parse_frames(run.manifest["split"]["train"])
    assert train == plan_run(dataclasses.replace(request_, driver="dot")).applied.split.train
    rendered = frames_of(folder)
    recorded = np.stack(list(actors.load("dot").frames(train)))
    assert all((recorded == frame).all(axis=(1, 2, 3)).any() for frame in rendered), "each is a frame of the subject"
    expected = [peak_signal_noise_ratio(*pair) for pair in zip(driver.frames(range(30, 42)), rendered, strict=True)]
    np.testing.assert_allclose(run.scores["psnr"], expected, rtol=1e-9)


def test_a_finished_run_is_not_made_again(request_: RunRequest) -> None:
    before = read_manifest(make(request_))["stages"]
    assert read_manifest(make(request_))["stages"] == before


@pytest.mark.parametrize("method", ["nearest-frame", "mean-frame"])
def test_who_drives_itself_reproduces_self_reenactment(request_: RunRequest, self_protocol: str, method: str) -> None:
    cross = make(request_, method=method, driver="dot")
    own = make(request_, method=method, driver=None, protocol=self_protocol)
    ours, theirs = load_run(cross).scores, load_run(own).scores
    assert list(ours.index) == list(theirs.index[:8]) == list(range(138, 146))
    np.testing.assert_array_equal(ours.to_numpy(), theirs.loc[ours.index].to_numpy())
    np.testing.assert_array_equal(frames_of(cross), frames_of(own)[:8])
    said = "the actor drives its own avatar: nothing is transferred, and the scores are self-reenactment"
    assert said in read_manifest(cross)["flags"] and said not in read_manifest(own)["flags"]
    assert said not in read_manifest(make(request_, method=method))["flags"], "another actor drives"


def test_an_actor_in_no_pair_drives_by_its_first_held_out_frames(request_: RunRequest) -> None:
    folder = make(request_, actor="dash", driver="dot")
    assert load_run(folder).scores.index.tolist() == list(range(138, 146))


def test_without_a_driver_each_pair_of_the_subject_is_a_run(
    request_: RunRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    made = emo_bench.run(
        "nearest-frame", "dot", protocol=request_.protocol, profile="smoke", runs=request_.runs_dir, device="cpu",
        trivial=False, skip_edit=True,
    )  # fmt: skip
    assert [run.manifest["identity"]["driver"]["name"] for run in (made, *made.pairs)] == ["dash", "dusk"]
    with pytest.raises(SystemExit):
        main(["show", str(made.pairs[0].path)])
    assert "on actor dot driven by dusk" in capsys.readouterr().out
    assert len(made.pairs[0].scores) == 6 and made.folders == [made.path, made.pairs[0].path]
    text = made.report.read_text()
    assert "dot driven by dash" in text and "dot driven by dusk" in text


def test_the_recorded_frames_of_the_subject_are_known_to_metrics(request_: RunRequest) -> None:
    """Whatever the identity metric lacks here, it is not the subject; frames that are no run have none."""
    folder = make(request_)
    record = read_manifest(folder)["stages"]["score"]["records"]["identity_to_subject"]
    again = emo_bench.score(folder, metrics="identity_to_subject").records["identity_to_subject"]
    for found in (record, again):
        assert found["backend"]["name"] != NO_BACKEND or NO_SUBJECT not in found["backend"]["detail"]


def test_tables_of_other_tasks_and_drivers_do_not_mix(request_: RunRequest, self_protocol: str) -> None:
    folders = [make(request_), make(request_, driver="dusk"), make(request_, driver=None, protocol=self_protocol)]
    runs = [load_run(folder) for folder in folders]
    groups = group_rows(runs)
    assert sorted(group_title(group).split(" v")[0] for group in groups) == [
        "SMOKE, not a result: cross",
        "SMOKE, not a result: quick",
    ]
    by_dash, by_dusk = next(group for group in groups if len(group.rows) == 2).rows
    assert [row.subject_title for row in (by_dash, by_dusk)] == ["dot driven by dash", "dot driven by dusk"]
    gap = differing_values(by_dash.facts, by_dusk.facts)
    assert gap == "actor: 'dot driven by dash' and 'dot driven by dusk'"
    assert "--actor dot --driver dash --protocol" in command(by_dash)
    assert [table.id for table in paper_tables_for(groups)] == ["table-1"]
    assert not paper_tables_for([group for group in groups if len(group.rows) == 2])


def test_a_run_is_verified_by_scoring_and_rendering_again(request_: RunRequest) -> None:
    verified = verify(make(request_), Verification(render=True, device="cpu"))
    states = {check.what: check.state for check in verified.checks}
    assert verified.holds, verified.checks
    assert states["render again"] == states["psnr"] == states["split"] == "same"


def test_scores_of_a_runs_folder_are_against_the_driver(request_: RunRequest) -> None:
    folder = make(request_)
    again = emo_bench.score(folder, metrics="psnr")
    np.testing.assert_array_equal(again.scores["psnr"], load_run(folder).scores["psnr"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"driver": None, "actor": "dusk"}, "protocol cross has no pair of actor dusk: name the actor who drives"),
        ({"driver": "nobody"}, "there is no actor 'nobody'"),
        ({"protocol": "self_reenactment-mini"}, "protocol self_reenactment-mini has no driver: leave out --driver"),
        ({"actor": "dash", "driver": "dot", "protocol": "cross_reenactment"}, "give --protocol cross_reenactment-mini"),
        ({"edits": (EditRequest(named_style("comic"), options=("--style",)),)}, "protocol cross scores no edit"),
    ],
)
def test_what_does_not_go_together_is_one_line(request_: RunRequest, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make(request_, **changes)
    assert "\n" not in str(caught.value) and not request_.runs_dir.exists()


def test_a_driver_alone_chooses_the_protocol(request_: RunRequest) -> None:
    plan = plan_run(dataclasses.replace(request_, protocol=None, actor="dash"))
    assert plan.applied.protocol.name == "cross_reenactment-mini"


def test_a_pair_of_another_video_is_refused(request_: RunRequest, tmp_path: Path) -> None:
    file = Path(str(request_.protocol))
    text = file.read_text(encoding="utf-8").replace('["30-41"]', '["4-6", 300]')
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="frames 5,300 of driver dash have no face or do not exist"):
        make(request_)


def test_frames_made_elsewhere_are_not_filed_under_it(request_: RunRequest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="frames made elsewhere cannot be filed under it"):
        file_frames(GivenRequest(tmp_path, "mine", "dot", request_.protocol))


def test_a_subject_is_fitted_once_for_all_its_drivers(request_: RunRequest, self_protocol: str) -> None:
    """The fit of self-reenactment is copied, with its cost; the frames are those of a fit of its own."""
    alone = make(request_, runs_dir=request_.runs_dir.with_name("alone"))
    own = make(request_, driver=None, protocol=self_protocol)
    driven = make(request_)
    fits = [read_manifest(folder)["stages"]["fit"] for folder in (alone, own, driven)]
    assert "copied_from" not in fits[0] and fits[2]["copied_from"] == own.as_posix()
    assert fits[2]["files"] == fits[1]["files"] and fits[2]["seconds"] == fits[1]["seconds"]
    np.testing.assert_array_equal(frames_of(driven), frames_of(alone))
    assert verify(driven, Verification(render=True, device="cpu")).holds


@pytest.mark.parametrize("other", ["damaged", "other frames"])
def test_another_fit_is_not_taken(request_: RunRequest, self_protocol: str, other: str) -> None:
    if other == "other frames":
        file = Path(self_protocol)
        text = file.read_text(encoding="utf-8").replace("train_frames_at_most = 30", "train_frames_at_most = 29")
        file.write_text(text, encoding="utf-8")
    own = make(request_, driver=None, protocol=self_protocol)
    if other == "damaged":
        checkpoint = own / "checkpoint.safetensors"
        checkpoint.write_bytes(checkpoint.read_bytes() + b" ")
    assert "copied_from" not in read_manifest(make(request_))["stages"]["fit"]


def test_drive_scores_the_frames_that_it_shows(
    request_: RunRequest, self_protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scores are those of the same frames scored alone; the actor's own training frames are named."""
    folder = make(request_, driver=None, protocol=self_protocol)
    with pytest.raises(SystemExit) as ended:
        main(["drive", str(folder), "--by", "dash", "--frames", "20", "--score", "--device", "cpu"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "fitted on" not in printed and f"scores   {folder / 'driven-by-dash-scores'}" in printed
    written = pandas.read_parquet(folder / "driven-by-dash-scores" / "scores.parquet")
    assert list(written.columns) == list(load_protocol("cross_reenactment").scoring.metrics)
    method, _ = open_method(folder, "cpu")
    method.load()
    own, driver = actors.load("dot"), actors.load("dash")
    numbers = [int(i) for i in driver.valid_indices[:20]]
    assert list(written.index.astype(int)) == numbers and 5 not in numbers
    rendered = np.stack(list(method.render(driven_capture(own, driver), numbers)))
    alone = score(rendered, metrics=("warping_error_own",))["warping_error_own"].to_numpy()
    np.testing.assert_array_equal(written["warping_error_own"], alone)
    assert re.search(rf"warping_error_own +{np.nanmean(alone):.4f}", printed)

    with pytest.raises(SystemExit):
        main(["drive", str(folder), "--by", "dot", "--frames", "40", "--score", "--device", "cpu"])
    seen = set(parse_frames(read_manifest(folder)["split"]["train"])) & set(own.valid_indices[:40].tolist())
    assert f"note: the avatar was fitted on {len(seen)} of these frames" in capsys.readouterr().out


def test_a_sweep_makes_a_run_for_each_pair(request_: RunRequest) -> None:
    grid = Grid(methods=("nearest-frame",), actors=("dot",), protocols=(str(request_.protocol),), profile="smoke")
    plan = SweepPlanner(SweepRequest((grid,), request_.runs_dir, "cpu")).plan()
    assert [task.name for task in plan.tasks] == [
        f"cross/dot/by-{by}/nearest-frame/smoke-s0" for by in ("dash", "dusk")
    ]
    make(request_)
    again = SweepPlanner(SweepRequest((grid,), request_.runs_dir, "cpu")).plan()
    assert [task.name for task in again.done] == [plan.tasks[0].name]
    work = task_from_json(task_to_json(plan.tasks[1])).work
    assert isinstance(work, Making) and work.request.driver == "dusk"
