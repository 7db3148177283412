"""Folders of captures, assets and caches on this machine, from environment variables.

`EMO_BENCH_HOME` replaces the platform's user data folder. `EMO_BENCH_ASSETS` lists extra asset folders (separated by
the platform's path separator). `EMO_BENCH_OFFLINE=1` forbids every download. `EMO_BENCH_NO_CACHE=1` makes every scoring
detect the faces of recorded frames itself: kept results are neither read nor written.
"""

import os
from pathlib import Path


def home() -> Path:
    """Return the folder of captures, fetched assets and caches; it may not exist yet."""
    configured = os.environ.get("EMO_BENCH_HOME")
    if configured:
        return Path(configured).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("emo-bench", appauthor=False))


def asset_folders() -> tuple[Path, ...]:
    """Return the user's extra asset folders, in search order; empty if none is set."""
    listed = os.environ.get("EMO_BENCH_ASSETS", "")
    return tuple(Path(entry).expanduser() for entry in listed.split(os.pathsep) if entry)


def pin() -> None:
    """Make the folders in the environment variables absolute.

    A method may change the working directory while it works, and the folders must stay the same.
    """
    if configured := os.environ.get("EMO_BENCH_HOME"):
        os.environ["EMO_BENCH_HOME"] = str(Path(configured).expanduser().absolute())
    if folders := asset_folders():
        os.environ["EMO_BENCH_ASSETS"] = os.pathsep.join(str(folder.absolute()) for folder in folders)


def offline() -> bool:
    """Return whether the user has forbidden downloads."""
    return _is_set("EMO_BENCH_OFFLINE")


def no_cache() -> bool:
    """Return whether the user has forbidden the use of kept results."""
    return _is_set("EMO_BENCH_NO_CACHE")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no")
