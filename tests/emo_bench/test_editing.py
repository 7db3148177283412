"""Edits of runs through the command line, with a method that tints its frames: folders, scores, reports, mistakes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle
from emo_bench.runs.editing import open_edit, open_method
from emo_bench.runs.finished import load_run
from emo_bench.runs.manifest import read_manifest, write_manifest
from emo_bench.runs.style_names import name_of
from emo_bench.runs.styles import choose_style
from emo_bench.runs.verification import Verification, verify
from emo_bench.video.lossless import read_lossless
from protocols.splitting import parse_frames
from reports.reproduction import command
from reports.rows import Row

METHOD = """
import numpy as np
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method, MethodInfo

class Grey(Method):
    info = MethodInfo("grey", "Grey", "", "MIT", frozenset({"render", "edit"}), (), "a test")
    resolution_px = 64
    level = 90

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train):
        (self.workspace.folder / "train.txt").write_text(str(len(train)))

    def load(self): ...

    def render(self, capture, indices):
        for i in indices:
            yield np.full((64, 64, 3), self.level, np.uint8)

    def edit(self, style, workspace):
        if "colour" in workspace.settings:
            raise UserError("--set edit.colour: there is no such field")
        return Tinted(workspace)

class Tinted(Grey):
    level = 200

    def fit(self, capture, train):
        with (self.workspace.folder / "fits.txt").open("a") as file:
            file.write("x")
        next(capture.frames([train[0]]))

class Plain(Grey):
    info = MethodInfo("plain", "Plain", "", "MIT", frozenset({"render"}), (), "a test")
    def edit(self, style, workspace):
        return super(Grey, self).edit(style, workspace)

class Unedited(Grey):
    info = MethodInfo("unedited", "Unedited", "", "MIT", frozenset({"render"}), (), "a test")
    edit = Method.edit

class Peeking(Grey):
    info = MethodInfo("peeking", "Peeking", "", "MIT", frozenset({"render", "edit"}), (), "a test")
    def edit(self, style, workspace):
        return Peek(workspace)

class Peek(Tinted):
    def fit(self, capture, train):
        next(capture.frames([len(capture) - 1]))
"""


@pytest.fixture
def call(actor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run Grey, or another class of the file, on the small actor; gives exit code, stdout and stderr."""
    file = tmp_path / "grey.py"
    file.write_text(METHOD)

    def run(*arguments: str, cls: str = "Grey") -> tuple[int, str, str]:
        base = ["run", "--method", f"{file}:{cls}", "--actor", actor, "--profile", "smoke", "--no-trivial"]
        with pytest.raises(SystemExit) as ended:
            main([*base, "--runs", str(tmp_path / "runs"), *arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "self_reenactment-mini" / "dot" / "grey" / "smoke-s0"


def test_a_run_makes_both_halves_and_one_report(call: Any, tmp_path: Path) -> None:
    code, out, err = call()
    assert code == 0, err
    base, edit = folder(tmp_path), folder(tmp_path) / "edit" / "bronze-statue"
    assert {"run.json", "frames.parquet", "render.mkv", "preview.mp4", "log.txt"} <= {p.name for p in edit.iterdir()}
    finished = load_run(edit)
    assert list(finished.scores.columns) == [
        "flmd", "biq", "sd", "clip_d", "clip_d-judge", "clip_dv", "clip_dv-judge", "clip_dv_in2n",
        "warping_error", "flicker", "identity_similarity",
    ]  # fmt: skip
    assert all((frame == 200).all() for frame in read_lossless(edit / "render.mkv"))
    assert all((frame == 90).all() for frame in read_lossless(base / "render.mkv"))
    held_out, trained = (parse_frames(read_manifest(base)["split"][part]) for part in ("test", "train"))
    assert set(finished.scores.index) <= set(held_out)
    assert parse_frames(finished.manifest["split"]["train"]) == trained
    report = (base / "report.md").read_text()
    assert "## SMOKE, not a result: self_reenactment-mini v1" in report
    assert "## SMOKE, not a result: editing-mini v2" in report
    assert "| dot, bronze-statue | Grey |" in report
    assert ", Table 1" in report and ", Table 2" in report
    assert "editing-mini" in out and str(edit / "preview.mp4") in out


def test_sd_of_an_edit_is_reported_by_the_hundred(call: Any, tmp_path: Path) -> None:
    call()
    scores = load_run(folder(tmp_path) / "edit" / "bronze-statue").scores["sd"]
    line = next(
        line for line in (folder(tmp_path) / "report.md").read_text().splitlines() if "dot, bronze-statue |" in line
    )
    assert f"{scores.mean() / 100:.4f}" in line
    assert "SD ↓ 8-bit levels / 100" in (folder(tmp_path) / "report.md").read_text()


def test_a_run_and_its_edit_are_verified(call: Any, tmp_path: Path) -> None:
    call()
    base = folder(tmp_path)
    edit = base / "edit" / "bronze-statue"
    for run in (base, edit):
        # Its method is a file, which only a user may trust.
        found = {check.what: check for check in verify(run, Verification(rescore=False, render=True)).checks}
        assert found["render again"].state == "n/a" and "--trust" in found["render again"].detail
        checks = verify(run, Verification(render=True, trust=True)).checks
        assert {check.what for check in checks if check.state != "same"} == set()
        assert "render again" in {check.what for check in checks}
    assert "fits.txt" in read_manifest(edit)["stages"]["fit"]["other_files"]
    assert "train.txt" in read_manifest(base)["stages"]["fit"]["other_files"]
    (base / "train.txt").write_text("another")
    with pytest.raises(UserError, match=r"train\.txt has changed since it was written"):
        open_method(base, "cpu", trust=True)


def test_an_edit_of_an_earlier_fit_is_made_again_and_never_opened(
    call: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    call()
    base = folder(tmp_path)
    edit = base / "edit" / "bronze-statue"
    checks = verify(edit, Verification(rescore=False)).checks
    assert [check.state for check in checks if check.what == "run that is edited"] == ["same"]
    # Another fit, whose files are what it wrote.
    (base / "train.txt").write_text("another")
    manifest = read_manifest(base)
    manifest["stages"]["fit"]["other_files"]["train.txt"] = hashlib.sha256(b"another").hexdigest()
    write_manifest(base, manifest)
    checks = verify(edit, Verification(rescore=False)).checks
    assert [check.what for check in checks if check.state == "differs"] == ["run that is edited"]
    method, _ = open_method(base, "cpu", trust=True)
    with pytest.raises(UserError, match="the run was fitted again since this edit was made from it"):
        open_edit(method, edit.name)
    assert call()[0] == 0
    assert "was fitted again since" in caplog.text
    # The method appends to this file at every fit.
    assert (edit / "fits.txt").read_text() == "xx"
    open_edit(method, edit.name)
    # An edit of an older version does not say what it was made from.
    manifest = read_manifest(edit)
    del manifest["stages"]["fit"]["inputs"]
    write_manifest(edit, manifest)
    assert call()[0] == 0
    assert (edit / "fits.txt").read_text() == "xx"


def test_what_is_finished_is_not_done_again(call: Any, tmp_path: Path) -> None:
    call()
    edit = folder(tmp_path) / "edit" / "bronze-statue"
    before = read_manifest(edit)["stages"]
    assert call()[0] == 0
    assert read_manifest(edit)["stages"] == before
    manifest = read_manifest(edit)
    del manifest["stages"]["fit"]["finished_at"], manifest["stages"]["render"], manifest["stages"]["score"]
    write_manifest(edit, manifest)
    assert call()[0] == 0
    assert (edit / "fits.txt").read_text() == "xx"
    assert read_manifest(edit)["stages"]["render"]["frames_sha256"] == before["render"]["frames_sha256"]


def test_styles_and_settings_have_their_own_folders(call: Any, tmp_path: Path) -> None:
    assert call("--style", "van-gogh")[0] == 0
    assert call("--style", "van-gogh", "--set", "edit.steps=3")[0] == 0
    made = sorted(path.name for path in (folder(tmp_path) / "edit").iterdir())
    assert made == ["van-gogh", "van-gogh+steps=3"]
    identity = read_manifest(folder(tmp_path) / "edit" / "van-gogh+steps=3")["identity"]
    assert identity["settings"] == {"edit.steps": "3"}
    assert "edit.steps" not in read_manifest(folder(tmp_path))["identity"]["settings"]


def test_one_setting_names_the_clip_of_the_training_and_of_the_scores(call: Any, tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    shape = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 8, "patch_size": 8, "head_width": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
    }
    config = {"model_cfg": shape, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    clip = tmp_path / "mini"
    clip.mkdir()
    (clip / "open_clip_config.json").write_text(json.dumps(config))
    save_file(open_clip.model.CLIP(**shape).state_dict(), clip / "open_clip_model.safetensors")
    code, _, err = call("--set", f"clip={clip}")
    assert code == 0, err
    (edit,) = (folder(tmp_path) / "edit").iterdir()
    assert read_manifest(edit)["identity"]["settings"] == {"edit.clip": str(clip)}
    assert read_manifest(folder(tmp_path))["identity"]["settings"] == {}
    records = load_run(edit).scores.attrs["records"]
    assert records["clip_d"]["backend"]["name"] == "clip-mini"
    assert "16x16 px" in records["clip_d"]["backend"]["detail"]


def test_skip_edit_leaves_it_out(call: Any, tmp_path: Path) -> None:
    assert call("--skip-edit")[0] == 0
    assert not (folder(tmp_path) / "edit").exists()
    assert ", Table 2" not in (folder(tmp_path) / "report.md").read_text()


def test_a_method_that_cannot_edit_is_run_all_the_same(call: Any, tmp_path: Path) -> None:
    assert call(cls="Plain")[0] == 0
    code, _, err = call("--style", "van-gogh", cls="Plain")
    assert code == 2 and "method plain cannot edit" in err


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--set", "clip=portraits"], "--set clip=portraits"),
        (["--set", "edit.steps=3"], "--set edit.*"),
        (["--style", "van-gogh"], "--style"),
        (["--style", "van-gogh", "--set", "edit.steps=3"], "--style and --set edit.*"),
        (["--reference", "x.png", "--prompt", "a bust", "--source-prompt", "a man"], "--reference"),
    ],
)
def test_what_a_method_that_cannot_edit_refuses_is_named(arguments: list[str], given: str, call: Any) -> None:
    code, out, err = call(*arguments, cls="Unedited")
    assert code == 2 and not out
    assert err == f"emo-bench: method unedited cannot edit what it fitted: leave out {given}\n"


def test_an_edit_cannot_see_held_out_frames(call: Any) -> None:
    code, _, err = call(cls="Peeking")
    assert code == 1
    assert "broke the protocol" in err.splitlines()[-1] and "held out" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--style", "van-goh"], "did you mean van-gogh?"),
        (["--style", "van-gogh", "--reference", "x.png"], "not both"),
        (["--reference", "x.png"], "needs captions"),
        (["--prompt", "a statue"], "go with --reference or --instruction"),
        (["--instruction", "as a comic", "--style", "comic"], "give --style or --instruction, not both"),
        (["--instruction", "as a comic", "--reference", "x.png"], "give --reference or --instruction, not both"),
        (
            ["--instruction", "as a comic", "--reference", "x.png", "--style", "comic"],
            "give --style or --reference or --instruction, only one of them",
        ),
        (["--instruction", "as a comic", "--skip-edit"], "--skip-edit and --instruction exclude each other"),
        (["--instruction", "as a comic", "--prompt", "a comic"], "give both --source-prompt and --prompt"),
        (["--instruction", "turn her into a pumpkin"], '--source-prompt "a photo of a man" --prompt'),
        (["--instruction", "  "], "--instruction is empty"),
        (["--instruction", "red " * 99], "has 395 characters, at most 300"),
        (["--skip-edit", "--style", "van-gogh"], "exclude each other"),
        (["--skip-edit", "--set", "edit.steps=3"], "exclude each other"),
        (["--set", "edit.colour=red"], "--set edit.colour"),
        (["--set", "clip=ViT-Z"], "unknown CLIP model 'ViT-Z'; known: auto, ViT-L-14, ViT-B-32, portraits"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(call: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, out, err = call(*arguments)
    assert code == 2 and not out
    assert len(err.strip().splitlines()) == 1 and message in err
    assert not (tmp_path / "runs").exists()


def test_a_caption_that_clip_cannot_read_is_one_line_and_leaves_nothing(call: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), (200, 90, 10)).save(tmp_path / "clay.png")
    words = ("--reference", str(tmp_path / "clay.png"), "--source-prompt", "a man", "--set", "clip=portraits")
    code, out, err = call(*words, "--prompt", "a bust of a man " * 8)
    assert code == 2 and not out and len(err.strip().splitlines()) == 1
    assert "42 tokens, and the CLIP model portraits reads 32" in err
    assert not (tmp_path / "runs").exists()


def test_a_split_that_trains_on_the_clip_is_refused(call: Any, tmp_path: Path) -> None:
    code, _, err = call("--split", "random-24", "--style", "van-gogh")
    assert code == 2 and "which split random-24 trains on" in err
    assert not (tmp_path / "runs").exists()
    assert call("--split", "random-24")[0] == 0


def test_edits_of_other_prompts_never_share_a_folder(call: Any, tmp_path: Path) -> None:
    """The first keeps its readable name; the same command finds its own edit again."""
    from PIL import Image

    picture = tmp_path / "clay.png"
    Image.new("RGB", (64, 64), (200, 90, 10)).save(picture)
    words = ("--reference", str(picture), "--source-prompt", "a man", "--prompt")
    edits = folder(tmp_path) / "edit"
    assert call(*words, "a clay bust")[0] == 0
    assert [made.name for made in edits.iterdir()] == ["own-clay"]
    code, _, err = call(*words, "泥塑")
    assert code == 0, err
    (second,) = {made.name for made in edits.iterdir()} - {"own-clay"}
    assert re.fullmatch("own-clay-[0-9a-f]{8}", second)
    for prompt, name in (("a clay bust", "own-clay"), ("泥塑", second)):
        assert call(*words, prompt)[0] == 0
        assert load_run(edits / name).manifest["identity"]["style"]["target_caption"] == prompt
    assert len(list(edits.iterdir())) == 2
    assert all(len((edits / name / "fits.txt").read_text()) == 1 for name in ("own-clay", second))


@pytest.mark.parametrize("stems", [("雕像", "梵高"), ("x" * 50 + "1", "x" * 50 + "2"), ("---", "- -")])
def test_names_that_had_to_be_changed_have_a_hash(stems: tuple[str, str], tmp_path: Path) -> None:
    names = []
    for number, stem in enumerate(stems):
        picture = tmp_path / f"{stem}.png"
        picture.write_bytes(bytes([number]))
        names.append(choose_style(None, picture, "a bust", "a man").name)
        assert choose_style(None, picture, "a bust", "a man").name == names[-1]
        assert choose_style(None, picture, "another bust", "a man").name != names[-1]
        assert choose_style(None, picture, "a bust", "a woman").name != names[-1]
        assert re.fullmatch("own(-[a-z0-9_-]+)?-[0-9a-f]{8}", names[-1]) and len(names[-1]) <= 60
    assert names[0] != names[1]


@given(st.text(min_size=1), st.text(), st.text(), st.integers(1, 40))
def test_any_text_names_a_folder(text: str, before: str, after: str, longest: int) -> None:
    described = EditStyle("", before, after, after, "given")
    name = name_of(text, described, longest=longest)
    assert re.fullmatch("[a-z0-9][a-z0-9_-]{0,59}", name)
    other = name_of(text, dataclasses.replace(described, target_caption=f"{after}."), longest=longest)
    if not text.isascii() or len(name) > longest:
        assert other != name


def test_a_reference_of_ones_own_names_the_style(tmp_path: Path) -> None:
    style = choose_style(None, tmp_path / "My clay.png", "a clay bust", "a photo of a man")
    assert (style.name, style.editor) == ("own-my-clay", "file")
    assert (style.source_caption, style.target_caption) == ("a photo of a man", "a clay bust")
    with pytest.raises(UserError, match="no style"):
        choose_style("nothing-like-it", None, None, None)


def test_an_instruction_is_an_edit_with_captions_and_a_name_of_its_own(call: Any, tmp_path: Path) -> None:
    words = "turn her into a marble statue"
    code, _, err = call("--instruction", words)
    assert code == 0, err
    made = load_run(folder(tmp_path) / "edit" / "instruction-turn-her-into-a-marble-statue")
    style = made.manifest["identity"]["style"]
    assert (style["editor"], style["instruction"], style["editor_settings"]) == ("instruct-pix2pix", words, {})
    captions = (style["source_caption"], style["target_caption"])
    assert captions == ("a photo of a woman", "a white marble statue of a woman")
    assert made.manifest["style_title"] == words
    again = f"--instruction '{words}' --source-prompt 'a photo of a woman' --prompt 'a white marble statue of a woman'"
    assert again in command(Row(made))


def test_instructions_that_differ_never_share_a_folder(call: Any, tmp_path: Path) -> None:
    """Punctuation and captions are not in the readable name; the same command finds its own edit again."""
    edits = folder(tmp_path) / "edit"
    mine = ("--source-prompt", "a photo of a man", "--prompt", "a photo of a man with red hair")
    asked = (("red hair",), ("red, hair!",), ("red hair", *mine), ("comic",))
    for arguments in (*asked, *asked):
        code, _, err = call("--instruction", *arguments)
        assert code == 0, err
    assert call("--style", "comic")[0] == 0
    names = sorted(made.name for made in edits.iterdir())
    assert [re.sub("-[0-9a-f]{8}$", "-HASH", name) for name in names] == [
        "comic", "instruction-comic", "instruction-red-hair", "instruction-red-hair-HASH", "instruction-red-hair-HASH",
    ]  # fmt: skip
    assert all(len((edits / name / "fits.txt").read_text()) == 1 for name in names)


@given(st.text(min_size=1, max_size=300))
def test_any_instruction_is_one_safe_name_and_title(words: str) -> None:
    if not words.strip():
        return
    style, again = (choose_style(None, None, "after", "before", words) for _ in range(2))
    assert style == again and re.fullmatch("[a-z0-9][a-z0-9_-]{0,59}", style.name)
    assert style.name.startswith("instruction-")
    assert len(style.title) <= 61 and "\n" not in style.title


@pytest.mark.parametrize("inside", [False, True])
def test_an_edit_does_not_follow_a_link_out_of_the_run(inside: bool, call: Any, tmp_path: Path) -> None:
    assert call("--skip-edit")[0] == 0
    link, outside = folder(tmp_path) / "edit", tmp_path / "outside"
    outside.mkdir()
    if inside:
        link.mkdir()
        link /= "bronze-statue"
    link.symlink_to(outside)
    code, _, err = call("--style", "bronze-statue")
    assert code == 2
    assert f"{link} is a link, which may lead out of the run's folder: remove it" in err
    assert list(outside.iterdir()) == []
