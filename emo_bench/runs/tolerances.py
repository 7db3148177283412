"""How far scores and frames may differ between machines. On one machine they must be equal in every bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# At least ten times the greatest difference that benchmarks/machines.py measured, in the unit of the metric
# (docs/verify.md). A variant such as ssim-padded has the tolerance of the name before its first dash.
TOLERANCES = {
    **dict.fromkeys(("psnr", "psnr_global", "sd", "sd_db", "sd_global", "l1"), 1e-12),
    **dict.fromkeys(("ssim", "ms_ssim", "st-lpips", "st-lpips-vgg", "warping_error"), 1e-5),
    **dict.fromkeys(("brisque", "biq", "niqe"), 1e-9),
    **dict.fromkeys(("clip_d", "clip_i", "clip_dv", "clip_consistency", "clip_text"), 2e-5),
    "clip_dv_in2n": 2e-4,
    "flicker": 0.02,
}
# A metric that was not measured, and those of MediaPipe's landmarks: its own kernels cannot be limited to fewer
# instructions, so the 0 that was measured says nothing about another processor.
OTHER = 1e-4
# Twice the greatest difference of a rendered channel, in levels of 0 to 255.
LEVELS = 4.0
# What decides the last digits of a sum, of a matrix product for instance.
DECIDING = ("processor", "cpu_capability", "threads", "device")


def other_machine(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say what differs between two machines that may change the last digits of a score; empty if nothing does.

    An entry that an older version did not record counts as different.
    """
    differing = [key for key in DECIDING if recorded.get(key) != here[key]]
    before, now = recorded["packages"], here["packages"]
    differing += [f"{name} {before[name]}" for name in before if name in now and before[name] != now[name]]
    return ", ".join(differing)


def allowed_difference(metric: str, elsewhere: str) -> float:
    """Return the allowed difference of a metric's score: 0 on the machine of the run (``elsewhere`` is empty)."""
    known = TOLERANCES.get(metric, TOLERANCES.get(metric.partition("-")[0], OTHER))
    return known if elsewhere else 0.0


def allowed_levels(elsewhere: str) -> float:
    """Return the allowed difference of a rendered channel, in levels of 0 to 255."""
    return LEVELS if elsewhere else 0.0
