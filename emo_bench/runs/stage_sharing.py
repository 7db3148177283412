"""Stages of a fit that runs have in common are done once: a run takes the result over from another run's folder.

Two runs share a stage when its key is the same: a hash of the method, the stage's inputs as the method states them, the
capture, the split, the seed and the device.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emo_bench import __version__
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method
from emo_bench.runs.manifest import MANIFEST, read_manifest
from emo_bench.runs.store import RunFolder

KEYS, SHARED = "stage_keys", "shared_stages"

log = logging.getLogger("emo_bench")


def stage_keys(method: Method, identity: Mapping[str, Any], device: str) -> dict[str, str]:
    """A key for each stage that the method can share, in order; SHA-256.

    Args:
        method: over its workspace.
        identity: of the run, as in ``run.json``.
        device: on which it fits; another one rounds otherwise.
    """
    about = {
        "version": __version__,
        "method": identity["method"],
        "file": identity.get("method_file_sha256"),
        "actor": identity["actor"]["sha256"],
        "split": identity["split"]["sha256"],
        "seed": identity["seed"],
        "device": device,
    }
    return {
        stage: _digest({**about, "stage": stage, "inputs": inputs}) for stage, inputs in method.stage_inputs().items()
    }


def take_over_stages(folder: RunFolder, method: Method, device: str, donors: Iterable[Path]) -> None:
    """Before a run's first fit: take over each stage that one of the ``donors`` has finished with the same key.

    The run's keys, and the donors of what it took, are noted in its manifest. Donors that are no run, are not fitted,
    or whose keys differ are passed over.
    """
    if "fit" in folder.manifest["stages"]:
        return
    keys = stage_keys(method, folder.manifest["identity"], device)
    if keys:
        folder.note(**{KEYS: keys})
    offers = {donor: _offered(donor) for donor in donors if donor != folder.path}
    for stage, key in keys.items():
        for donor, offered in offers.items():
            if offered.get(stage) == key:
                method.take_over(stage, donor)
                folder.note(**{SHARED: {**folder.manifest.get(SHARED, {}), stage: donor.as_posix()}})
                log.info("fit: stage %s is taken over from %s", stage, donor)
                break


def _offered(donor: Path) -> dict[str, str]:
    """Keys of the stages in a fitted run's folder."""
    if not (donor / MANIFEST).is_file():
        return {}
    try:
        manifest = read_manifest(donor)
    except UserError as error:
        log.warning("nothing is taken over: %s", error)
        return {}
    fitted = manifest["stages"].get("fit", {}).get("finished_at")
    return dict(manifest.get(KEYS, {})) if fitted else {}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
