"""Files that are written whole or not at all, and never through what somebody else left in their place."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emo_bench import files
from emo_bench.errors import UserError
from emo_bench.files import TEMPORARY, open_in_place, remove_if_dead, remove_left_over, replacing, try_lock, write_bytes
from emo_bench.runs.log import log_file
from emo_bench.runs.store import lock_folder

ROOT = Path(__file__).parents[2]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")
    with replacing(file) as temporary:
        temporary.write_bytes(b"new")
        assert file.read_bytes() == b"old"
        assert TEMPORARY.fullmatch(temporary.name)
    assert file.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.json"]


def interrupted(file: Path) -> None:
    with replacing(file) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt


def test_an_exception_leaves_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(file)
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_the_umask_decides_the_mode_also_when_a_library_puts_a_file_of_its_own_there(
    umask: int, mode: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "ours", b"x")
        with replacing(tmp_path / "theirs") as temporary:
            private = tmp_path / "private"
            private.touch(0o600)
            private.replace(temporary)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "ours") == mode_of(tmp_path / "theirs") == mode


def test_the_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        events.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    write_bytes(tmp_path / "a", b"x")
    assert events == ["sync file", "rename", "sync folder"]


def test_a_link_at_the_place_is_replaced_and_its_target_is_left_alone(tmp_path: Path) -> None:
    outside, run = tmp_path / "outside", tmp_path / "run"
    run.mkdir()
    outside.write_bytes(b"precious")
    (run / "report.html").symlink_to(outside)
    (run / "report.html.part").symlink_to(outside)
    write_bytes(run / "report.html", b"page")
    assert outside.read_bytes() == b"precious"
    assert (run / "report.html").read_bytes() == b"page"
    assert not (run / "report.html").is_symlink()


@pytest.mark.parametrize("name", ["log.txt", ".lock"])
def test_a_log_or_lock_that_is_a_link_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    outside, run = tmp_path / "outside", tmp_path / "run"
    run.mkdir()
    for target in (outside, tmp_path / "missing"):
        outside.write_bytes(b"precious")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(target)
        with (
            pytest.raises(UserError, match=r"is a link or not a regular file: remove it"),
            lock_folder(run),
            log_file(run / "log.txt"),
        ):
            pass
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "missing").exists()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [fifo, unix_socket, Path.mkdir])
@pytest.mark.parametrize("mode", ["a", "a+", "ab"])
def test_nothing_but_a_regular_file_is_opened_and_nothing_waits(
    make: Callable[[Path], None], mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name of a socket is short; the folder's is not.
    monkeypatch.chdir(tmp_path)
    make(Path("x"))
    with pytest.raises(UserError, match="not a regular file"):
        open_in_place(Path("x"), mode)  # type: ignore[call-overload]


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    write = (
        "import sys, time; from pathlib import Path; from emo_bench.files import replacing\n"
        f"with replacing(Path({str(tmp_path)!r}) / 'a.bin') as part:\n"
        "    part.write_bytes(b'half'); print('writing', flush=True); time.sleep(60)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", write], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert writer.stdout and writer.stdout.readline() == b"writing\n"
    (part,) = tmp_path.iterdir()
    write_bytes(tmp_path / "a.bin", b"whole")
    with lock_folder(tmp_path):
        pass
    assert part.exists(), "its writer lives"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    mine = tmp_path / "half.part"
    mine.write_bytes(b"of a method")
    write_bytes(tmp_path / "b.bin", b"another file")
    assert part.exists()
    write_bytes(tmp_path / "a.bin", b"whole again")
    assert not part.exists()
    assert mine.exists(), "only ours are removed"


def test_a_run_that_is_taken_up_removes_all_that_was_left(tmp_path: Path) -> None:
    left = [tmp_path / f".{name}-{'0' * 16}.part" for name in ("run.json", "render.mkv")]
    for file in left:
        file.write_bytes(b"half")
    with lock_folder(tmp_path):
        assert os.listdir(tmp_path) == [".lock"]
    remove_left_over(tmp_path / "no such folder")


def test_a_name_may_be_as_long_as_the_file_system_lets_it(tmp_path: Path) -> None:
    for name in ("n" * 255, "名" * 85):
        write_bytes(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


def test_a_device_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root can replace /dev/null, and the whole machine has none from then on."""
    monkeypatch.setattr(files, "DEVICES", tmp_path / "dev")
    (tmp_path / "dev").mkdir()
    link = tmp_path / "dev" / "stdout"
    link.symlink_to("/proc/self/fd/1")
    with pytest.raises(UserError, match="device"):
        write_bytes(link, b"x")
    assert link.is_symlink()
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(UserError, match="device"):
        write_bytes(device, b"x")
    assert stat.S_ISCHR(device.stat().st_mode)


@pytest.mark.parametrize("kind", [stat.S_IFREG, stat.S_IFDIR])
def test_what_is_left_half_made_goes_unless_somebody_holds_it(kind: int, tmp_path: Path) -> None:
    left, other = tmp_path / "left", tmp_path / "other"
    for path, is_folder in ((left, kind == stat.S_IFDIR), (other, kind != stat.S_IFDIR)):
        path.mkdir() if is_folder else path.touch()
    descriptor = os.open(left, os.O_RDONLY)
    assert try_lock(descriptor)
    second = os.open(left, os.O_RDONLY)
    assert not try_lock(second)
    os.close(second)
    remove_if_dead(left, kind)
    assert left.exists()
    os.close(descriptor)
    remove_if_dead(other, kind)
    assert other.exists()
    remove_if_dead(left, kind)
    assert not left.exists()
