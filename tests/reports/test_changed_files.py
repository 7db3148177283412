"""A file that has changed since it was written gives no number without a word, and ``emo-bench verify`` finds it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emo_bench
from emo_bench.errors import UserError
from emo_bench.runs import checksums, runner
from emo_bench.runs.finished import load_run
from emo_bench.runs.frame_scoring import ScoreRequest, score_request
from emo_bench.runs.manifest import read_manifest, write_manifest
from emo_bench.runs.plan import RunRequest
from emo_bench.runs.tolerances import other_machine
from emo_bench.runs.verification import Verification, largest_difference, verify
from emo_bench.video.lossless import FrameDigest, read_lossless, write_lossless
from protocols import load_protocol
from protocols.splitting import format_frames
from reports.results import publish_results

Call = Callable[..., tuple[int, str, str]]
THRESHOLDS = 'version = 1\n[[threshold]]\nmetric = "psnr"\nat_least = 1\n'
FILES = ("checkpoint.safetensors", "render.mkv", "frames.parquet", "preview.mp4")
METRICS = ("psnr", "ssim", "sd")


@pytest.fixture
def run(runs: Path, actor: str) -> Path:
    """A finished run of mean-frame that a test may change."""
    return next(path for path in runs.rglob("smoke-s0") if path.parent.name == "mean-frame")


def states(run: Path, **how: Any) -> dict[str, str]:
    return {check.what: check.state for check in verify(run, Verification(**how)).checks}


def joined(panel: str) -> str:
    """The text of a panel without white space and borders."""
    return "".join(panel.replace("│", "").split())


def add_five(run: Path) -> None:
    scores = pandas.read_parquet(run / "frames.parquet")
    scores["psnr"] += 5
    scores.to_parquet(run / "frames.parquet")


def flip_a_pixel(run: Path) -> None:
    frames = list(read_lossless(run / "render.mkv"))
    frames[3][10, 20, 1] ^= 1
    write_lossless(run / "render.mkv", frames)


def compute_checksums_anew(run: Path) -> None:
    """Do what somebody does who wants the change to stay unseen."""
    manifest = read_manifest(run, changed=True)
    for stage in manifest["stages"].values():
        for kind in ("files", "other_files"):
            stage[kind] = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in stage[kind]}
    digest = FrameDigest()
    for frame in read_lossless(run / "render.mkv"):
        digest.add(frame)
    manifest["stages"]["render"]["frames_sha256"] = digest.hexdigest()
    scores = pandas.read_parquet(run / "frames.parquet")
    if scores.attrs["frames_sha256"] != digest.hexdigest():
        scores.attrs["frames_sha256"] = digest.hexdigest()
        scores.to_parquet(run / "frames.parquet")
        sha256 = hashlib.sha256((run / "frames.parquet").read_bytes()).hexdigest()
        manifest["stages"]["score"]["files"]["frames.parquet"] = sha256
    write_manifest(run, manifest)


def test_an_untouched_run_is_the_same_in_every_bit(run: Path, call: Call) -> None:
    verified = verify(run, Verification(render=True))
    assert {check.state for check in verified.checks} == {"same"}
    assert {check.what for check in verified.checks} >= {"run.json", *FILES, *METRICS, "render again"}
    again = [check for check in verified.checks if check.what in (*METRICS, "render again")]
    assert [(check.difference, check.allowed) for check in again] == [(0.0, 0.0)] * 4
    code, out, _ = call("verify", run, "--render", "--strict")
    assert code == 0 and f"{len(verified.checks)} checks hold, 0 differ, 0 n/a" in out
    assert json.loads(call("verify", run, "--json", "--checksums-only")[1])["holds"] is True


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), at=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_any_changed_byte_of_any_file_is_found(name: str, at: float, bits: int, run: Path) -> None:
    whole = (run / name).read_bytes()
    changed = bytearray(whole)
    changed[int(at * len(whole))] ^= bits
    (run / name).write_bytes(changed)
    try:
        assert states(run, rescore=False)[name] == "differs"
        if name != "preview.mp4":
            with pytest.raises(UserError, match=f"{name} has changed since it was written: restore it"):
                load_run(run)
    finally:
        (run / name).write_bytes(whole)
    load_run(run)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_value_of_run_json_is_found(data: st.DataObject, run: Path) -> None:
    whole = (run / "run.json").read_text()
    manifest = json.loads(whole)
    holder, key = manifest, data.draw(st.sampled_from(sorted(manifest)))
    while isinstance(holder[key], dict) and holder[key]:
        holder, key = holder[key], data.draw(st.sampled_from(sorted(holder[key])))
    before = holder[key]
    holder[key] = data.draw(st.integers() | st.text(max_size=9) | st.floats(allow_nan=False, allow_infinity=False))
    if key in checksums.PRIVATE or holder[key] == before:
        return
    (run / "run.json").write_text(json.dumps(manifest))
    try:
        with pytest.raises(UserError):
            read_manifest(run)
        assert states(run, rescore=False)["run.json"] == "differs"
    finally:
        (run / "run.json").write_text(whole)


@pytest.mark.parametrize("change", [add_five, flip_a_pixel])
def test_no_command_prints_a_number_of_a_changed_file(
    change: Callable[[Path], None], run: Path, runs: Path, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    name = "frames.parquet" if change is add_five else "render.mkv"
    change(run)
    other = next(path for path in runs.rglob("smoke-s0") if path.parent.name == "nearest-frame")
    (runs.parent / "t.toml").write_text(THRESHOLDS)
    for command in (
        ("show", run),
        ("show", run, "--json"),
        ("compare", run, other),
        ("report", run, "--no-videos"),
        ("check", run, "--thresholds", runs.parent / "t.toml"),
        ("check", runs, "--thresholds", runs.parent / "t.toml"),
        ("score", run, "--metrics", "psnr"),
        ("study", "build", run, "--out", runs.parent / "study"),
    ):
        code, out, err = call(*command)
        assert (code, out) == (2, ""), command
        assert f"{run / name} has changed since it was written" in err, command
    with pytest.raises(UserError, match="has changed"):
        emo_bench.load_run(run)
    # A report of many runs leaves this one out, and says so on its page and in its warning.
    code, _, _ = call("report", runs, "--out", runs.parent / "out", "--no-videos")
    page = (runs.parent / "out" / "report.md").read_text()
    assert code == 0 and f"{name} has changed since it was written" in page
    with pytest.raises(UserError, match="has changed"):
        publish_results(runs, runs.parent / "results")
    caplog.clear()


def test_a_changed_preview_or_table_of_losses_is_not_shown(
    run: Path, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = read_manifest(run)
    (run / "train.csv").write_text("step,loss\n0,1\n1,0.5\n")
    sha256 = hashlib.sha256((run / "train.csv").read_bytes()).hexdigest()
    manifest["stages"]["fit"]["other_files"]["train.csv"] = sha256
    write_manifest(run, manifest)
    assert "lossesatstep1:loss0.5" in joined(call("show", run)[1])
    (run / "train.csv").write_text("step,loss\n0,1\n1,0.4\n")
    (run / "preview.mp4").write_bytes((run / "preview.mp4").read_bytes() + b"\0")
    code, out, _ = call("show", run)
    assert code == 0 and "loss 0.4" not in out
    # The panel breaks a path where its length wants it.
    assert "train.csvhaschangedsince" in joined(out)
    assert call("report", run)[0] == 0
    for what in ("the link to it", "its clip is", "its curves are"):
        assert f"{what} {'is ' * what.endswith('it')}left out" in caplog.text
    assert "preview.mp4" not in (run / "report.md").read_text()


def test_run_makes_a_changed_score_again_and_refuses_a_changed_run_json(
    run: Path, runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    protocol = read_manifest(run)["protocol_place"]
    before = load_run(run).scores
    request = RunRequest("mean-frame", "dot", protocol, profile="smoke", runs_dir=runs, device="cpu")
    add_five(run)
    with caplog.at_level(logging.INFO):
        runner.run(request, trivial=False)
    assert "score: frames.parquet has changed since it was written" in caplog.text
    pandas.testing.assert_frame_equal(load_run(run).scores, before)
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"frames_scored": 12', '"frames_scored": 13', 1))
    with pytest.raises(UserError, match=r"run\.json has changed since it was written: .*remove the folder and run"):
        runner.run(request, trivial=False)


def test_scores_with_new_checksums_are_found_by_scoring_again(run: Path, call: Call) -> None:
    add_five(run)
    compute_checksums_anew(run)
    assert load_run(run).scores["psnr"].mean() > 0
    checks = {check.what: check for check in verify(run, Verification()).checks}
    assert [name for name, check in checks.items() if check.state != "same"] == ["psnr"]
    assert checks["psnr"].difference == pytest.approx(5, abs=1e-9)
    code, out, _ = call("verify", run)
    assert code == 1 and "in 12 of 12 frames" in out and "1 differ, 0 n/a" in out
    # A tolerance is the user's word for one metric.
    assert call("verify", run, "--tolerance", "psnr=5.1")[0] == 0
    assert call("verify", run, "--tolerance", "psnr=no")[0] == 2
    assert call("verify", run, "--tolerance", "no=1")[0] == 2


def test_frames_with_new_checksums_and_scores_are_found_by_rendering_again(run: Path, call: Call) -> None:
    flip_a_pixel(run)
    compute_checksums_anew(run)
    found = {check.what: check for check in verify(run, Verification(render=True)).checks}
    assert found["render.mkv"].state == found["frames of render.mkv"].state == "same"
    assert found["psnr"].state == "differs"
    assert found["render again"].state == "differs"
    assert found["render again"].detail == "1 of 12 frames, at most 1 of 255 levels"


def test_a_record_that_says_more_than_was_scored_is_found(run: Path) -> None:
    manifest = read_manifest(run)
    manifest["stages"]["score"]["records"]["ssim"]["region"] = "face"
    write_manifest(run, manifest)
    (found,) = [check for check in verify(run, Verification()).checks if check.state == "differs"]
    assert (found.what, found.detail) == ("ssim", "its record has another region")


def test_a_record_with_an_invented_or_a_missing_entry_is_found(run: Path) -> None:
    manifest = read_manifest(run)
    records = manifest["stages"]["score"]["records"]
    records["psnr"]["video_score"] = 99.0
    del records["sd"]["reference_sha256"]
    write_manifest(run, manifest)
    found = {check.what: check.detail for check in verify(run, Verification()).checks if check.state == "differs"}
    assert found == {"psnr": "its record has another video_score", "sd": "its record has another reference_sha256"}


def test_a_metric_whose_scores_were_removed_is_found(run: Path) -> None:
    manifest = read_manifest(run)
    del manifest["stages"]["score"]["records"]["ssim"]
    write_manifest(run, manifest)
    assert "ssim" not in load_run(run).scores
    (found,) = [check for check in verify(run, Verification()).checks if check.state == "differs"]
    assert (found.what, found.detail) == ("ssim", "the protocol scores it, and the run has no scores of it")


def test_chosen_frames_and_a_hidden_smoke_profile_are_found(run: Path) -> None:
    untouched = read_manifest(run)
    write_manifest(run, {**untouched, "smoke": False})
    assert {what: state for what, state in states(run).items() if state != "same"} == {"split": "differs"}
    # Keep the six best frames, in every file, with checksums that are right.
    scores = pandas.read_parquet(run / "frames.parquet")
    places = sorted(np.argsort(-scores["psnr"].to_numpy())[:6])
    frames = [list(read_lossless(run / "render.mkv"))[i] for i in places]
    write_lossless(run / "render.mkv", frames)
    kept = scores.iloc[places]
    kept.attrs = dict(scores.attrs)
    kept.to_parquet(run / "frames.parquet")
    manifest = untouched
    manifest["split"]["test"] = format_frames([int(i) for i in kept.index])
    for stage in ("render", "score"):
        manifest["stages"][stage]["frames"] = len(places)
    write_manifest(run, manifest)
    compute_checksums_anew(run)
    assert len(load_run(run).scores) == len(places)
    found = {check.what: check.detail for check in verify(run, Verification()).checks if check.state == "differs"}
    assert found["split"] == "the protocol holds other frames out"


def test_a_deleted_render_is_missing_and_its_scores_are_still_read(run: Path, call: Call) -> None:
    (run / "render.mkv").unlink()
    assert len(load_run(run).scores) == 12
    found = states(run, render=True)
    assert found["render.mkv"] == "differs" and found["frames.parquet"] == "same"
    assert {found[name] for name in (*METRICS, "render again")} == {"n/a"}
    assert call("verify", run)[0] == 1


def test_a_run_of_an_older_version_is_read_with_a_note(run: Path, call: Call) -> None:
    manifest = json.loads((run / "run.json").read_text())
    del manifest["manifest_sha256"]
    for stage in manifest["stages"].values():
        del stage["files"], stage["other_files"]
    (run / "run.json").write_text(json.dumps(manifest))
    assert "nochecksumsonrecord" in joined(call("show", run)[1])
    call("report", run, "--no-videos")
    assert "no checksums on record" in (run / "report.md").read_text()
    found = states(run)
    assert {found[name] for name in ("run.json", "render.mkv", "frames.parquet")} == {"n/a"}
    assert {found[name] for name in METRICS} == {"same"}
    code, out, _ = call("verify", run)
    assert code == 0 and "no checksums on record" in out
    assert call("verify", run, "--strict")[0] == 1


def test_a_run_that_lost_its_checksum_is_no_run_of_an_older_version(run: Path) -> None:
    manifest = json.loads((run / "run.json").read_text())
    del manifest["manifest_sha256"]
    manifest["smoke"] = False
    (run / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"run\.json has lost its checksum manifest_sha256: restore it"):
        load_run(run)
    checks = {check.what: check for check in verify(run, Verification(rescore=False)).checks}
    assert (checks["run.json"].state, checks["run.json"].detail) == ("differs", "has lost its checksum")


def test_a_metric_in_a_file_is_executed_only_when_it_is_trusted(run: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    text = Path(read_manifest(run)["protocol_place"]).read_text(encoding="utf-8")
    (tmp_path / "quick.toml").write_text(text.replace('"sd"', f'"{own}:Mine"'))
    manifest = read_manifest(run)
    manifest["protocol_place"] = str(tmp_path / "quick.toml")
    manifest["identity"]["protocol"]["hash"] = load_protocol(manifest["protocol_place"]).hash()
    write_manifest(run, manifest)
    found = {check.what: check for check in verify(run, Verification()).checks}
    assert found["psnr"].state == "n/a" and "give --trust" in found["psnr"].detail
    assert not (tmp_path / "executed").exists()
    verify(run, Verification(trust=True))
    assert (tmp_path / "executed").exists()


def test_an_interrupted_stage_is_not_verified(run: Path) -> None:
    manifest = read_manifest(run)
    manifest["stages"] = {"fit": manifest["stages"]["fit"], "render": {"attempts": 1}}
    write_manifest(run, manifest)
    found = states(run)
    assert found["stage render"] == "n/a" and found["checkpoint.safetensors"] == "same"
    assert "psnr" not in found


def test_published_results_lack_only_what_was_left_out(run: Path, runs: Path, call: Call) -> None:
    publish_results(runs, runs.parent / "results")
    folder = runs.parent / "results" / run.relative_to(runs)
    checks = verify(folder, Verification()).checks
    assert not [check for check in checks if check.state == "differs"]
    assert {check.what for check in checks if check.state == "same"} == {"run.json", "frames.parquet"}
    assert call("verify", runs.parent / "results")[0] == 0
    add_five(folder)
    assert call("verify", runs.parent / "results")[0] == 1


def test_a_large_file_is_checked_by_who_uses_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "CHECKED_BYTES", 10)
    flip_a_pixel(run)
    assert len(load_run(run).scores) == 12
    with pytest.raises(UserError, match=r"render\.mkv has changed"):
        score_request(ScoreRequest(run, metrics=("psnr",)))
    add_five(run)
    with pytest.raises(UserError, match=r"frames\.parquet has changed"):
        load_run(run)


def test_the_wrong_folder_is_a_mistake_and_a_broken_run_is_not(run: Path, call: Call, tmp_path: Path) -> None:
    assert call("verify", tmp_path / "nowhere")[0] == 2
    assert call("verify", run, "--render", "--checksums-only")[0] == 2
    (run / "run.json").write_text("{")
    code, out, _ = call("verify", run)
    assert code == 1 and "cannot be read" in out


def test_another_actor_of_that_name_is_no_reason_to_accuse_the_run(run: Path, tmp_path: Path) -> None:
    manifest = read_manifest(run)
    manifest["identity"]["actor"]["sha256"] = "0" * 64
    write_manifest(run, manifest)
    found = states(run, render=True)
    assert {found[name] for name in (*METRICS, "render again")} == {"n/a"}


def test_nothing_in_a_run_is_changed_by_verifying(run: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.rglob("*") if path.is_file()}
    verify(run, Verification(render=True))
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.rglob("*") if path.is_file()}


def test_another_machine_has_a_tolerance_and_the_same_one_has_none(run: Path, call: Call) -> None:
    manifest = read_manifest(run)
    manifest["stages"]["score"]["machine"]["threads"] += 1
    manifest["stages"]["render"]["machine"]["processor"] = "another"
    write_manifest(run, manifest)
    scores = pandas.read_parquet(run / "frames.parquet")
    scores["ssim"] += 5e-6
    scores.to_parquet(run / "frames.parquet")
    compute_checksums_anew(run)
    found = {check.what: check for check in verify(run, Verification()).checks}
    assert (found["ssim"].state, found["ssim"].allowed) == ("same", 1e-5) and "threads" in found["ssim"].detail
    assert call("verify", run)[0] == 0
    assert call("verify", run, "--tolerance", "ssim=0")[0] == 1
    # One pixel by one level is within what two machines render; its scores are not.
    flip_a_pixel(run)
    compute_checksums_anew(run)
    found = {check.what: check for check in verify(run, Verification(render=True)).checks}
    assert (found["render again"].state, found["render again"].allowed) == ("same", 4.0)
    assert found["psnr"].state == "differs"


@given(st.sampled_from(["processor", "cpu_capability", "threads", "device"]), st.booleans())
def test_a_machine_is_another_one_if_anything_that_decides_a_digit_differs(name: str, older: bool) -> None:
    packages = {"torch": "2", "numpy": "2"}
    here = {"processor": "p", "cpu_capability": "AVX2", "threads": 1, "device": "cpu", "packages": packages}
    assert other_machine(here, here) == ""
    changed = {key: value for key, value in here.items() if key != name} | ({} if older else {name: "x"})
    assert other_machine(changed, here) == name
    assert other_machine({**here, "packages": {"torch": "1", "numpy": "2"}}, here) == "torch 1"


values = st.sampled_from([0.0, 1.0, -2.5, float("inf"), -float("inf"), float("nan")])


@given(st.lists(st.tuples(values, values), min_size=1))
def test_the_largest_difference_is_that_of_the_frames_one_by_one(pairs: list[tuple[float, float]]) -> None:
    def gap(a: float, b: float) -> float:
        if np.array_equal([a], [b], equal_nan=True):
            return 0.0
        return abs(a - b) if np.isfinite(a) and np.isfinite(b) else np.inf

    a, b = np.array(pairs).T
    gaps = [gap(*pair) for pair in pairs]
    assert largest_difference(a, b) == (max(gaps), sum(g > 0 for g in gaps))


def test_the_checksum_is_of_the_content_and_not_of_its_order() -> None:
    manifest = {"b": 1, "a": {"y": [1.5, "ü"], "x": None}}
    expected = hashlib.sha256(b'{"a":{"x":null,"y":[1.5,"\\u00fc"]},"b":1}').hexdigest()
    assert checksums.seal_of(manifest) == checksums.seal_of(dict(reversed(manifest.items()))) == expected
    assert checksums.seal_of({**manifest, "method_place": "/home/anna/mine.py"}) == expected


def test_a_run_that_is_copied_is_the_same(run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run, tmp_path / "elsewhere")
    assert set(states(copied, render=True).values()) == {"same"}
