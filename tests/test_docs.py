"""The documents say what is so: links lead somewhere, the example method runs, commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from emo_bench.cli import main
from emo_bench.runs import runner
from emo_bench.runs.finished import load_run
from emo_bench.runs.plan import RunRequest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command of an indented or fenced line, with `--help` behind it: groups and names are known."""
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"^(?:    |.*&& )?(emo-bench [a-z][^\n|]*)$", text, flags=re.MULTILINE):
        words = shlex.split(line, comments=True)[1:]
        command = [word for word in words[:2] if re.fullmatch("[a-z][a-z-]*", word)]
        with pytest.raises(SystemExit) as ended:
            main([*command[: 1 if command[0] in ("run", "report", "doctor") else 2], "--help"])
        assert ended.value.code == 0, line
        helped = capsys.readouterr().out
        for option in re.findall(r"(?<= )--[a-z-]+", line):
            assert option in helped, line


def test_the_example_method_runs(actor: str, protocol_file: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert code
    file = tmp_path / "first_frame.py"
    file.write_text(code.group(1))
    request = RunRequest(
        f"{file}:FirstFrame", actor, protocol_file, profile="smoke", runs_dir=tmp_path / "runs", device="cpu"
    )
    folders = runner.run(request)
    run = load_run(folders[0])
    assert len(folders) == 3
    assert run.manifest["identity"]["resolution_px"] == 128
    assert load_run(folders[1]).manifest["identity"]["resolution_px"] == 128
    assert run.scores["psnr"].between(5, 60).all()


def test_the_examples_of_the_python_page_run(
    actor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In order and in one namespace, as a reader pastes them, on the small actor instead of actor 1."""
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    called = set(re.findall(r"emo_bench\.(\w+)\(", "".join(blocks)))
    assert called == {"run", "edit", "score", "file_frames", "load_run", "report", "verify"}
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block.replace('"1"', repr(actor)), "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "there is no protocol 'no-such-protocol'" in printed
    assert (tmp_path / "report" / "report.html").is_file()
    assert (tmp_path / "scores" / "scores.csv").is_file()
