"""Where an asset is on this machine; nothing here touches the network or imports a carrier package."""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emo_bench import paths
from emo_bench.assets import checksums
from emo_bench.assets.catalogue import Asset, find_asset
from emo_bench.errors import UserError

MISSING = "missing"


@dataclass(frozen=True)
class AssetFile:
    """A file or folder that was found.

    Attributes:
        path: where.
        source: in words, "bundled", "cached", "in package X", "in FOLDER" or "in torch hub's cache".
        verified: whether its SHA-256 is the catalogued one; False where the catalogue has none.
        holds: of a folder, the patterns of its files.
    """

    path: Path
    source: str
    verified: bool = True
    holds: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256; of a folder as `checksums.digest` says. Read from the file unless that was done
        before.
        """
        return checksums.digest(self.path, self.holds)

    @property
    def size_bytes(self) -> int:
        """Of the file, or of the files that the catalogue names in the folder."""
        return sum(file.stat().st_size for file in checksums.files_of(self.path, self.holds))

    @property
    def state(self) -> str:
        """The source, and whether nothing is known that it could be checked against."""
        return self.source if self.verified else f"{self.source}, unverified"


def locate(name: str) -> AssetFile | None:
    """The first place that holds the asset, or None.

    Searched in order: the folders of `EMO_BENCH_ASSETS`, the cache under `EMO_BENCH_HOME`, our own packages, the
    packages that carry it, torch hub's checkpoint folder. A file whose SHA-256 is not the catalogued one, or that has
    changed since it was fetched or added, is passed over; so is a folder that lacks a file. `require` names them.
    """
    asset = find_asset(name)
    for path, source in candidates(asset):
        if path.exists() and problem(asset, path) is None:
            return AssetFile(path, source, asset.sha256 is not None, asset.holds)
    return None


def require(name: str) -> AssetFile:
    """Like `locate`, but a missing asset is a UserError that says how to get it."""
    found = locate(name)
    if found is not None:
        return found
    asset = find_asset(name)
    for path, _ in candidates(asset):
        if path.exists():
            wrong = f"{path} {problem(asset, path)}"
            raise UserError(f"asset {asset.name}: {wrong}; remove it and run: {asset.remedy()}")
    raise UserError(f"asset {asset.name} ({asset.file}) is not on this machine; run: {asset.remedy()}")


def problem(asset: Asset, path: Path) -> str | None:
    """Why what lies at a path is not the asset ("is ..."), or None when nothing speaks against it."""
    if asset.is_folder:
        if not path.is_dir():
            return "is a file, not a folder"
        gaps = checksums.lacking(path, asset.holds)
        if gaps:
            return f"lacks {', '.join(gaps)}"
    else:
        if not path.is_file():
            return "is a folder, not a file"
        size = path.stat().st_size
        if asset.size_bytes is not None and size != asset.size_bytes:
            return f"is not the catalogued file (it has {size} bytes instead of {asset.size_bytes})"
        if size == 0:
            return "is empty"
    if asset.sha256 is None:
        recorded = checksums.is_as_recorded(path, asset.holds)
        return None if recorded else "has changed since it was fetched or added"
    found = checksums.digest(path, asset.holds)
    if found != asset.sha256:
        what = "folder" if asset.is_folder else "file"
        return f"is not the catalogued {what} (its SHA-256 is {found[:12]}, not {asset.sha256[:12]})"
    return None


def cache_folder() -> Path:
    """Where fetched and added assets are kept."""
    return paths.home() / "assets"


def candidates(asset: Asset) -> Iterator[tuple[Path, str]]:
    """The places to look, in order, each with its name in words; there need not be anything."""
    for folder in paths.asset_folders():
        yield folder / asset.file, f"in {folder}"
    yield cache_folder() / asset.file, "cached"
    if asset.bundled:
        parent = _package_parent(asset.bundled.split("/", 1)[0])
        if parent is not None:
            yield parent / asset.bundled, "bundled"
    for carrier in asset.carriers:
        parent = _package_parent(carrier.package)
        if parent is not None:
            yield parent / carrier.file, f"in package {carrier.distribution}"
    if asset.torch_hub:
        yield _torch_hub_checkpoints() / asset.file, "in torch hub's cache"


def _package_parent(package: str) -> Path | None:
    """The folder that holds an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).parent


def _torch_hub_checkpoints() -> Path:
    """torch.hub's own rule (TORCH_HOME, else XDG_CACHE_HOME/torch), without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", str(Path(cache) / "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"
