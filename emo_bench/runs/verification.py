"""Verify a run: its files against their checksums, its scores by scoring again, its frames by rendering again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emo_bench.errors import MethodError, UserError
from emo_bench.files import file_sha256
from emo_bench.metrics.registry import metric_class, scored_class
from emo_bench.runs.checksums import NO_CHECKSUMS, SCORES, SEAL, other_base, recorded, require_seal
from emo_bench.runs.finished import EDITS, read_scores
from emo_bench.runs.machine import describe_machine
from emo_bench.runs.manifest import MANIFEST, STAGES, read_manifest
from emo_bench.runs.rerendering import rerender
from emo_bench.runs.rescoring import Rescored, rescore
from emo_bench.runs.stages import RECORDS_VERSION
from emo_bench.runs.store import RENDER
from emo_bench.runs.tolerances import allowed_difference, allowed_levels, other_machine
from emo_bench.system.devices import chosen_device

if TYPE_CHECKING:
    import pandas

State = Literal["same", "differs", "n/a"]
LOST = "has lost its checksum"
BASE, SPLIT = "run that is edited", "split"
FRAMES, AGAIN = f"frames of {RENDER}", "render again"


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        what: a file, the frames, a metric, or ``render again``.
        state: ``n/a`` if it could not be checked; ``detail`` says why.
        detail: what was found, in a few words.
        difference: the greatest difference of a score from the stored one, or of a channel in levels of 0 to 255.
        allowed: the greatest difference that counts as the same.
    """

    what: str
    state: State
    detail: str
    difference: float | None = None
    allowed: float | None = None


@dataclass(frozen=True)
class Verified:
    """A verified run and its checks."""

    path: Path
    checks: tuple[Check, ...]

    def count(self, state: State) -> int:
        """Return the number of checks with this state."""
        return sum(check.state == state for check in self.checks)

    @property
    def holds(self) -> bool:
        """Whether nothing differs; checks that are ``n/a`` do not count."""
        return not self.count("differs")


@dataclass(frozen=True)
class Verification:
    """What is verified.

    Attributes:
        rescore: score the stored frames again.
        render: render the frames again.
        device: ``cpu`` or ``cuda:0``, for scoring and rendering; None takes the kind of device that the run used.
        tolerance: the allowed difference of a metric, instead of the default; by metric id.
        trust: execute Python files and commands that run.json names.
    """

    rescore: bool = True
    render: bool = False
    device: str | None = None
    tolerance: Mapping[str, float] = field(default_factory=dict)
    trust: bool = False


def allowed_differences(given: Mapping[str, object]) -> dict[str, float]:
    """Return the allowed difference of a score by metric id.

    Args:
        given: numbers, or their text, by the name of a metric.

    Raises:
        UserError: a metric is unknown, or a value is not a finite number of at least 0.
    """
    found = {}
    for metric, value in given.items():
        try:
            number = float(str(value))
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise UserError(f"tolerance of {metric}: give a number of at least 0, as in psnr=0.001, not {value}")
        found[metric_class(metric).info.id] = number
    return found


def verify(folder: Path, how: Verification) -> Verified:
    """Verify the run in a folder. Whatever is wrong with the run is a check that differs, not an error."""
    return Verified(folder, tuple(_checks(folder, how)))


def _checks(folder: Path, how: Verification) -> Iterator[Check]:
    try:
        manifest = read_manifest(folder, changed=True)
    except UserError as error:
        yield Check(MANIFEST, "differs", str(error))
        return
    yield _manifest_check(folder, manifest)
    yield from _file_checks(folder, manifest)
    yield from _base_check(folder, manifest)
    unfinished = [name for name in STAGES if not manifest["stages"].get(name, {}).get("finished_at")]
    if unfinished:
        yield Check(f"stage {unfinished[0]}", "n/a", "not finished")
        return
    if how.rescore:
        yield from _score_checks(folder, manifest, how)
    if how.render:
        yield _render_check(folder, manifest, how)


def _manifest_check(folder: Path, manifest: Mapping[str, Any]) -> Check:
    try:
        require_seal(folder / MANIFEST, manifest)
    except UserError:
        return Check(MANIFEST, "differs", "changed since it was written" if manifest.get(SEAL) else LOST)
    if not manifest.get(SEAL):
        return Check(MANIFEST, "n/a", NO_CHECKSUMS)
    return Check(MANIFEST, "same", "SHA-256")


def _file_checks(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Check]:
    known, needed = recorded(manifest), recorded(manifest, others=False)
    written = [name for stage, name in zip(STAGES[1:], (RENDER, SCORES), strict=True) if stage in manifest["stages"]]
    for name in [*known, *(name for name in written if name not in known)]:
        found = file_sha256(folder / name)
        if found is None and name in manifest.get("left_out", ()):
            yield Check(name, "n/a", "left out when the run was published")
        elif found is None and name not in needed and name in known:
            yield Check(name, "n/a", "missing; no score depends on it")
        elif found is None:
            yield Check(name, "differs", "missing")
        elif name not in known:
            yield Check(name, "n/a", NO_CHECKSUMS)
        elif found != known[name]:
            yield Check(name, "differs", "changed since it was written")
        else:
            yield Check(name, "same", "SHA-256")


def _base_check(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Check]:
    """Check that an edit was made from the fit that its run holds now; nothing if the run is not here."""
    run = folder.resolve().parent.parent
    if "style" not in manifest["identity"] or folder.resolve().parent.name != EDITS or not (run / MANIFEST).is_file():
        return
    try:
        stale = other_base(manifest, read_manifest(run, changed=True))
    except UserError as error:
        yield Check(BASE, "n/a", str(error))
        return
    if stale is not None:
        yield Check(BASE, "differs", stale)
    elif manifest["stages"].get("fit", {}).get("inputs") is None:
        yield Check(BASE, "n/a", NO_CHECKSUMS)
    else:
        yield Check(BASE, "same", "SHA-256 of the files of its fit")


def _score_checks(folder: Path, manifest: Mapping[str, Any], how: Verification) -> Iterator[Check]:
    records = manifest["stages"]["score"]["records"]
    try:
        stored = read_scores(folder, dict(manifest))
    except UserError as error:
        yield Check(SCORES, "differs", str(error))
        return
    if not (folder / RENDER).is_file():
        yield Check(FRAMES, "n/a", f"{RENDER} is not here")
        yield from (Check(metric, "n/a", f"not scored again: {RENDER} is not here") for metric in records)
        return
    machine = manifest["stages"]["score"]["machine"]
    device = how.device or _device_like(machine)
    try:
        again = rescore(folder, manifest, device, trust=how.trust)
    except MethodError as error:
        yield Check("scores", "differs", f"scoring again failed: {error}")
        return
    except UserError as error:
        yield from (Check(metric, "n/a", f"not scored again: {error}") for metric in records)
        return
    yield _split_check(manifest, again)
    yield _frames_check(manifest, again.frames_sha256)
    yield from _left_out_checks(records, again)
    elsewhere = other_machine(machine, describe_machine(device))
    inputs = manifest["stages"]["score"].get("inputs") or {}
    complete = inputs.get("version of records") == RECORDS_VERSION
    for metric in records:
        tolerance = how.tolerance.get(metric)
        yield _metric_check(metric, records[metric], stored, again, tolerance, elsewhere, complete)


def _frames_check(manifest: Mapping[str, Any], frames_sha256: str) -> Check:
    if frames_sha256 != manifest["stages"]["render"]["frames_sha256"]:
        return Check(FRAMES, "differs", "not the frames that were rendered")
    return Check(FRAMES, "same", "SHA-256 of the pixels")


def _split_check(manifest: Mapping[str, Any], again: Rescored) -> Check:
    """Check that the held-out frames, and whether the run is a result at all, follow from its protocol."""
    if manifest["split"]["test"] != again.test:
        return Check(SPLIT, "differs", "the protocol holds other frames out")
    if manifest["smoke"] != again.smoke:
        return Check(SPLIT, "differs", "it does not say that its numbers are for trying things out only")
    return Check(SPLIT, "same", "held-out frames by the protocol")


def _left_out_checks(records: Mapping[str, Any], again: Rescored) -> Iterator[Check]:
    """Name the metrics of the protocol that the run has no scores of; one that another metric replaces is no such."""
    stored = {*records, *(record.get("instead_of") for record in records.values())}
    for metric, record in again.table.attrs["records"].items():
        # Records of an older version do not say what they replace.
        if not {metric, record.get("instead_of") or metric, scored_class(metric).info.fallback or metric} & stored:
            yield Check(metric, "differs", "the protocol scores it, and the run has no scores of it")


def _metric_check(
    metric: str,
    record: Mapping[str, Any],
    stored: pandas.DataFrame,
    again: Rescored,
    tolerance: float | None,
    elsewhere: str,
    complete: bool,
) -> Check:
    """Compare the scores of a metric, frame by frame, and its record.

    ``elsewhere`` says how this machine differs from the run's. ``complete``: this version writes the same entries of
    records as the one that made the run.
    """
    now = again.table.attrs["records"].get(metric)
    if now is None:
        return Check(metric, "n/a", "not scored here: " + _replaced(again))
    backend, before = now["backend"], record["backend"]
    if (now["version"], backend["name"], backend["sha256"]) != (record["version"], before["name"], before["sha256"]):
        was, here = (f"{r['backend']['name']}, version {r['version']}" for r in (record, now))
        return Check(metric, "n/a", f"by {was} in the run, by {here} here")
    ours, theirs = again.table[metric], stored[metric]
    if list(ours.index) != list(theirs.index):
        return Check(metric, "differs", "scored on other frames")
    allowed = allowed_difference(metric, elsewhere) if tolerance is None else tolerance
    difference, frames = largest_difference(theirs.to_numpy(np.float64), ours.to_numpy(np.float64))
    if difference > allowed:
        return Check(metric, "differs", f"in {frames} of {len(ours)} frames", difference, allowed)
    # An older version had fewer entries, and has no entry that this one lacks.
    keys = (record.keys() | now.keys() if complete else record.keys()) - {"backend", "instead_of"}
    said = [key for key in sorted(keys) if record.get(key) != now.get(key)]
    if said:
        return Check(metric, "differs", f"its record has another {', '.join(said)}", difference, allowed)
    where = f"within the tolerance of another machine ({elsewhere})" if difference else "equal in every frame"
    return Check(metric, "same", where, difference, allowed)


def largest_difference(stored: np.ndarray, again: np.ndarray) -> tuple[float, int]:
    """Return the largest difference of two ``[N]`` float64 series, and in how many frames they differ.

    Two NaN are equal, and two infinities of one sign. A frame where only one side is finite differs infinitely.
    """
    with np.errstate(invalid="ignore"):
        gaps = np.abs(stored - again)
    gaps[(stored == again) | (np.isnan(stored) & np.isnan(again))] = 0.0
    gaps[np.isnan(gaps)] = np.inf
    return float(gaps.max(initial=0.0)), int((gaps > 0).sum())


def _device_like(machine: Mapping[str, Any]) -> str:
    """Return the CPU if the run used it, else the GPU if there is one here."""
    return chosen_device("cpu" if machine["device"] == "cpu" else None)


def _replaced(again: Rescored) -> str:
    return f"this machine scores {', '.join(again.table.attrs['records'])}"


def _render_check(folder: Path, manifest: Mapping[str, Any], how: Verification) -> Check:
    if not (folder / RENDER).is_file():
        return Check(AGAIN, "n/a", f"{RENDER} is not here")
    machine = manifest["stages"]["render"]["machine"]
    device = how.device or _device_like(machine)
    try:
        found = rerender(folder, manifest, device, trust=how.trust)
    except MethodError as error:
        return Check(AGAIN, "differs", str(error))
    except UserError as error:
        return Check(AGAIN, "n/a", str(error))
    if found.frames_sha256 == manifest["stages"]["render"]["frames_sha256"]:
        return Check(AGAIN, "same", "equal in every pixel", 0.0, 0.0)
    elsewhere = other_machine(machine, describe_machine(device))
    allowed = allowed_levels(elsewhere)
    detail = f"{found.different} of {found.frames} frames, at most {found.levels} of 255 levels"
    # Equal to the file, and not to the digest in run.json: then the file is not what was rendered.
    state: State = "same" if 0 < found.levels <= allowed else "differs"
    return Check(AGAIN, state, detail, float(found.levels), allowed)
