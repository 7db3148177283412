"""Measure the cost of spinning threads: ``python benchmarks/contention.py`` prints the table of docs/machine.md.

One process per setting runs steps of Emo-Avatar's render stage at profile ``cpu`` on a bundled actor, with the
discriminator, for some seconds at a time. The settings alternate in rounds, on the machine as it is and together with
processes that only count. The machine should have no other work.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

SETTINGS = {
    "default": {},
    "1000": {"GOMP_SPINCOUNT": "1000"},
    "10000": {"GOMP_SPINCOUNT": "10000"},
    "30000": {"GOMP_SPINCOUNT": "30000"},
    "100000": {"GOMP_SPINCOUNT": "100000"},
    "PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
# Variables that change the number of threads or how they wait.
CLEARED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY", "OMP_NUM_THREADS")
WARM_UP_STEPS = 5
TRAINING_FRAMES = 24
Rates = dict[tuple[str, int], list[float]]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python benchmarks/contention.py", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each setting beside each load")
    parser.add_argument("--busy", default="0,2,4", help="numbers of busy processes, with commas between them")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="some of them; the default is always measured")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each fit")
    parser.add_argument("--actor", default="1")
    parser.add_argument("--take-steps", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.take_steps:
        take_steps(given.actor)
        return
    loads = [int(number) for number in given.busy.split(",")]
    chosen = [name for name in SETTINGS if name in ("default", *given.settings.split(","))]
    rates = measured(chosen, loads, given.seconds, given.rounds, given.threads, given.actor)
    print(
        f"Steps a second of Emo-Avatar's render stage (profile cpu, actor {given.actor}) with {given.threads} threads "
        f"on {os.cpu_count()} cores; median of {given.rounds} rounds of {given.seconds:g} s, by `python "
        f"benchmarks/contention.py`:\n"
    )
    print(table(rates, chosen, loads))


def measured(
    chosen: Sequence[str], loads: Sequence[int], seconds: float, rounds: int, threads: int, actor: str
) -> Rates:
    """Return steps per second by setting and number of busy processes, one number per round."""
    rates: Rates = {key: [] for key in itertools.product(chosen, loads)}
    with ExitStack() as stack:
        fits = {}
        for name in chosen:
            print(f"starting the fit of setting {name}", file=sys.stderr)
            fits[name] = stack.enter_context(fit(SETTINGS[name], threads, actor))
        for number in range(rounds):
            for load in loads:
                with busy(load):
                    # Each round begins with another setting, so that drift, such as of the clock rate, affects all
                    # equally.
                    order = list(fits)[number % len(fits) :] + list(fits)[: number % len(fits)]
                    for name in order:
                        rates[name, load].append(steps_a_second(fits[name], seconds))
                shown = ", ".join(f"{name} {rates[name, load][-1]:.2f}" for name in fits)
                print(f"round {number + 1} of {rounds}, {load} busy: {shown}", file=sys.stderr)
    return rates


@contextmanager
def fit(variables: dict[str, str], threads: int, actor: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has prepared a fit and waits for the number of seconds to run steps."""
    kept = {name: value for name, value in os.environ.items() if name not in CLEARED}
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), kept.get("PYTHONPATH", "")]))
    environment = {**kept, **variables, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
    command = [sys.executable, __file__, "--take-steps", "--actor", actor]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            answer(process)
            yield process
        finally:
            process.kill()


def steps_a_second(process: subprocess.Popen[str], seconds: float) -> float:
    assert process.stdin is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return float(answer(process))


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a fit ended with exit code {process.wait()}")
    return line.strip()


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run this many processes that count without end while the block runs."""
    counting = [sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        processes = [stack.enter_context(subprocess.Popen(counting)) for _ in range(count)]
        try:
            yield
        finally:
            for process in processes:
                process.kill()


def take_steps(actor: str) -> None:
    """Prepare a fit and report it; then answer each line, a number of seconds, with the achieved steps per second."""
    # Before any import of ours, which would limit the spinning of setting "default" too.
    import torch

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        stage = render_stage(actor, Path(folder))
    for _ in range(WARM_UP_STEPS):
        stage.run_step()
    print("ready", flush=True)
    for line in sys.stdin:
        started, steps = time.perf_counter(), 0
        while time.perf_counter() - started < float(line):
            stage.run_step()
            steps += 1
        print(steps / (time.perf_counter() - started), flush=True)


def render_stage(actor: str, folder: Path):  # type: ignore[no-untyped-def]
    """Prepare the render stage of a fit at profile cpu; the init stage runs one step, which changes no step's cost."""
    import torch

    from emo_avatar.config import resolve_config
    from emo_avatar.driving import DrivingSignals, WeightedFrames
    from emo_avatar.initialization import initialize
    from emo_avatar.render_stage import RenderStage
    from emo_avatar.renderer import AvatarRenderer
    from emo_bench import actors
    from emo_bench.methods.interface import Workspace
    from emo_bench.perceptual import perceptual_loss

    short = {"projection_steps": "1", "tuning_steps": "1", "steps": "1000000", "gan_start_step": "0"}
    config = resolve_config("cpu", short)
    capture, train = actors.load(actor), list(range(TRAINING_FRAMES))
    perceptual = perceptual_loss(config.perceptual, "cpu")
    init = initialize(capture, train, config, Workspace(folder, "cpu", 0), perceptual)
    frames = WeightedFrames(capture, train, config)
    signals = DrivingSignals(capture, config, init.pivot_poses_deg)
    # The UV maps of all frames are computed here and kept.
    signals.batch(train)
    plate = frames.background_plate(capture.track.foreground, TRAINING_FRAMES)
    avatar = AvatarRenderer(config, init.generator, init.pivots, plate).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return RenderStage(avatar, frames, signals, config, perceptual, 0)


def table(rates: Rates, chosen: Sequence[str], loads: Sequence[int]) -> str:
    """Format medians, and in brackets the median over rounds of the ratio to the default of the same round."""
    heads = ["free" if load == 0 else f"{load} busy processes" for load in loads]
    lines = [f"| spin count | {' | '.join(heads)} |", f"|---|{'---|' * len(loads)}"]
    for name in chosen:
        cells = []
        for load in loads:
            ours, default = rates[name, load], rates["default", load]
            ratio = statistics.median(a / b for a, b in zip(ours, default, strict=True))
            cells.append(f"{statistics.median(ours):.2f} (x{ratio:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
