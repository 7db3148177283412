"""Pipelines of ``diffusers``: their folders, the classes that edit a picture, and the arguments of these."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_bench import assets, paths
from emo_bench.assets.checksums import digest
from emo_bench.errors import UserError, shortened
from emo_bench.methods.diffusion_memory import Memory, is_half, is_offloaded, save_decoding_memory

if TYPE_CHECKING:
    import torch

# A pipeline needs all of these arguments to edit a picture by an instruction and with a seed.
NEEDED = ("prompt", "image", "generator")
# Files of a pipeline's folder that decide what it paints.
CONTENT = ("model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors", "*/*.bin")
CLOSEST_COUNT = 3


def editing_pipeline(name: str) -> type:
    """Return the ``diffusers`` class of that name, e.g. ``StableDiffusionInstructPix2PixPipeline``.

    Raises:
        UserError: diffusers is not installed, has no such pipeline, or the pipeline does not edit a picture by an
            instruction; the message names the closest pipelines.
    """
    if importlib.util.find_spec("diffusers") is None:
        raise UserError("needs diffusers; run: pip install 'emo-bench[diffusion]'")
    try:
        import diffusers
    except (ImportError, RuntimeError) as error:
        raise UserError(f"diffusers cannot be imported: {_first_line(error)}") from error
    # The names are known without importing the pipelines; importing all of them takes many seconds.
    known = [each for each in dir(diffusers) if each.endswith("Pipeline") and not each.startswith("Flax")]
    if name not in dir(diffusers):
        raise UserError(f"diffusers {diffusers.__version__} has no pipeline {name!r}; {_closest(name, known)}")
    try:
        found = getattr(diffusers, name)
    # diffusers raises RuntimeError for any error in the import of a pipeline.
    except (ImportError, RuntimeError) as error:
        raise UserError(f"the pipeline {name} of diffusers cannot be imported: {_first_line(error)}") from error
    # diffusers has a placeholder for each class whose packages are not installed.
    lacking = [each for each in getattr(found, "_backends", ()) if importlib.util.find_spec(each) is None]
    if lacking:
        raise UserError(f"the pipeline {name} needs {' and '.join(lacking)}; run: pip install {' '.join(lacking)}")
    if not (inspect.isclass(found) and issubclass(found, diffusers.DiffusionPipeline)):
        raise UserError(f"{name} of diffusers is not a pipeline; {_closest(name, known)}")
    missing = [each for each in NEEDED if each not in taken_arguments(found)]
    if missing:
        raise UserError(
            f"the pipeline {name} takes no {' and no '.join(missing)}, so it does not edit a picture by an "
            f"instruction; {_closest(name, [each for each in known if each != name])}"
        )
    return found


def taken_arguments(pipeline: type) -> frozenset[str]:
    """Return the named arguments of a pipeline's ``__call__``; ``**kwargs`` does not count."""
    call = inspect.getattr_static(pipeline, "__call__", None)
    parameters = inspect.signature(call).parameters.values() if callable(call) else ()
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return frozenset(each.name for each in parameters if each.kind in named)


def refused_setting(pipeline: type, arguments: Mapping[str, str], chosen: frozenset[str]) -> str | None:
    """Return why a setting of the user has no effect on a pipeline, in one line, or None.

    Args:
        pipeline: the class.
        arguments: for each setting, the argument of ``__call__`` that gets its value.
        chosen: the settings that the user gave.
    """
    taken = taken_arguments(pipeline)
    for setting, argument in arguments.items():
        if setting in chosen and argument not in taken:
            return (
                f"the pipeline {pipeline.__name__} takes no {argument}: remove {setting} from the style's "
                f"editor_settings"
            )
    return None


def pipeline_folder(model: str) -> Path | None:
    """Return the folder of a diffusers pipeline, or None if it is not here.

    Args:
        model: a path; or a name in the asset folders, or the name of an asset that comes with the toolkit. A name is
            taken as a folder of the working directory only if it is nothing else.
    """
    return _folder(model, "model_index.json", _places(model))


def required_pipeline(method: str, model: str) -> Path:
    """Return the folder of the pipeline that a video editor edits with.

    Args:
        method: the name of the video editor, for the message.
        model: as in :func:`pipeline_folder`.

    Raises:
        UserError: it is not on this machine, or diffusers is not installed; the message says what to do.
    """
    if importlib.util.find_spec("diffusers") is None:
        raise UserError(f"{method} needs diffusers; run: pip install 'emo-bench[diffusion]'")
    folder = pipeline_folder(model)
    if folder is None:
        raise UserError(f"{method} {folder_remedy(model, '--set model=')}")
    return folder


def other_weights(title: str, model: str, size_px: int, of_paper: str) -> str:
    """Return the note on a video editor whose weights are not those of its paper.

    Args:
        title: the title of the video editor.
        model: the name of the weights.
        size_px: side of the pictures that the network edits.
        of_paper: what the paper has.
    """
    return f"{title} edits with the weights {model} at {size_px} px; the paper has {of_paper}"


def controlnet_folder(name: str, pipeline: Path) -> Path | None:
    """Return the folder of a diffusers ControlNet, or None if it is not here.

    Args:
        name: a path, or a name in the pipeline's folder or among the assets, as in :func:`pipeline_folder`.
        pipeline: the pipeline's folder; its folder ``controlnet`` is taken too.
    """
    return _folder(name, "config.json", [pipeline / name, *_places(name), pipeline / "controlnet"])


def _places(name: str) -> list[Path]:
    """Return where a named folder may be: in the asset folders, or with the toolkit."""
    places = [*(folder / name for folder in paths.asset_folders()), paths.home() / "assets" / name]
    if any(asset.name == name and asset.bundled for asset in assets.list_assets()):
        bundled = assets.locate(name)
        places += [bundled.path] if bundled else []
    return places


def pipeline_sha256(folder: Path) -> str:
    """Return the SHA-256 of a pipeline's configuration and weights, as ``assets list`` has that of a folder."""
    return digest(folder, CONTENT)


def folder_remedy(model: str, setting: str = "the style's editor_settings.model") -> str:
    """Return what to do if the folder of a pipeline is missing, in one line; ``setting`` names another folder."""
    known = next((asset for asset in assets.list_assets() if asset.name == model), None)
    return (
        f"needs the diffusers folder of {shortened(model)} (with model_index.json): "
        f"{f'run: {known.remedy()}, or ' if known else ''}put it into a folder of "
        f"EMO_BENCH_ASSETS, or name it as {setting}"
    )


def load_pipeline(name: str, folder: Path, device: str, memory: Memory) -> Any:
    """Load a pipeline of the class ``name`` from its folder, on the device; nothing is downloaded.

    Half precision is bfloat16.

    Raises:
        UserError: there is no such pipeline, or the folder does not hold one.
    """
    import torch

    pipeline: Any = editing_pipeline(name)
    dtype = torch.bfloat16 if is_half(memory, device) else torch.float32
    try:
        with loading_quietly():
            loaded = pipeline.from_pretrained(str(folder), torch_dtype=dtype, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no {name}: {str(error).splitlines()[0]}") from error
    loaded.set_progress_bar_config(disable=True)
    if isinstance(getattr(loaded, "text_encoder", None), torch.nn.Module):
        number_places(loaded.text_encoder)
    if hasattr(loaded, "vae"):
        save_decoding_memory(loaded.vae, memory)
    if is_offloaded(memory):
        loaded.enable_model_cpu_offload(device=device)
        return loaded
    return loaded.to(device)


def number_places(network: torch.nn.Module) -> None:
    """Number the places of the words (or patches) of CLIP's networks from 0, in place.

    The numbers are in no file. transformers 5 makes them while it loads; in a long process we have seen it leave them
    as they came from memory.
    """
    import torch

    for module in network.modules():
        places = getattr(module, "position_ids", None)
        if isinstance(places, torch.Tensor):
            with torch.no_grad():
                places.copy_(torch.arange(places.shape[-1], device=places.device).expand_as(places))


@contextmanager
def loading_quietly() -> Iterator[None]:
    """Keep the libraries' progress bars of loading, and a hint for their programmers, off the terminal."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        # `dtype`, the new name of the argument, is not known to the older versions that we take.
        warnings.filterwarnings("ignore", "`torch_dtype` is deprecated", FutureWarning)
        for library in ("diffusers", "transformers"):
            try:
                switch: Any = importlib.import_module(f"{library}.utils.logging")
            except ImportError:
                continue
            if switch.is_progress_bar_enabled():
                switch.disable_progress_bar()
                stack.callback(switch.enable_progress_bar)
        yield


def _folder(name: str, file: str, places: list[Path]) -> Path | None:
    """Return the first folder that has a file: ``name`` itself, after the places if it is a plain name, or a place."""
    path = Path(name).expanduser()
    ordered = [*places, path] if len(path.parts) == 1 else [path, *places]
    # os.path also answers for names that no file system takes.
    return next((place for place in ordered if os.path.isfile(place / file)), None)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _closest(name: str, known: list[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=CLOSEST_COUNT, cutoff=0.0)
    return f"the closest pipelines are {', '.join(by_lower[each] for each in near)}"
