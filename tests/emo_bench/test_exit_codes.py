"""Each way to end has its exit code: what the machine refuses is one line and 2, a fault of ours a traceback and 70."""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from emo_bench.cli import main
from emo_bench.errors import MethodError, Terminated, UserError
from emo_bench.methods.training.state_file import save_state
from emo_bench.runs.plan import RunRequest
from emo_bench.runs.runner import run
from emo_bench.system.endings import ending, exit_code

ROOT = Path(__file__).resolve().parents[2]
LONG = "n" * 300
THRESHOLDS = """
version = 1
[[threshold]]
metric = "psnr"
at_least = 0.0
"""


@pytest.fixture(scope="module")
def made(actor_home: Path, quick_protocol_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of mean-frame, its protocol, a threshold file and two pictures."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("made")
    (folder / "quick.toml").write_text(quick_protocol_text)
    (folder / "thresholds.toml").write_text(THRESHOLDS)
    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(2):
            Image.new("RGB", (64, 64), (number * 50, 90, 30 if name == "a" else 60)).save(
                folder / name / f"{number}.png"
            )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMO_BENCH_HOME", str(actor_home))
        request = RunRequest(
            "mean-frame", "dot", str(folder / "quick.toml"), profile="smoke", runs_dir=folder / "runs", device="cpu"
        )
        run(request, trivial=False)
    return folder


@pytest.fixture
def call(actor: str, made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command in the folder ``made``: its exit code, stdout and stderr."""
    monkeypatch.chdir(made)

    def do(*arguments: object) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return (ended.value.code, *capsys.readouterr())

    return do


# Commands that write, by what stands for the output.
FILES = {
    "junit": ["check", "--thresholds", "thresholds.toml", "runs", "--junit", "OUT"],
    "markdown": ["check", "--thresholds", "thresholds.toml", "runs", "--markdown", "OUT"],
    "baseline": ["check", "--thresholds", "thresholds.toml", "runs", "--update", "--baseline", "OUT"],
    "sheet": ["actors", "show", "dot", "--out", "OUT.png"],
    "driven": ["drive", "runs/quick/dot/mean-frame/smoke-s0", "--by", "dot", "--frames", "2", "--out", "OUT"],
}
FOLDERS = {
    "report": ["report", "runs", "--no-videos", "--out", "OUT"],
    "scores": ["score", "a", "--reference", "b", "--metrics", "psnr", "--out", "OUT"],
    "runs": ["run", "--method", "mean-frame", "--actor", "dot", "--protocol", "quick.toml", "--no-trivial", "--runs",
        "OUT"],
    "ablation": ["ablate", "--actor", "dot", "--profile", "smoke", "--skip-edit", "--runs", "OUT"],
}  # fmt: skip


@contextmanager
def full_disk(below: Path) -> Iterator[None]:
    """No file may grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_state_that_does_not_fit_on_the_disk_names_its_file(tmp_path: Path) -> None:
    """torch says something else; no half of it stays."""
    with full_disk(tmp_path), pytest.raises(OSError, match="File too large") as refused:
        save_state(tmp_path / "train.pt", {"weights": torch.zeros(300_000)})
    assert refused.value.filename == str(tmp_path / "train.pt") and not list(tmp_path.iterdir())


@contextmanager
def refusing(number: int, below: Path) -> Iterator[None]:
    """Nothing below a folder can be opened to write or made: for the root user permissions say nothing."""

    def refuse(path: Any, writing: bool) -> None:
        if writing and isinstance(path, (str, os.PathLike)) and str(Path(path).absolute()).startswith(str(below)):
            raise OSError(number, os.strerror(number), str(path))

    def opened(path: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        refuse(path, bool(set(mode) & set("wax+")))
        return true_open(path, mode, *more, **named)

    def os_opened(path: Any, flags: int, *more: Any, **named: Any) -> int:
        refuse(path, bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
        return true_os_open(path, flags, *more, **named)

    def made_folder(path: Any, *more: Any, **named: Any) -> None:
        refuse(path, writing=True)
        true_mkdir(path, *more, **named)

    true_open, true_os_open, true_mkdir = io.open, os.open, os.mkdir
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        patch.setattr(os, "open", os_opened)
        patch.setattr(os, "mkdir", made_folder)
        yield


REFUSALS: dict[str, Callable[[Path], Any]] = {
    "full": full_disk,
    "read-only": lambda below: refusing(errno.EROFS, below),
    "forbidden": lambda below: refusing(errno.EACCES, below),
    "no quota": lambda below: refusing(errno.EDQUOT, below),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("command", [*FILES, *FOLDERS])
def test_an_output_that_the_machine_refuses_is_one_line(command: str, refusal: str, call: Any, tmp_path: Path) -> None:
    words = {**FILES, **FOLDERS}[command]
    out = tmp_path / "out"
    with REFUSALS[refusal](tmp_path):
        code, _, err = call(*(word.replace("OUT", str(out)) for word in words))
    assert_refused(code, err, str(out))
    assert not [file for file in tmp_path.rglob("*") if file.name.endswith(".part")]


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("out", ["folder", "file/out", LONG, f"{LONG}/out"])
def test_a_file_that_cannot_be_there_is_one_line(command: str, out: str, call: Any, tmp_path: Path) -> None:
    for folder in ("folder", "folder.png"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").touch()
    code, _, err = call(*(word.replace("OUT", str(tmp_path / out)) for word in FILES[command]))
    assert_refused(code, err, out.split("/")[0] if command != "baseline" else "")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder", "folder.png"]


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("out", ["file", "file/out", LONG, f"{LONG}/out"])
def test_a_folder_that_cannot_be_there_is_one_line(command: str, out: str, call: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = call(*(word.replace("OUT", str(tmp_path / out)) for word in FOLDERS[command]))
    assert_refused(code, err, "file" if out.startswith("file") else "nnn")
    assert [file.name for file in tmp_path.rglob("*")] == ["file"]


@pytest.mark.parametrize(
    "words",
    [
        ["show", "IN"], ["report", "IN"], ["compare", "IN", "IN"], ["check", "IN", "--thresholds", "thresholds.toml"],
        ["check", "runs", "--thresholds", "IN"], ["score", "IN", "--reference", "b"],
        ["score", "a", "--reference", "IN"],
        ["score", "a", "--reference", "b", "--masks", "IN", "--region", "foreground"], ["actors", "add", "IN"],
        ["drive", "IN", "--by", "dot"],
        ["study", "score", "IN"], ["study", "build", "IN"],
        ["run", "--method", "IN.py:Own", "--actor", "dot"], ["run", "--method", "IN.toml", "--actor", "dot"],
        ["run", "--method", "mean-frame", "--actor", "dot", "--protocol", "IN.toml"], ["protocols", "show", "IN.toml"],
        ["ablate", "--config", "IN", "--list"], ["assets", "add", "clip-vit-b-32", "IN"], ["actors", "show", "IN"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("given", [LONG, "missing", "file/below", "forbidden"])
def test_an_input_that_cannot_be_read_is_one_line(words: list[str], given: str, call: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = call(*(word.replace("IN", str(tmp_path / given)) if "IN" in word else word for word in words))
    assert code == 2 and "Traceback" not in err, err
    assert err.splitlines()[-1].startswith("emo-bench: ") and len(err.splitlines()[-1]) < 1500
    assert [file.name for file in tmp_path.rglob("*")] == ["file"]


@pytest.mark.parametrize(
    "words",
    [
        ["actors", "show", "dot"],
        ["run", "--method", "mean-frame", "--actor", "dot"],
        ["ablate", "--actor", "dot"],
        ["drive", "runs/quick/dot/mean-frame/smoke-s0", "--by", "dot"],
        ["assets", "add", "clip-vit-b-32", "a/0.png"],
    ],
    ids=" ".join,
)
def test_a_home_that_is_a_file_is_one_line(
    words: list[str], call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    code, _, err = call(*words)
    assert code == 2 and "Traceback" not in err and err.splitlines()[-1].startswith("emo-bench: ")


def assert_refused(code: object, err: str, named: str) -> None:
    assert code == 2, err
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("emo-bench: ") and named[:60] in last and len(last) < 1500


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("no such actor"), 2, "x: no such actor"),
        (MethodError("method own: fit failed"), 1, "x: method own: fit failed"),
        (KeyboardInterrupt(), 130, "x: interrupted; the same command goes on from here"),
        (Terminated(143), 143, ""),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 2, (
            "x: /a/b: the disk is full: free some space, or write elsewhere"
        )),
        (OSError(errno.ENOSPC, "No space left on device"), 2, (
            "x: the disk is full: free some space, or write elsewhere"
        )),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/a"), 2, (
            "x: /a: it is a folder, but a file is needed: give another path"
        )),
        (OSError(errno.EXDEV, "Invalid cross-device link", "/a", None, "/b"), 2, (
            "x: /a -> /b: Invalid cross-device link: choose another place"
        )),
        (OSError("of a library"), 2, "x: OSError: of a library"),
        (MemoryError(), 2, (
            "x: out of memory: end other programs, or choose smaller settings (a lower resolution, a smaller batch)"
        )),
        (SystemExit(0), 70, "x: sys.exit(0) was called before the work was done (place unknown)"),
        (ZeroDivisionError("one"), 70, "x: this is a bug of the program: please report it with the lines above"),
    ],
)  # fmt: skip
def test_endings(error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(error, "x") == code
    err = capsys.readouterr().err
    assert (err.splitlines() or [""])[-1] == line
    assert err.count("\n") <= 1 or code == 70


def test_modules_end_likewise(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "bank")

    assert exit_code(lambda: "made") == 0 and exit_code(full) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("made\n", "error: bank: the disk is full: free some space, or write elsewhere\n")


@pytest.mark.parametrize(
    "command", [["protocols", "list"], ["protocols", "show", "self_reenactment", "--json"], ["--help"]]
)
def test_a_reader_that_goes_away_is_no_error(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "emo_bench", *command],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_output_to_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "emo_bench", "protocols", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert (done.returncode, done.stderr) == (2, "emo-bench: the disk is full: free some space, or write elsewhere\n")
