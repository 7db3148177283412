"""Make the names of emo-bench's own packages mean these packages, whichever folder is first on ``sys.path``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from emo_bench.errors import UserError

# The top-level packages of the wheel.
NAMES = ("emo_bench", "emo_avatar", "baselines", "protocols", "reports")
# The folder of these packages: site-packages, or the repository.
HOME = Path(__file__).resolve().parents[2]


class OwnPackages:
    """A finder for ``sys.meta_path`` that finds :data:`NAMES` in :data:`HOME` and nothing else."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of one of our packages; None for other modules, and for a package that is not in ``HOME``."""
        return PathFinder.find_spec(name, [str(HOME)]) if path is None and name in NAMES else None


def claim() -> None:
    """Make ``import baselines`` and the like mean our packages in this process; a second call changes nothing.

    Commands call it before they import anything of ours, because ``python -m emo_bench`` puts the working directory
    first on ``sys.path``. It is also called before the folder of a plug-in's file is put there.

    Raises:
        UserError: another package of that name is imported already.
    """
    for name in NAMES:
        place = place_of_package(sys.modules.get(name))
        if place is not None and place.parent != HOME:
            raise UserError(
                f"a package {name} is already imported from {place}, and emo-bench has a package of that name: rename "
                "yours, or import it after emo-bench has done its work in another process"
            )
    if OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, OwnPackages)


def place_of_package(module: ModuleType | None) -> Path | None:
    """Return the file, or the package's folder, that a module came from; None if it has none."""
    if module is None:
        return None
    file = getattr(module, "__file__", None)
    folders = [str(folder) for folder in getattr(module, "__path__", ())]
    if folders:
        return Path(folders[0]).resolve()
    return Path(file).resolve() if file else None
