"""Find an asset on this machine; nothing here uses the network or imports a package that contains an asset."""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emo_bench import paths
from emo_bench.assets import checksums
from emo_bench.assets.asset import Asset
from emo_bench.assets.catalogue import find_asset
from emo_bench.errors import UserError

MISSING = "missing"


@dataclass(frozen=True)
class AssetFile:
    """A file or folder that was found.

    Attributes:
        path: its path.
        source: the place in words, "bundled", "cached", "in package X", "in FOLDER" or "in torch hub's cache".
        verified: whether its SHA-256 equals the catalogued one; False if the catalogue has none.
        holds: the patterns of a folder's files.
    """

    path: Path
    source: str
    verified: bool = True
    holds: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The hexadecimal SHA-256, for a folder as in `checksums.digest`; it is computed only once."""
        return checksums.digest(self.path, self.holds)

    @property
    def size_bytes(self) -> int:
        """Size of the file, or of the catalogued files in the folder."""
        return sum(file.stat().st_size for file in checksums.files_of(self.path, self.holds))

    @property
    def state(self) -> str:
        """The source, with a remark if there is no known SHA-256 to check against."""
        return self.source if self.verified else f"{self.source}, unverified"


def locate(name: str) -> AssetFile | None:
    """Return the first place that holds the asset, or None.

    The search order is: the folders of `EMO_BENCH_ASSETS`, the cache under `EMO_BENCH_HOME`, our own packages, the
    packages that contain the asset, torch hub's checkpoint folder. A file is skipped if its SHA-256 is not the
    catalogued one or if it has changed since it was fetched or added; a folder is skipped if it lacks a file. `require`
    reports the reason.
    """
    return located(find_asset(name))


def located(asset: Asset) -> AssetFile | None:
    """Return the same as `locate` for an asset that need not be in the catalogue."""
    for path, source in candidates(asset):
        if path.exists() and problem(asset, path) is None:
            return AssetFile(path, source, asset.sha256 is not None, asset.holds)
    return None


def require(name: str) -> AssetFile:
    """Return the same as `locate`; a missing asset is a UserError that says how to get it."""
    found = locate(name)
    if found is not None:
        return found
    asset = find_asset(name)
    for path, _ in candidates(asset):
        if path.exists():
            wrong = f"{path} {problem(asset, path)}"
            raise UserError(f"asset {asset.name}: {wrong}; remove it and run: {asset.remedy()}")
    raise UserError(f"asset {asset.name} ({asset.file}) is not on this machine; run: {asset.remedy()}")


def lacking(*names: str) -> str | None:
    """Return which of some assets is not on this machine and how to get it, in one line; None if all are here."""
    for name in names:
        if locate(name) is None:
            return f"needs asset {name}; run: {find_asset(name).remedy()}"
    return None


def problem(asset: Asset, path: Path) -> str | None:
    """Return why the file or folder is not the asset ("is ..."), or None if no problem is found."""
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
    """Return the folder of fetched and added assets."""
    return paths.home() / "assets"


def candidates(asset: Asset) -> Iterator[tuple[Path, str]]:
    """Yield the possible paths in search order, each with its name in words; they need not exist."""
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
    """Return the folder that holds an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).parent


def _torch_hub_checkpoints() -> Path:
    """Return torch hub's checkpoint folder by the rule of torch (TORCH_HOME, else XDG_CACHE_HOME/torch) without it."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", str(Path(cache) / "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"
