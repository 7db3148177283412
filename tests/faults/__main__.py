"""``python -m tests.faults``: a run with its edit is killed at random moments of every stage and given again, until it
ends. Its scores must then be those of a run without interruption, byte for byte. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.attempt import FIRST, LAST, Attempt, Kill, attempt
from tests.faults.outcome import differences, left_over, outcome

SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: every round ended as the undisturbed run; 1: a difference, which is printed."""
    given = _parser().parse_args(arguments)
    shutil.rmtree(given.out, ignore_errors=True)
    rng, began = random.Random(given.seed), time.monotonic()
    undisturbed = _attempt(given, given.out / "undisturbed")
    if undisturbed.code != 0:
        print(f"the undisturbed run ended with exit code {undisturbed.code}:\n{undisturbed.told}")
        return 1
    wanted = outcome(given.out / "undisturbed")
    print(f"undisturbed: {json.dumps({name: round(s, 1) for name, s in undisturbed.seconds.items()})}", flush=True)
    counts: Counter[str] = Counter()
    finds: list[str] = []
    number = 0
    while sum(counts.values()) < given.kills:
        number += 1
        finds += _round(given, number, rng, undisturbed, wanted, counts)
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    took = f"{number} rounds, {len(finds)} finds, {time.monotonic() - began:.0f} s"
    print(f"{sum(counts.values())} kills in {took}: {kinds}")
    return int(bool(finds))


def _round(
    given: argparse.Namespace,
    number: int,
    rng: random.Random,
    undisturbed: Attempt,
    wanted: dict[str, str],
    counts: Counter[str],
) -> list[str]:
    """Kill one run several times, let it end, and return what is wrong."""
    folder = given.out / f"round-{number}"
    moments = list(undisturbed.seconds)
    finds = []
    # The stages in their order, because a stage that is done does not come again.
    places = sorted(rng.choices(range(len(moments)), k=min(given.per_round, given.kills - sum(counts.values()))))
    for place in places:
        kill = Kill(moments[place], rng.uniform(0, undisturbed.seconds[moments[place]]), rng.choice(SIGNALS))
        made = _attempt(given, folder, kill)
        if made.code == 0:
            # The stage was already done, or ended before the moment came.
            break
        told = f"round {number}: {kill.signal.name} {kill.after_s:.2f} s after the start of {kill.moment}"
        print(f"{told}: exit code {made.code}", flush=True)
        counts[f"{kill.moment} by {kill.signal.name}"] += 1
        codes = (-kill.signal, 128 + kill.signal)
        if made.code not in codes:
            finds.append(f"{told}: exit code {made.code}\n{made.told}")
        parts = left_over(folder)
        if kill.signal == signal.SIGTERM and parts:
            finds.append(f"{told}: left {parts}")
    ended = _attempt(given, folder)
    if ended.code != 0:
        finds.append(f"round {number}: the last command ended with exit code {ended.code}\n{ended.told}")
    else:
        finds += [f"round {number}: {line}" for line in differences(wanted, outcome(folder))]
    for find in finds:
        print(f"FIND {find}", flush=True)
    if not finds:
        shutil.rmtree(folder)
    return finds


def _attempt(given: argparse.Namespace, folder: Path, kill: Kill | None = None) -> Attempt:
    words = ["run", "--method", given.method, "--actor", given.actor, "--profile", "smoke", "--device", "cpu"]
    command = [*given.before.split(), sys.executable, "-m", "emo_bench", *words, "--runs", str(folder / "runs")]
    environment = {**os.environ, "EMO_BENCH_HOME": str(folder.absolute() / "home"), "EMO_BENCH_OFFLINE": "1"}
    return attempt(command, environment, kill)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--per-round", type=int, default=10, help="kills of one run before it may end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--method", default="emo-avatar")
    parser.add_argument("--actor", default="1")
    parser.add_argument("--before", default="", help="words before each command, such as: nice -n 5")
    parser.add_argument("--out", type=Path, default=Path("build/faults"))
    parser.epilog = f"The moments are the stages of each run, {FIRST} before the first and {LAST} after the last."
    return parser


if __name__ == "__main__":
    sys.exit(main())
