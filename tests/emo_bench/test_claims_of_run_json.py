"""What run.json of a received run says of its frames and edits is not believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle, Workspace
from emo_bench.runs.editing import open_edit
from emo_bench.runs.frame_scoring import ScoreRequest, score_request
from emo_bench.runs.manifest import write_manifest
from emo_bench.runs.plan import RunRequest
from emo_bench.runs.runner import run

STYLE = {"name": "s", "source_caption": "a", "target_caption": "b", "instruction": "c", "editor": "file"}


@pytest.fixture
def finished(actor: str, tmp_path: Path, protocol_file: str) -> Path:
    request = RunRequest("mean-frame", actor, protocol_file, profile="smoke", runs_dir=tmp_path / "runs")
    return run(request, trivial=False)[0]


def _claim(folder: Path, **identity: Any) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    manifest["identity"].update(identity)
    write_manifest(folder, manifest)


def test_a_claimed_size_is_not_resized_to(finished: Path) -> None:
    _claim(finished, resolution_px=65536)
    with pytest.raises(UserError, match=r"its frames are 64 x 64 px, and run\.json says 65536 x 65536"):
        score_request(ScoreRequest(finished, metrics=("psnr",)))


def test_a_style_with_more_entries_opens_and_one_without_is_refused(finished: Path, tmp_path: Path) -> None:
    edit = tmp_path / "base" / "edit" / "s"
    shutil.copytree(finished, edit)
    shutil.copy(finished / "run.json", tmp_path / "base")
    base: Any = SimpleNamespace(
        workspace=Workspace(tmp_path / "base", "smoke", 0, "cpu", {}), edit=lambda style, workspace: style
    )
    with pytest.raises(UserError, match="is no edit"):
        open_edit(base, "s")
    _claim(edit, style={**STYLE, "editor_settings": {}, "of tomorrow": 1})
    assert open_edit(base, "s") == EditStyle(**STYLE, editor_settings={})
