"""The catalogue of assets: ours, and those that installed plug-ins register."""

import functools
from pathlib import Path

from emo_bench.assets.asset import Asset
from emo_bench.assets.entries import assets_of_entries
from emo_bench.assets.registered import registered_assets
from emo_bench.errors import UserError, unknown_name
from emo_bench.untrusted.toml_file import read_toml

CATALOGUE = Path(__file__).with_name("catalogue.toml")


def list_assets() -> tuple[Asset, ...]:
    """All known assets: ours in the catalogue's order, then those of plug-ins."""
    return _all()[0]


def broken_plug_ins() -> tuple[str, ...]:
    """What is wrong with plug-ins whose assets are left out, one line each."""
    return _all()[1]


def read_catalogue(path: Path) -> tuple[Asset, ...]:
    """Read a file in the form of ``catalogue.toml``.

    Raises:
        UserError: it cannot be read, or an entry is not as entries are.
    """
    content = read_toml(path)
    unknown = next((key for key in content if key != "asset"), None)
    if unknown is not None or "asset" not in content:
        found = f"it has {unknown!r}" if unknown is not None else "it has none"
        raise UserError(f"{path}: assets are tables [[asset]] and nothing else; {found}")
    return assets_of_entries(content["asset"], str(path))


def find_asset(name: str) -> Asset:
    """The asset of that name or file name.

    Raises:
        UserError: there is none; the line lists the known names, and the plug-ins that are left out.
    """
    for asset in list_assets():
        if name in (asset.name, asset.file):
            return asset
    broken = "".join(f"; left out: {line}" for line in broken_plug_ins())
    raise UserError(f"{unknown_name('asset', name, [asset.name for asset in list_assets()])}{broken}")


def _all() -> tuple[tuple[Asset, ...], tuple[str, ...]]:
    ours = _ours()
    theirs, problems = registered_assets(ours, read_catalogue)
    return (*ours, *theirs), problems


@functools.cache
def _ours() -> tuple[Asset, ...]:
    return read_catalogue(CATALOGUE)
