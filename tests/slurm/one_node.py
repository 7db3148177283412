"""Start a Slurm of one node in a folder, from Debian's packages (slurm-wlm, munge), as the user who asks for it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
# Debian puts the daemons here, which is not on the PATH of an ordinary user.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
WAIT_S = 60.0
CONFIGURATION = """
ClusterName=emo
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
JobRequeue=1
KillWait=15
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
{more}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory_mib} State=UNKNOWN
PartitionName=one Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Return the programs of Slurm and munge that are not installed."""
    return [name for name in PROGRAMS if _program(name) is None]


@contextmanager
def one_node(folder: Path, *, cores: int, memory_mib: int, more: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Run Slurm while the block runs; its jobs end with it.

    Args:
        folder: an empty folder for the configuration, the state and the logs.
        cores, memory_mib: what the node offers.
        more: further lines of slurm.conf.

    Yields:
        The environment in which Slurm's commands find this Slurm.
    """
    host = socket.gethostname().partition(".")[0]
    folder = folder.absolute()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    configuration = CONFIGURATION.format(
        host=host,
        user=getpass.getuser(),
        folder=folder,
        ports=_free_ports(2),
        cores=cores,
        memory_mib=memory_mib,
        more="\n".join(more),
    )
    (folder / "slurm.conf").write_text(configuration, encoding="utf-8")
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    own = {name: str(folder / f"munge.{name}") for name in ("socket", "pid", "log", "seed")}
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={own['socket']}",
              f"--pid-file={own['pid']}", f"--log-file={own['log']}", f"--seed-file={own['seed']}"]  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(_daemon(munged, environment, folder / "munged.out"))
        _wait(lambda: Path(own["socket"]).exists(), "munged", folder)
        stack.enter_context(_daemon(["slurmctld", "-D"], environment, folder / "slurmctld.out"))
        stack.enter_context(_daemon(["slurmd", "-D"], environment, folder / "slurmd.out"))
        _wait(lambda: "idle" in _output(["sinfo", "-h", "-o", "%T"], environment), "slurmctld and slurmd", folder)
        try:
            yield environment
        finally:
            _output(["scancel", f"--user={getpass.getuser()}"], environment)


@contextmanager
def _daemon(words: list[str], environment: dict[str, str], output: Path) -> Iterator[None]:
    program = _program(words[0])
    assert program is not None, words[0]
    with output.open("wb") as file:
        process = subprocess.Popen([program, *words[1:]], env=environment, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS)))


def _output(words: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60).stdout


def _wait(condition: object, what: str, folder: Path) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not start within {WAIT_S:g} s: see the .out files in {folder}")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
