"""The command from the bank to the pipeline's folder, with one step of each training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factory.drawn_edits import drawn

pytest.importorskip("diffusers", reason="the networks are those of diffusers")
pytest.importorskip("transformers", reason="the text encoder is one of transformers")

from factory.diffusion import __main__ as command
from factory.diffusion import sheets
from factory.diffusion.bank import EditPlan, make_bank
from factory.diffusion.lineage import read_trainings
from factory.diffusion.pipeline import load_networks


def steps_in(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["step"] for row in csv.DictReader(file)]


def test_the_command_makes_a_folder_goes_on_and_starts_from_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Path, EditPlan]] = []

    def bank_of(folder: Path, plan: EditPlan, **others: Any) -> None:
        asked.append((folder, plan))
        make_bank(folder, plan, render=drawn)

    monkeypatch.setattr(command, "make_bank", bank_of)
    # Sixty edits take minutes.
    monkeypatch.setattr(sheets, "edit_sheet", lambda *given, **others: None)
    out = tmp_path / "out"
    little = ["--people", "16", "--vae-steps", "1", "--vae-batch", "1", "--batch", "1", "--threads", "1"]
    assert command.main(["--out", str(out), *little, "--steps", "1"]) == 0
    assert asked == [(out / "bank", EditPlan(people=16))]
    assert "reconstruction of held-out paintings" in capsys.readouterr().out
    first_vae, first = load_networks(out / "portraits-diffusion")
    # The same autoencoder and one more step of the editor.
    again = ["--out", str(out), *little, "--steps", "2", "--stage", "vae", "--stage", "editor", "--stage", "export"]
    assert command.main(again) == 0
    assert steps_in(out / "editor" / "train.csv") == ["0", "1"] and steps_in(out / "vae" / "train.csv") == ["0"]
    second_vae, second = load_networks(out / "portraits-diffusion")
    for name, value in first_vae.state_dict().items():
        assert torch.equal(value, second_vae.state_dict()[name]), name
    changed = [
        name
        for name, value in first.unet.state_dict().items()
        if not torch.equal(value, second.unet.state_dict()[name])
    ]
    assert changed
    # Another folder that starts from these weights; the learning rate of its only step is too small to be seen.
    other = ["--out", str(tmp_path / "other"), *little, "--steps", "1", "--learning-rate", "1e-12"]
    weights = out / "portraits-diffusion"
    start = ["--from", str(weights), "--vae", str(weights / "vae")]
    assert command.main([*other, *start]) == 0
    third_vae, third = load_networks(tmp_path / "other" / "portraits-diffusion")
    assert not (tmp_path / "other" / "vae").exists()
    behind = read_trainings(tmp_path / "other" / "portraits-diffusion")
    assert [(one["vae_steps"], one["steps"], one["people"]) for one in behind] == [(1, 2, 16), (0, 1, 16)]
    # An export by another command line records the settings of the training.
    export = ["--out", str(tmp_path / "other"), *little, *start, "--stage", "export", "--batch", "7"]
    assert command.main(export) == 0
    assert read_trainings(tmp_path / "other" / "portraits-diffusion") == behind
    for mine, theirs in ((third_vae, second_vae), (third.unet, second.unet), (third.text, second.text)):
        for name, value in mine.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name]), name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vae", "nowhere"], "nowhere is not the folder of an autoencoder"),
        (["--from", "nowhere"], "nowhere is not the folder of a pipeline"),
        (["--stage", "vae"], "no finished shard"),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--out", str(tmp_path), *words]) == 2
    assert said in capsys.readouterr().err
