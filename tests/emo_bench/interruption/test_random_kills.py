"""SIGKILL and SIGTERM anywhere in a run, its edit and its report: the same commands end with the same scores, byte for
byte. ``nox -s faults`` does the same to Emo-Avatar.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
KILLS, SEED = 6, 1


def test_random_kills_change_nothing(actor_home: Path, quick_protocol_text: str, tmp_path: Path) -> None:
    protocol, edits = tmp_path / "quick.toml", tmp_path / "editing-quick.toml"
    protocol.write_text(quick_protocol_text)
    metrics = quick_protocol_text.replace('["psnr", "ssim", "sd"]', '["sd", "flicker"]')
    edits.write_text(metrics.replace('"quick"', '"editing-quick"').replace('"self-reenactment"', '"editing"'))
    environment = {
        **os.environ,
        "EMO_BENCH_HOME": str(actor_home),
        "PYTHONPATH": str(HERE.parents[2]),
        "OMP_NUM_THREADS": "1",
        "EMO_BENCH_OFFLINE": "1",
    }
    command = [sys.executable, HERE / "kill_at_random.py", "dot", protocol, edits, tmp_path / "runs", KILLS, SEED]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    undisturbed, *disturbed = json.loads(done.stdout)
    assert undisturbed["killed"] == 0 and set(undisturbed["outcome"]) == {"run", "edit", "report", "left over"}
    assert len(disturbed) == KILLS and len({one["at"] for one in disturbed}) > KILLS // 2
    for number, one in enumerate(disturbed, start=1):
        # SIGTERM leaves time to remove what is half-written.
        wanted = (128 + signal.SIGTERM, []) if number % 2 else (-signal.SIGKILL, one["parts"])
        assert (one["killed"], one["parts"], one["ended"]) == (*wanted, 0), one
        assert one["outcome"] == undisturbed["outcome"], one["at"]
