"""The pipeline end to end on a small real video: scores, held-out frames out of reach, nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from skimage.metrics import peak_signal_noise_ratio

from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.runs import runner
from emo_bench.runs.editing import open_method
from emo_bench.runs.finished import load_run
from emo_bench.runs.manifest import read_manifest, write_manifest
from emo_bench.runs.plan import RunRequest
from emo_bench.runs.verification import Verification, verify
from emo_bench.system.devices import chosen_device
from emo_bench.video.lossless import FrameDigest, read_lossless, write_lossless
from protocols.splitting import parse_frames

BROKEN = """
import numpy as np
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method, MethodInfo

class Base(Method):
    info = MethodInfo("broken", "Broken", "", "MIT", frozenset({"render"}), (), "a test")
    resolution_px = 64
    shape = (64, 64, 3)
    extra = 0

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train): ...
    def load(self): ...
    def render(self, capture, indices):
        for _ in range(len(indices) + self.extra):
            yield np.zeros(self.shape, np.uint8)

class ReadsHeldOutInFit(Base):
    def fit(self, capture, train):
        next(capture.frames([len(capture) - 1]))

class ReadsHeldOutInRender(Base):
    def render(self, capture, indices):
        yield from capture.frames(indices)

class RendersTheTruth(Base):
    def render(self, capture, indices):
        import dataclasses
        yield from dataclasses.replace(capture, readable=None).frames(indices)

class RendersNothing(Base):
    def render(self, capture, indices):
        return None

class TooFew(Base):
    extra = -1

class TooMany(Base):
    extra = 1

class WrongShape(Base):
    shape = (32, 32, 3)

class RefusesToFit(Base):
    def fit(self, capture, train):
        raise UserError("no such prior")

class Impostor(Base):
    info = MethodInfo("mean-frame", "Impostor", "", "MIT", frozenset({"render"}), (), "a test")
"""


@pytest.fixture
def request_(actor: str, protocol_file: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "method": "mean-frame",
        "actor": actor,
        "protocol": protocol_file,
        "profile": "smoke",
        "runs_dir": tmp_path / "runs",
        "device": "cpu",
    }


def make(fields: dict[str, Any], **changes: Any) -> Path:
    return runner.run(RunRequest(**{**fields, **changes}), trivial=False)[0]


def test_scores_are_those_of_the_frames_in_the_folder(request_: dict[str, Any]) -> None:
    """PSNR by scikit-image of the mean that numpy takes of the training frames, against the recorded ones."""
    folder = make(request_)
    run = load_run(folder)
    capture = actors.load("dot")
    train = parse_frames(run.manifest["split"]["train"])
    test = parse_frames(run.manifest["split"]["test"])
    mean = np.rint(np.stack(list(capture.frames(train))).astype(float).mean(axis=0)).astype(np.uint8)
    expected = [peak_signal_noise_ratio(truth, mean) for truth in capture.frames(test)]
    assert run.scores.index.tolist() == list(test) == list(range(138, 150))
    np.testing.assert_allclose(run.scores["psnr"], expected, rtol=1e-9)
    np.testing.assert_array_equal(np.stack(list(read_lossless(folder / "render.mkv"))), np.stack([mean] * 12))


def test_ground_truth_is_resized_by_area_to_the_render(request_: dict[str, Any]) -> None:
    folder = make(request_, settings={"resolution_px": "32"})
    assert folder.parent.name == "mean-frame+resolution_px=32"
    run = load_run(folder)
    mean = next(read_lossless(folder / "render.mkv"))
    frames = actors.load("dot").frames(run.scores.index)
    truth = [np.rint(f.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))).astype(np.uint8) for f in frames]
    expected = [peak_signal_noise_ratio(frame, mean) for frame in truth]
    np.testing.assert_allclose(run.scores["psnr"], expected, atol=0.05)
    assert run.manifest["stages"]["score"]["records"]["psnr"]["resolution"] == "32x32"


def test_an_enlarged_reference_is_said_to_be_one(request_: dict[str, Any]) -> None:
    manifest = read_manifest(make(request_, settings={"resolution_px": "96"}))
    assert "reference frames are enlarged from 64 to 96 px" in manifest["flags"]
    assert manifest["stages"]["score"]["records"]["psnr"]["resize_filter"] == "bicubic, enlarged"


def test_everything_written_by_smoke_says_so(request_: dict[str, Any]) -> None:
    folder = make(request_, profile="cpu")
    assert read_manifest(folder)["flags"][0].startswith("mini protocol")
    folder = make(request_)
    manifest = read_manifest(folder)
    assert manifest["smoke"] is True
    assert manifest["flags"][0].startswith("smoke profile")
    assert pandas.read_parquet(folder / "frames.parquet").attrs["smoke"] is True
    assert "smoke" in (folder / "log.txt").read_text()
    assert "smoke" in folder.name


def test_frames_without_a_face_are_named_and_left_out(request_: dict[str, Any]) -> None:
    split = read_manifest(make(request_))["split"]
    assert split["faceless"] == "7-8,120"
    assert not {7, 8, 120} & {*parse_frames(split["train"]), *parse_frames(split["test"])}


def test_the_manifest_says_what_it_took(request_: dict[str, Any]) -> None:
    manifest = read_manifest(make(request_))
    for stage in ("fit", "render", "score"):
        entry = manifest["stages"][stage]
        assert entry["seconds"] >= 0
        assert 50 < entry["memory_mib"] < 16000
        assert entry["machine"]["packages"]["numpy"] == np.__version__
    digest = FrameDigest()
    for frame in read_lossless(make(request_) / "render.mkv"):
        digest.add(frame)
    assert manifest["stages"]["render"]["frames_sha256"] == digest.hexdigest()


def test_a_finished_run_is_left_as_it_is(request_: dict[str, Any]) -> None:
    folder = make(request_)
    names = ("run.json", "frames.parquet", "render.mkv", "preview.mp4", "checkpoint.safetensors")
    before = {name: (folder / name).stat().st_mtime_ns for name in names}
    assert make(request_) == folder
    assert {name: (folder / name).stat().st_mtime_ns for name in names} == before


def test_scores_are_made_again_when_a_backend_came(request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from emo_bench.metrics.structural import SSIM

    with monkeypatch.context() as patch:
        patch.setattr(SSIM, "missing", classmethod(lambda cls: "needs asset x"))
        folder = make(request_)
        assert load_run(folder).scores["ssim"].isna().all()
    rendered = (folder / "render.mkv").stat().st_mtime_ns
    assert make(request_) == folder
    assert load_run(folder).scores["ssim"].notna().all()
    assert (folder / "render.mkv").stat().st_mtime_ns == rendered


def test_frames_that_are_not_what_was_rendered_are_not_scored(request_: dict[str, Any]) -> None:
    folder = make(request_)
    (folder / "frames.parquet").unlink()
    frames = list(read_lossless(folder / "render.mkv"))
    frames[3] = 255 - frames[3]
    write_lossless(folder / "render.mkv", frames)
    manifest = json.loads((folder / "run.json").read_text())
    # As a version that kept no SHA-256 of the file wrote it.
    del manifest["stages"]["render"]["files"]
    write_manifest(folder, manifest)
    with pytest.raises(UserError, match="is not what was rendered"):
        make(request_)
    assert not (folder / "frames.parquet").exists()
    (folder / "render.mkv").unlink()
    assert make(request_) == folder
    assert len(load_run(folder).scores) == 12


def test_a_changed_protocol_is_refused_in_the_same_folder(request_: dict[str, Any], protocol_file: str) -> None:
    make(request_)
    file = Path(protocol_file)
    file.write_text(file.read_text(encoding="utf-8").replace("guard_frames = 3", "guard_frames = 4"), encoding="utf-8")
    with pytest.raises(UserError, match=r"another protocol\.hash"):
        make(request_)


def test_another_split_seed_or_setting_is_another_folder(request_: dict[str, Any]) -> None:
    folders = {make(request_), make(request_, seed=1), make(request_, split="random-12")}
    assert {folder.relative_to(request_["runs_dir"]).as_posix() for folder in folders} == {
        "quick/dot/mean-frame/smoke-s0",
        "quick/dot/mean-frame/smoke-s1",
        "quick@random-12/dot/mean-frame/smoke-s0",
    }


def test_trivial_methods_come_along_at_the_same_resolution(request_: dict[str, Any]) -> None:
    request = RunRequest(**{**request_, "settings": {"resolution_px": "32"}})
    folders = runner.run(request)
    manifests = [read_manifest(folder) for folder in folders]
    assert [m["identity"]["method"] for m in manifests] == ["mean-frame", "nearest-frame"]
    assert {m["identity"]["resolution_px"] for m in manifests} == {32}
    assert len({m["split"]["sha256"] for m in manifests}) == 1
    assert manifests[1]["stages"]["score"]["finished_at"]


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        ("ReadsHeldOutInFit", "broke the protocol: frame 149 of dot is held out"),
        ("ReadsHeldOutInRender", "broke the protocol: frame 138 of dot is held out"),
        ("RendersNothing", "render gives NoneType; it must yield the frames"),
        ("TooFew", "rendered 11 frames; 12 were asked for"),
        ("TooMany", "rendered more than the 12 frames that were asked for"),
        ("WrongShape", r"rendered uint8 \(32, 32, 3\); it promised uint8 \(64, 64, 3\)"),
        ("Impostor", "calls itself 'mean-frame'"),
    ],
)
def test_a_method_that_breaks_the_rules_is_told_which(
    cls: str, message: str, request_: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    with pytest.raises(UserError, match=message):
        make(request_, method=f"{file}:{cls}")
    left = {file.name for file in (tmp_path / "runs").rglob("*")}
    assert not left & {"frames.parquet", "render.mkv", "render.mkv.part"}


def test_frames_that_are_the_recorded_ones_are_counted_in_a_note(request_: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    note = "12 of 12 rendered frames are the recorded ones, bit for bit"
    folder = make(request_, method=f"{file}:RendersTheTruth")
    assert read_manifest(folder)["flags"].count(note) == 1
    (folder / "frames.parquet").unlink()
    assert read_manifest(make(request_, method=f"{file}:RendersTheTruth"))["flags"].count(note) == 1
    assert not any("bit for bit" in flag for flag in read_manifest(make(request_))["flags"])


def test_a_fit_that_was_refused_at_once_is_not_in_the_way_of_the_mended_one(
    request_: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    with pytest.raises(UserError, match="no such prior"):
        make(request_, method=f"{file}:RefusesToFit")
    assert not (tmp_path / "runs").exists()
    file.write_text(BROKEN.replace('raise UserError("no such prior")', "..."))
    assert load_run(make(request_, method=f"{file}:RefusesToFit")).scores.shape[0] == 12


def test_an_edited_method_file_does_not_serve_the_old_run(request_: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    make(request_, method=f"{file}:Base")
    file.write_text(BROKEN + "\n# edited\n")
    with pytest.raises(UserError, match="another method_file_sha256"):
        make(request_, method=f"{file}:Base")


def test_a_run_opens_with_the_method_file_it_was_made_by(
    request_: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    run = make(request_, method="broken.py:Base")
    monkeypatch.chdir("/")
    method, _ = open_method(run, "cpu", trust=True)
    assert type(method.inner).__name__ == "Base" and method.workspace.folder == run
    (tmp_path / "broken.py").rename(tmp_path / "moved.py")
    with pytest.raises(UserError, match=r"made by .*/broken\.py:Base, which does not exist any more: give its"):
        open_method(run, "cpu", trust=True)
    assert make(request_, method=f"{tmp_path}/moved.py:Base") == run
    assert type(open_method(run, "cpu", trust=True)[0].inner).__name__ == "Base"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        (
            "evil.py:Base",
            BROKEN + "\nfrom pathlib import Path\nPath(__file__).with_name('executed').touch()\n",
            "executes the Python file",
        ),
        ("evil.toml", "touch executed", "runs the shell commands of"),
    ],
)
def test_the_file_that_a_run_names_is_executed_only_when_it_is_trusted(
    name: str, content: str, what: str, request_: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    run = make(request_, method=f"{tmp_path}/broken.py:Base")
    file = tmp_path / name.partition(":")[0]
    file.write_text(content)
    manifest = json.loads((run / "run.json").read_text())
    manifest["method_place"] = str(tmp_path / name)
    write_manifest(run, manifest)
    with pytest.raises(UserError, match=rf"{what} {file}; look at that file, and give --trust"):
        open_method(run, "cpu")
    # A name of this toolkit is the toolkit's method, whatever else the run says.
    manifest["identity"] |= {"method": "mean-frame", "config": {}}
    write_manifest(run, manifest)
    assert type(open_method(run, "cpu")[0].inner).__name__ == "MeanFrame"
    assert not (tmp_path / "executed").exists()


def test_a_run_that_does_not_say_its_method_file_says_what_to_do(request_: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    run = make(request_, method=f"{tmp_path}/broken.py:Base")
    manifest = json.loads((run / "run.json").read_text())
    del manifest["method_place"]
    write_manifest(run, manifest)
    with pytest.raises(UserError, match=r"does not name its file: give its emo-bench run command again"):
        open_method(run, "cpu", trust=True)
    make(request_, method=f"{tmp_path}/broken.py:Base")
    assert type(open_method(run, "cpu", trust=True)[0].inner).__name__ == "Base"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert chosen_device(None) == chosen_device("cpu") == "cpu"
    with pytest.raises(UserError, match="there is no device cuda: torch finds no GPUs here; give cpu"):
        chosen_device("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [chosen_device(asked) for asked in (None, "cuda", "cuda:1")] == ["cuda:0", "cuda:0", "cuda:1"]
    with pytest.raises(UserError, match="finds 2 GPUs"):
        chosen_device("cuda:2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"profile": "fast"}, "no profile 'fast'; its profiles: smoke, cpu, gpu, paper"),
        ({"protocol": "self_reenactment"}, "profile smoke goes with a mini protocol"),
        ({"settings": {"lr": "1"}}, "no setting 'lr'"),
        ({"settings": {"resolution_px": "no"}}, "resolution_px=no: must be a whole number"),
        ({"actor": "nobody"}, "no actor 'nobody'"),
        ({"split": "tail-9"}, "no split 'tail-9'"),
        ({"device": "foo"}, "there is no device 'foo': give cpu or cuda"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_a_wrong_request_writes_nothing(
    changes: dict[str, Any], message: str, request_: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        make(request_, **changes)
    assert not (tmp_path / "runs").exists()


def test_the_manifest_is_plain_json(request_: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((make(request_) / "run.json").read_text(), parse_constant=refuse)


def test_a_split_by_pose_trains_on_heads_that_are_turned_little(request_: dict[str, Any]) -> None:
    file = Path(request_["protocol"])
    text = file.read_text(encoding="utf-8").replace('default_split = "tail-12"', 'default_split = "pose-30"')
    rule = 'kind = "pose"\nheld_out_frames = 30\nguard_frames = 0\n'
    rule += "within_yaw_deg = 15\nwithin_pitch_deg = 5\nmargin_deg = 4\n"
    text = text.replace("[splits.random-12]", f"[splits.pose-30]\n{rule}[splits.random-12]")
    file.write_text(text, encoding="utf-8")
    folder = make(request_)
    yaw = np.abs(actors.load("dot").track.yaw_pitch_deg()[:, 0])
    run = load_run(folder)
    train = np.array(parse_frames(run.manifest["split"]["train"]))
    assert yaw[train].max() < 16 and yaw[run.scores.index].min() > 18 and len(run.scores) == 30
    states = {check.what: check.state for check in verify(folder, Verification(device="cpu")).checks}
    assert states["split"] == states["psnr"] == "same"
