"""The templates of official repositories: each can be read; stand-ins of two show where their checkpoints end up."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from emo_bench.methods.command.file import fill, read_command_file

TEMPLATES = sorted((Path(__file__).resolve().parents[2] / "baselines" / "official").glob("*.toml"))
# Stands in for `python`: writes two checkpoints as the repository's trainer does, the later one last.
TRAINER = {
    "style-avatar": "mkdir -p logs/checkpoint; cd logs/checkpoint; name=export_{}.pt",
    "flash-avatar": "mkdir -p $3/log/ckpt; cd $3/log/ckpt; name=chkpnt{}.pth",
}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_can_be_read(path: Path) -> None:
    assert read_command_file(path).name == f"official-{path.stem}"


@pytest.mark.parametrize("name", TRAINER)
def test_the_newest_checkpoint_is_kept_with_the_run(name: str, tmp_path: Path) -> None:
    """Nothing is left in the repository, which other actors and seeds share, and render needs no setting to find it."""
    file = read_command_file(next(path for path in TEMPLATES if path.stem == name))
    here, work, programs = tmp_path / "it is here", tmp_path / "work", tmp_path / "bin"
    workdir = here / file.workdir
    for folder in (workdir, work, programs):
        folder.mkdir(parents=True)
    for script in ("style_avatar_border.sh", "flash_avatar_prepare.sh"):
        write_program(here / script, "true")
    make, _, pattern = TRAINER[name].partition("name=")
    early, late = (pattern.format(number) for number in ("010000", "005000"))
    write_program(
        programs / "python", f"{make} echo early > {early}; touch -t 200001010000 {early}; echo late > {late}"
    )
    values = {"here": here, "work": work, "data": tmp_path / "data", **file.settings}
    done = subprocess.run(
        ["sh", "-c", fill(file.fit.command, values)],
        cwd=workdir,
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    trained = next(work.glob("trained.*"))
    assert trained.read_text() == "late\n"
    assert list(workdir.iterdir()) == []
    assert f"{{work}}/{trained.name}" in file.render.command


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
