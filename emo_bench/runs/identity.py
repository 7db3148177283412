"""The identity of a run or an edit, that is everything its frames depend on, and further facts for ``run.json``.

One function makes the identity of both.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_bench.actors.capture import Capture
from emo_bench.assets import sha256_of
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import AVATAR
from emo_bench.methods.interface import SMOKE_PROFILE, EditStyle, Method
from emo_bench.methods.max_minutes import minutes_of
from emo_bench.runs.applied_protocol import AppliedProtocol
from emo_bench.runs.plan import EditPlan, Plan
from emo_bench.runs.settings import EDIT_PREFIX
from emo_bench.runs.style_names import REFERENCE
from protocols.loader import own_file

SMOKE_FLAG = "smoke profile: for trying things out, its numbers are not results"
MINI_FLAG = "mini protocol: for trying things out, its numbers are not results"
LIMIT_FLAG = (
    "the fit has a limit of {:g} minutes (--max-minutes): the number of its steps depends on the machine, and a repeat "
    "gives another result"
)
# The title of a style is shown in tables; the frames do not depend on it.
_STYLE_TITLE = "title"


def identity_of_run(plan: Plan) -> dict[str, Any]:
    """Return the identity of a run, as plain JSON values."""
    fit = {
        "actor": {"name": plan.request.actor, "sha256": plan.applied.capture.sha256},
        "method": plan.cls.info.name,
        "profile": plan.profile,
        "seed": plan.request.seed,
        "resolution_px": plan.method.resolution_px,
    }
    identity = _identity(fit, plan.applied, plan.request.settings, plan.method, plan.style)
    if plan.applied.driver is not None:
        identity["driver"] = {"name": plan.applied.driver.name, "sha256": plan.applied.driver.sha256}
    file = methods.method_file(plan.request.method)
    if file is not None and file.suffix == ".py":
        identity["method_file_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return identity


def identity_of_edit(plan: EditPlan, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of an edit, as plain JSON values.

    Args:
        plan: the plan of the edit.
        manifest: the manifest of the fitted run that is edited.
    """
    fit = manifest["identity"]
    settings = {**fit["settings"], **{f"{EDIT_PREFIX}{key}": value for key, value in plan.settings.items()}}
    identity = _identity(fit, plan.applied, settings, plan.method, plan.style)
    identity["assets"] = {**_own_picture(plan.style), **identity["assets"]}
    return identity


def facts_of_run(plan: Plan) -> dict[str, Any]:
    """Return the entries of a run's manifest that are not part of its identity."""
    info, applied = plan.cls.info, plan.applied
    capture = applied.capture
    flags = list(applied.split.flags)
    if plan.profile == SMOKE_PROFILE:
        flags.insert(0, SMOKE_FLAG)
    elif applied.protocol.mini:
        flags.insert(0, MINI_FLAG)
    recorded = applied.recorded
    if plan.method.resolution_px > recorded.size_px:
        flags.append(f"reference frames are enlarged from {recorded.size_px} to {plan.method.resolution_px} px")
    if applied.driver is not None and applied.driver.sha256 == capture.sha256:
        flags.append("the actor drives its own avatar: nothing is transferred, and the scores are self-reenactment")
    minutes = minutes_of(plan.request.settings)
    if minutes is not None:
        flags.append(LIMIT_FLAG.format(minutes))
    flags += told_by(plan.method)
    return {
        "title": info.title,
        "kind": plan.kind,
        "smoke": plan.is_smoke,
        "flags": flags,
        "protocol_title": applied.protocol.title,
        "split": applied.split.as_dict(),
        "capture": _capture(capture),
        **({"driver_capture": _capture(applied.driver)} if applied.driver else {}),
        **_truth(applied),
        **_views(applied),
        "method": {"paper": info.paper, "licence": info.licence, "fidelity": info.fidelity},
        **({"style_title": plan.style.title} if plan.style else {}),
        **_method_place(plan.request.method),
        **_protocol_place(plan.request.protocol),
    }


def facts_of_edit(plan: EditPlan, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of an edit's manifest that are not part of its identity; ``manifest`` is the edited run's."""
    applied = plan.applied
    return {
        **{key: manifest[key] for key in ("title", "smoke", "capture", "method")},
        "kind": AVATAR,
        "style_title": plan.style.title,
        "flags": list(dict.fromkeys([*manifest["flags"], *applied.split.flags, *told_by(plan.method)])),
        "protocol_title": applied.protocol.title,
        "split": applied.split.as_dict(),
    }


def _identity(
    fit: Mapping[str, Any],
    applied: AppliedProtocol,
    settings: Mapping[str, str],
    method: Method,
    style: EditStyle | None,
) -> dict[str, Any]:
    """Return everything that the frames of a run or an edit depend on; if a value changes, it is another run.

    Args:
        fit: actor, method, profile, seed and resolution of the fit.
        applied: protocol and split.
        settings: all settings, as the user gives them.
        method: the method that renders the frames; it describes its configuration and its assets.
        style: the edit that the frames show.
    """
    protocol, split = applied.protocol, applied.split
    described: dict[str, Any] = method.describe()
    identity = {
        "protocol": {"name": protocol.name, "version": protocol.version, "hash": protocol.hash()},
        "split": {"name": split.name, "sha256": split.digest()},
        "actor": fit["actor"],
        "method": fit["method"],
        "profile": fit["profile"],
        "seed": fit["seed"],
        "settings": dict(settings),
        "resolution_px": fit["resolution_px"],
        "config": described.get("config", {}),
        "assets": described.get("assets", {}),
    }
    if style is not None:
        identity["style"] = {key: value for key, value in dataclasses.asdict(style).items() if key != _STYLE_TITLE}
    return identity


def _capture(capture: Capture) -> dict[str, Any]:
    return {"source": capture.source, "fps": capture.fps, "frames": len(capture), "size_px": capture.size_px}


def _truth(applied: AppliedProtocol) -> dict[str, Any]:
    """Return which metrics compare with the true pictures, and whether there are any."""
    metrics = applied.protocol.scoring.truth_metrics
    return {"truth": {"metrics": list(metrics), "shown": applied.truth.pictures is not None}} if metrics else {}


def _views(applied: AppliedProtocol) -> dict[str, Any]:
    """Return what the cameras of a protocol of novel views film together: the video once for each of them."""
    views, filmed = applied.protocol.views, _capture(applied.capture)
    return {} if views is None else {"views_capture": filmed | {"frames": filmed["frames"] * len(views.cameras)}}


def told_by(method: Method) -> list[str]:
    """Return what the method says that a reader of the scores must know."""
    return [str(flag) for flag in method.describe().get("flags", [])]  # type: ignore[attr-defined]


def _method_place(method: str) -> dict[str, str]:
    """Return the place of an unregistered method's file, so that the run can be opened later."""
    file = methods.method_file(method)
    if file is None:
        return {}
    named = "" if file.suffix == ".toml" else f":{method.rpartition(':')[2]}"
    return {"method_place": f"{file.resolve()}{named}"}


def _protocol_place(protocol: str | None) -> dict[str, str]:
    """Return the place of a protocol's file that is not of the toolkit, so that the run's command can name it."""
    file = own_file(protocol or "")
    return {} if file is None else {"protocol_place": str(file.resolve())}


def _own_picture(style: EditStyle) -> dict[str, str]:
    """Return the SHA-256 of the user's own picture, under the key that :mod:`emo_bench.runs.style_names` reads."""
    return {REFERENCE: sha256_of(Path(style.editor_settings["image"]))} if style.editor == "file" else {}
