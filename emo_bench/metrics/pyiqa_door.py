"""pyiqa behind the asset door: its networks are built from files on this machine, and it never downloads.

pyiqa fetches weights by itself while it builds a network, from its hub, torchvision's and OpenAI's, and unpickles them.
While a network is built here, all these ways lead to the asset folders, and files are read as data only.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import logging
import re
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emo_bench import assets
from emo_bench.assets import Asset, AssetFile
from emo_bench.errors import UserError, shortened
from emo_bench.system.root_logger import root_logger_kept

INSTALL = 'pip install "emo-bench[iqa]" && pip install --no-deps pyiqa'
# Networks that take weights from a model hub inside other libraries, and metrics that do not score single frames.
FROM_HUBS = "takes its weights from a model hub inside another library, so it cannot be used"
OF_SETS = "compares sets of pictures, and does not score frames"
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("QAlign", "QReAlign", "Compare2Score", "FGResQ", "AFINE"), FROM_HUBS),
    **dict.fromkeys(("FID", "InceptionScore"), OF_SETS),
    "CLIPScore": "needs a caption: score clip_text instead",
}
# The weights' file names end with the beginning of their SHA-256, by the rule of torch hub.
HASHED = re.compile(r"-([0-9a-f]{8})\.\w+$")
# Files that are known under another name, with the same SHA-256.
ALSO = {"LPIPS_v0.1_alex-df73285e.pth": "lpips-alex-heads", "LPIPS_v0.1_vgg-a78928a0.pth": "lpips-vgg-heads"}
_building = threading.RLock()


class Lacking(Exception):
    """Why a network cannot be built here, and what to do about it, in one line."""


@dataclass
class Door:
    """What was used while a network was built.

    Attributes:
        files: the files, in the order of use.
        untrained: timm's networks with a copy of their first weights: they must be loaded from a file afterwards.
    """

    files: list[AssetFile] = field(default_factory=list)
    untrained: list[tuple[str, Any, Any]] = field(default_factory=list)

    def find(self, url: str, checked: bool = False) -> Path:
        """Return the local file that pyiqa would fetch from this address.

        Args:
            url: the address.
            checked: take only a file whose whole SHA-256 is catalogued: torch's own reader of programs will open it.

        Raises:
            Lacking: it is not on this machine; the line says which file, and where to put it.
        """
        name = Path(urlsplit(url).path).name
        known = next((a for a in assets.list_assets() if name == a.file or ALSO.get(name) == a.name), None)
        asset = known or Asset(name, name, "image quality", "its authors'", (), "pyiqa", urls=(url,), torch_hub=True)
        found = assets.located(asset)
        if found is not None and checked and not found.verified:
            raise Lacking(f"{found.path} cannot be checked: no SHA-256 of it is known, and it may hold a program")
        if found is None:
            how = (
                f"run: {known.remedy()}" if known else f"get it from {url} and put it into a folder of EMO_BENCH_ASSETS"
            )
            raise Lacking(f"needs file {name}; {how}")
        wrong = damage(found)
        if wrong is not None:
            raise Lacking(wrong)
        self.files.append(found)
        return found.path


def damage(file: AssetFile) -> str | None:
    """Return in one line that a file is not what its name says, or None."""
    stated = HASHED.search(file.path.name)
    if stated is None or file.sha256.startswith(stated[1]):
        return None
    return f"{file.path} is not the file that its name says: its SHA-256 does not begin with {stated[1]}; get it again"


@functools.cache
def configurations() -> Mapping[str, Mapping[str, Any]] | None:
    """Return pyiqa's metrics by name: ``metric_opts``, ``metric_mode``, ``lower_better``; None if it is not installed.

    The package itself is not imported.
    """
    spec = importlib.util.find_spec("pyiqa")
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]) / "default_model_configs.py"
    module_spec = importlib.util.spec_from_file_location("_pyiqa_configurations", file)
    if module_spec is None or module_spec.loader is None or not file.is_file():
        return None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    found: Mapping[str, Mapping[str, Any]] = module.DEFAULT_CONFIGS
    return found


def build(name: str, device: str) -> tuple[Any, tuple[AssetFile, ...]]:
    """Build a metric of pyiqa from local files; return it with the files.

    Raises:
        Lacking: a file or a package is missing, or the metric cannot be used here.
    """
    found = configurations()
    if found is None:
        raise Lacking(f"needs package pyiqa; run: {INSTALL}")
    options = found[name]["metric_opts"]
    why = FROM_HUBS if "swin" in str(options) else REFUSED.get(options["type"])
    if why:
        raise Lacking(f"pyiqa's {name} {why}")
    import torch

    door = Door()
    try:
        with _building, root_logger_kept(), _through(door), contextlib.redirect_stdout(io.StringIO()):
            metric = importlib.import_module("pyiqa.models.inference_model").InferenceModel(
                name, device=torch.device(device)
            )
    except (Lacking, UserError) as error:
        raise Lacking(str(error)) from error
    except ModuleNotFoundError as error:
        raise Lacking(f"pyiqa's {name} needs package {error.name}; run: {INSTALL}") from error
    except Exception as error:
        if isinstance(error.__cause__ or error.__context__, Lacking):
            raise Lacking(str(error.__cause__ or error.__context__)) from error
        said = shortened(" ".join(f"{type(error).__name__}: {error}".split()), 200)
        raise Lacking(f"pyiqa cannot build {name} from files on this machine: {said}") from error
    for network, weight, first in door.untrained:
        if torch.equal(weight.detach().cpu(), first):
            raise Lacking(f"pyiqa's {name} {FROM_HUBS} (timm's {network})")
    return metric, tuple(door.files)


@contextmanager
def _through(door: Door) -> Iterator[None]:
    """Let all that this thread loads come through the door, and undo this afterwards."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_old_setuptools())
        stack.enter_context(_connections_shut())
        _import_pyiqa()
        for module, name, replacement in _replacements(door):
            stack.enter_context(_replaced(module, name, replacement))
        yield


def _import_pyiqa() -> None:
    logging.getLogger("pyiqa").setLevel(logging.WARNING)
    for module in ("torchvision.models", "timm", "pyiqa.archs.arch_util", "pyiqa.archs.clip_model"):
        importlib.import_module(module)
    if importlib.util.find_spec("clip") is not None:
        importlib.import_module("clip.clip")


def _replacements(door: Door) -> Iterator[tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]]]:
    """Yield each function that loads weights: its module, its name, and what makes the replacement of the original."""
    from emo_bench.untrusted.torch_archive import read_torch

    def read(file: Any) -> Any:
        return read_torch(Path(getattr(file, "name", file)), "file of pyiqa's weights")

    def by_path(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda url, *args, **options: str(door.find(url))

    def by_checked_path(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda url, *args, **options: str(door.find(url, checked=True))

    def by_values(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda url, *args, **options: read(door.find(url))

    def as_data(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda file, *args, **options: read(file)

    def untrained(original: Callable[..., Any]) -> Callable[..., Any]:
        def create(network: str, *args: Any, **options: Any) -> Any:
            wanted = options.pop("pretrained", False)
            made = original(network, *args, pretrained=False, **options)
            if wanted:
                weight = next(iter(made.parameters()))
                door.untrained.append((network, weight, weight.detach().clone()))
            return made

        return create

    for module in _modules():
        if hasattr(module, "load_file_from_url"):
            yield module, "load_file_from_url", by_path
    yield sys.modules["pyiqa.archs.clip_model"], "_download", by_checked_path
    if "clip.clip" in sys.modules:
        yield sys.modules["clip.clip"], "_download", by_checked_path
    yield sys.modules["torch.hub"], "load_state_dict_from_url", by_values
    yield sys.modules["torchvision.models._api"], "load_state_dict_from_url", by_values
    yield sys.modules["torch"], "load", as_data
    yield sys.modules["timm"], "create_model", untrained


def _modules() -> list[types.ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "pyiqa" and module]


@contextmanager
def _replaced(
    module: Any, name: str, replacement: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Replace a function for this thread; other threads get the original.

    Modules of pyiqa that are imported meanwhile may take the replacement along: they get the original back, too.
    """
    original, owner = getattr(module, name), threading.get_ident()
    ours = replacement(original)

    @functools.wraps(original)
    def chosen(*args: Any, **options: Any) -> Any:
        return (ours if threading.get_ident() == owner else original)(*args, **options)

    setattr(module, name, chosen)
    try:
        yield
    finally:
        setattr(module, name, original)
        for other in _modules():
            if getattr(other, name, None) is chosen:
                setattr(other, name, original)


@contextmanager
def _connections_shut() -> Iterator[None]:
    """Refuse every connection that this thread tries to open."""

    def refuse(original: Callable[..., Any]) -> Callable[..., Any]:
        def refused(*args: Any, **options: Any) -> Any:
            raise Lacking("pyiqa tried to download something; metrics open no connection")

        return refused

    with _replaced(socket, "getaddrinfo", refuse), _replaced(socket, "create_connection", refuse):
        yield


@contextmanager
def _old_setuptools() -> Iterator[None]:
    """Lend `pkg_resources`, which setuptools dropped, to OpenAI's clip: it takes `packaging` from it."""
    if "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        yield
        return
    import packaging.version

    lent = types.ModuleType("pkg_resources")
    lent.packaging = packaging  # type: ignore[attr-defined]
    sys.modules["pkg_resources"] = lent
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]
