"""Where an asset is on this machine; nothing here touches the network or imports a carrier package."""

import functools
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emo_bench import paths
from emo_bench.assets.catalogue import Asset, find_asset
from emo_bench.errors import UserError


@dataclass(frozen=True)
class AssetFile:
    """A file found and checked: `source` says in words where it came from."""

    path: Path
    sha256: str
    source: str


def locate(name: str) -> AssetFile | None:
    """The first place whose file has the catalogued SHA-256, or None.

    Searched in order: the folders of `EMO_BENCH_ASSETS`, the cache under `EMO_BENCH_HOME`, the packages that
    carry it, torch hub's checkpoint folder. A file with another SHA-256 is passed over; `require` names it.
    """
    asset = find_asset(name)
    for path, source in candidates(asset):
        if path.is_file() and _matches(asset, path):
            return AssetFile(path, asset.sha256, source)
    return None


def require(name: str) -> AssetFile:
    """Like `locate`, but a missing asset is a UserError that says how to get it."""
    found = locate(name)
    if found is not None:
        return found
    asset = find_asset(name)
    wrong = [str(path) for path, _ in candidates(asset) if path.is_file()]
    if wrong:
        raise UserError(
            f"asset {asset.name}: {wrong[0]} is not the catalogued file (its SHA-256 is "
            f"{_sha256_of(wrong[0])[:12]}, not {asset.sha256[:12]}); remove it and run: {asset.remedy()}"
        )
    raise UserError(f"asset {asset.name} ({asset.file}) is not on this machine; run: {asset.remedy()}")


def cache_folder() -> Path:
    """Where fetched assets are kept."""
    return paths.home() / "assets"


def candidates(asset: Asset) -> Iterator[tuple[Path, str]]:
    """The places to look, in order, each with its name in words; the files need not exist."""
    for folder in paths.asset_folders():
        yield folder / asset.file, f"EMO_BENCH_ASSETS {folder}"
    yield cache_folder() / asset.file, "fetched"
    for carrier in asset.carriers:
        parent = _package_parent(carrier.package)
        if parent is not None:
            yield parent / carrier.file, f"package {carrier.distribution}"
    if asset.torch_hub:
        yield _torch_hub_checkpoints() / asset.file, "torch hub cache"


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


def _matches(asset: Asset, path: Path) -> bool:
    status = path.stat()
    return status.st_size == asset.size_bytes and _sha256(path, status.st_mtime_ns) == asset.sha256


def _sha256_of(path: str) -> str:
    return _sha256(Path(path), Path(path).stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, modified_ns: int) -> str:
    """SHA-256 of a file, remembered until the file changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
