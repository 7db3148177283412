"""Find a plug-in's class by an installed name or in a Python file, and check it; an error is reported in one line."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from emo_bench.errors import UserError, unknown_name
from emo_bench.plug_ins import own_packages
from emo_bench.plug_ins.calls import kept_apart, place_of

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in.

    Attributes:
        word: the word for one in messages, e.g. ``method``.
        group: the entry-point group of installed plug-ins.
        base: the class that each plug-in extends, or several of which it extends one; ``base_name`` is for messages.
        built_in: our own, ``name -> "module:Class"``; no plug-in replaces them.
        others: what a user may give instead of a name; this text follows the list of names in a message.
    """

    word: str
    group: str
    base: type | tuple[type, ...]
    base_name: str
    built_in: Mapping[str, str]
    others: str

    def places(self) -> Mapping[str, str]:
        """Return ``name -> "module:Class"``: the built-in ones first, then those of installed packages by name."""
        return {
            **self.built_in,
            **{name: place for name, place in installed(self.group).items() if name not in self.built_in},
        }


def installed(group: str) -> dict[str, str]:
    """Return ``name -> value`` of the entry points of a group, by name; none of them is imported."""
    return {entry.name: entry.value for entry in sorted(entry_points(group=group), key=lambda entry: entry.name)}


def file_and_class(name: str) -> tuple[Path, str] | None:
    """Return the two parts of ``path/to/file.py:Class``; the class is ``""`` if there is none. None for other names."""
    file, _, attribute = name.rpartition(":") if not name.endswith(".py") else (name, "", "")
    return (Path(file), attribute) if file.endswith(".py") else None


def load_class(name: str, kind: Kind) -> type[Any]:
    """Return the class of an installed or built-in name, or of ``path/to/file.py:Class``; it has no abstract method.

    Raises:
        UserError: there is no such class, it cannot be imported, or it is not a complete class of this kind.
    """
    in_file = file_and_class(name)
    if in_file is not None:
        file, attribute = in_file
        return _finished(_attribute(module_from_file(file, kind.word), attribute, str(file), kind), name, kind)
    places = kind.places()
    if name not in places:
        raise unknown_name(kind.word, name, places, kind.others, f"emo-bench {kind.word}s list")
    module, _, attribute = places[name].partition(":")
    loaded = import_module(module, f"{kind.word} {name} cannot be imported from {module}")
    return _finished(_attribute(loaded, attribute, module, kind), name, kind)


def import_module(module: str, failed: str) -> ModuleType:
    """Import an installed module; an exception becomes a UserError of one line that begins with ``failed``."""
    with _in_one_line(failed):
        return importlib.import_module(module)


def module_from_file(path: Path, word: str) -> ModuleType:
    """Execute a Python file as a module of its own name.

    While the file is imported, modules in its folder come first on the search path, as for a script. For imports inside
    its functions they come last. The names of emo-bench's own packages (:data:`own_packages.NAMES`) always mean
    emo-bench's packages.

    Args:
        path: the file.
        word: what it holds, for messages: ``method`` or ``metric``.

    Raises:
        UserError: it is not a file, or cannot be imported.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file; name a {word} as path/to/file.py:Class")
    own_packages.claim()
    module_name = f"emo_bench_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    loader = SourceFileLoader(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    assert spec is not None
    hidden = _hidden_names(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    # This also finds files that were written after the interpreter last read the folder.
    importlib.invalidate_caches()
    try:
        with _in_one_line(f"{path} cannot be imported", hidden):
            # exec_module is not used: it may run compiled code of an older text that was written in the same second.
            exec(loader.source_to_code(path.read_bytes(), str(path)), vars(module))
    except UserError:
        del sys.modules[module_name]
        raise
    finally:
        sys.path.remove(folder)
    if folder not in sys.path:
        sys.path.append(folder)
    if hidden:
        log.warning("note: %s: %s", path, hidden)
    return module


def _hidden_names(path: Path) -> str:
    """Name the file's imports that find another module than the one beside the file; ``""`` if there are none.

    Raises:
        UserError: the file would get a module that is already imported from another plug-in's folder.
    """
    folder = path.resolve().parent
    beside = [name for name in _imported_names(path) if _place_beside(folder, name) is not None]
    for name in beside:
        loaded = own_packages.place_of_package(sys.modules.get(name))
        foreign = loaded is not None and loaded.parent != folder and name not in own_packages.NAMES
        if foreign and name not in sys.stdlib_module_names:
            raise UserError(
                f"{path} imports {name} from its folder, but a module {name} is already imported from {loaded}: give "
                "one of the two another name"
            )
    ours = [name for name in beside if name in own_packages.NAMES and folder != own_packages.HOME]
    if not ours:
        return ""
    return f"import {ours[0]} gives emo-bench's own package, not {_place_beside(folder, ours[0])}: rename yours"


def _place_beside(folder: Path, name: str) -> Path | None:
    """Return the module or package of that name in a folder; a folder without Python files is no package."""
    package, module = folder / name, folder / f"{name}.py"
    if (package / "__init__.py").is_file() or (package.is_dir() and any(package.glob("*.py"))):
        return package
    return module if module.is_file() else None


def _imported_names(path: Path) -> list[str]:
    """Return the top-level names that a file imports anywhere, in order; none if the file is not valid Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The error appears again when the file is executed.
        return []
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys(alias.name.partition(".")[0] for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module.partition(".")[0]] = None
    return list(names)


@contextmanager
def _in_one_line(failed: str, hint: str = "") -> Iterator[None]:
    """Turn an exception of a plug-in's module into a UserError of one line with its place; ``hint`` follows."""
    try:
        with kept_apart("a plug-in's file"):
            yield
    except (Exception, SystemExit) as error:
        what = said_in_words(error)
        raise UserError(f"{failed}: {what}{f'; {hint}' if hint else ''}") from error


def said_in_words(error: BaseException) -> str:
    """Describe an exception of a plug-in's code and its place, in one line."""
    said = error.msg if isinstance(error, SyntaxError) else error
    place = place_of(error)
    return " ".join(f"{type(error).__name__}: {said}".split()) + (f" ({place})" if place else "")


def _attribute(module: ModuleType, attribute: str, place: str, kind: Kind) -> type[Any]:
    """Return the class of that name; ``place`` says in messages where it was looked for."""
    found = getattr(module, attribute, None)
    if isinstance(found, type) and issubclass(found, kind.base):
        return found
    if found is not None:
        raise UserError(f"{place}: {attribute} is not a subclass of {kind.base_name}")
    there = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, kind.base) and value.__module__ == module.__name__
    ]
    has = f"it has {', '.join(there)}" if there else f"it has no subclass of {kind.base_name}"
    if attribute:
        raise UserError(f"{place} has no class {attribute}; {has}")
    raise UserError(f"{place}: name its class, as in {place}:{there[0] if there else 'Class'}; {has}")


def _finished(cls: type[Any], name: str, kind: Kind) -> type[Any]:
    """Return the class after checking that it has every abstract method of the interface."""
    lacking = sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise UserError(f"{kind.word} {name}: {cls.__name__} lacks {', '.join(lacking)}")
    return cls
