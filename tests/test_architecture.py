"""The direction of imports, as the table of docs/ARCHITECTURE.md gives it, held against the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import emo_bench

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("emo_bench", "emo_avatar", "baselines", "protocols", "reports", "factory")
# The product; factory/ is not in the wheel.
SHIPPED = PACKAGES[:-1]


def table() -> dict[str, set[str] | None]:
    """Each room and the rooms that it may import, in the page's order; None for a room that may import all."""
    rooms: dict[str, set[str] | None] = {}
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.partition("## Rooms")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        names, _, allowed = (cell.strip() for cell in line.strip("|").split("|"))
        listed = {full_name(name) for name in re.findall(r"`([\w.]+)`", allowed)}
        if allowed.startswith("as "):
            listed |= rooms[sorted(listed & rooms.keys())[0]] or set()
        together = re.findall(r"`([\w.]+)`", names)
        rooms.update({room: None if allowed == "all" else listed | set(together) for room in together})
    return rooms


def full_name(name: str) -> str:
    return name if name.partition(".")[0] in PACKAGES else f"emo_bench.{name}"


ROOMS = table()
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


# The public names of `emo_bench`, which are loaded when they are first used, and the module of each.
BEHIND_THE_FRONT_DOOR = {f"emo_bench.{name}": getattr(emo_bench, name).__module__ for name in emo_bench.__all__}


def room_of(module: str) -> str | None:
    """The row with the longest name that the module's begins with; None for `emo_bench` itself."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in ROOMS), None)


def imported_modules(path: Path) -> Iterator[str]:
    """Our modules that a file imports, inside functions too, and those behind the names of ``import emo_bench``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "emo_bench":
            names = [f"emo_bench.{node.attr}"]
        elif is_import_by_name(node):
            names = [node.args[0].value]  # type: ignore[attr-defined]
        else:
            continue
        for name in names:
            name = BEHIND_THE_FRONT_DOOR.get(name, name)
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name:
                yield name


def is_import_by_name(node: ast.AST) -> bool:
    """Tell whether a node is ``import_module("a.b")`` or ``importlib.import_module("a.b")``."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called == "import_module" and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    room = room_of(module)
    allowed = ROOMS[room] if room else None
    if allowed is None:
        return
    for name in imported_modules(MODULES[module]):
        other = room_of(name)
        assert other in {None, room, *allowed}, f"{module} imports {name}"


def test_rooms_import_only_rooms_above_them_in_the_table() -> None:
    order = list(ROOMS)
    for room, allowed in ROOMS.items():
        for other in allowed or ():
            assert other in order, f"{room} may import {other}, which has no row"
            assert order.index(other) < order.index(room) or other in ROOMS[room], f"{other} stands below {room}"


def test_every_part_of_the_tree_has_a_row() -> None:
    for module in MODULES:
        assert module in {"emo_bench", "emo_bench.__main__"} or room_of(module), f"{module} has no row"
    for room in ROOMS:
        assert room in MODULES or (ROOT / Path(*room.split("."))).is_dir(), f"{room} is not in the tree"


def test_no_module_imports_itself_by_way_of_others() -> None:
    imports = {module: set(imported_modules(path)) - {module} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"circle: {' -> '.join((*trail[trail.index(module) :], module))}"
        if module not in done:
            for other in sorted(imports[module]):
                visit(other, (*trail, module))
            done.add(module)

    # A package's own file may name what is inside it: it is loaded on demand.
    fronts = {module for module, path in MODULES.items() if path.name == "__init__.py"}
    imports.update({module: set() for module in fronts})
    for module in imports:
        visit(module, ())


def test_nothing_that_ships_imports_the_factory_or_the_command_line() -> None:
    for module, path in MODULES.items():
        if module.partition(".")[0] not in SHIPPED or room_of(module) == "emo_bench.cli":
            continue
        if path.name == "__main__.py":
            continue
        for name in imported_modules(path):
            assert room_of(name) not in {"emo_bench.cli", "factory"}, f"{module} imports {name}"


def test_opencv_is_loaded_by_one_module() -> None:
    """Where its libraries are missing, that module says so in one line."""
    for module, path in MODULES.items():
        if module == "emo_bench.system.opencv":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "cv2" not in {name.partition(".")[0] for name in names}, path
