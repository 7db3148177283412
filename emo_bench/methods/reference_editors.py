"""Editors of one picture: they turn a frame into the reference picture of an edit.

``styletransfer`` and ``drawing`` work offline. ``diffusers`` and ``instruct-pix2pix`` run a diffusers pipeline from a
folder on this machine; the second has a small one that comes with the toolkit. ``file`` takes a picture that the user
made. No editor downloads anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, ValidationError

from emo_bench.errors import UserError, unknown_name
from emo_bench.methods.diffusion_memory import Memory, chosen_memory
from emo_bench.methods.diffusion_pipelines import (
    editing_pipeline,
    folder_remedy,
    load_pipeline,
    pipeline_folder,
    pipeline_sha256,
    refused_setting,
    taken_arguments,
)
from emo_bench.methods.frame_sizes import resized_frames
from emo_bench.methods.picture_editor import EditorSettings, Picture, ReferenceEditor
from emo_bench.methods.pix2pix_models import INSTRUCT_PIX2PIX, missing_model, model_settings
from emo_bench.methods.restyling_editors import DrawingEditor, StyleTransferEditor
from emo_bench.pictures.reading import read_picture
from emo_bench.untrusted.schema import first_problem

# Smallest and largest noise of an update, as shares of the schedule (Instruct-NeRF2NeRF).
UPDATE_NOISE = (0.02, 0.98)
# For each setting, the argument of a pipeline's __call__ that gets its value.
ARGUMENTS = {"steps": "num_inference_steps", "text_scale": "guidance_scale", "image_scale": "image_guidance_scale"}


class DiffusersSettings(EditorSettings):
    """Settings of ``diffusers``.

    Attributes:
        model: folder of a diffusers pipeline; a name without a path is looked up in the asset folders.
        pipeline: the pipeline's class, a name in ``diffusers``, e.g. ``FluxKontextPipeline``.
        steps: denoising steps; None takes the pipeline's default.
        text_scale, image_scale: how strongly instruction and picture guide; None takes the pipeline's defaults.
        size_px: side of the picture that the pipeline edits.
        memory: what saves memory (:mod:`emo_bench.methods.diffusion_memory`); None: what the machine asks for.
    """

    model: str
    pipeline: str
    steps: int | None = Field(None, ge=1)
    text_scale: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    image_scale: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    size_px: int = Field(512, ge=8)
    memory: Memory | None = None


class InstructPix2PixSettings(EditorSettings):
    """Settings of ``instruct-pix2pix``, as of ``diffusers``; all may be left out.

    Without ``model``, InstructPix2Pix edits if its folder is on this machine, else the bundled ``portraits-diffusion``.
    Other settings that are left out take the values that suit the model (:mod:`emo_bench.methods.pix2pix_models`).
    """

    model: str | None = None
    pipeline: str = INSTRUCT_PIX2PIX
    steps: int | None = Field(None, ge=1)
    # Below 1 diffusers leaves both guidances out, whatever the other scale says.
    text_scale: float | None = Field(None, ge=1, le=100, allow_inf_nan=False)
    image_scale: float | None = Field(None, ge=1, le=100, allow_inf_nan=False)
    size_px: int | None = Field(None, ge=8)
    memory: Memory | None = None

    def completed(self) -> DiffusersSettings:
        """Return the settings with a value for each that is left out."""
        return DiffusersSettings(**model_settings({"pipeline": self.pipeline, **self.model_dump(exclude_none=True)}))


class DiffusersEditor(ReferenceEditor):
    """An instruction-driven pipeline of ``diffusers``, loaded from a folder.

    If the pipeline takes no argument for a setting, the default is left out, and a value of the user is refused.
    """

    settings_model: ClassVar[type[EditorSettings]] = DiffusersSettings
    _kept: Any = None

    @classmethod
    def missing(cls, settings: DiffusersSettings | InstructPix2PixSettings) -> str | None:
        try:
            pipeline = editing_pipeline(settings.pipeline)
        except UserError as error:
            return str(error)
        chosen = {name for name in settings.model_fields_set if getattr(settings, name) is not None}
        refused = refused_setting(pipeline, ARGUMENTS, frozenset(chosen))
        return refused or missing_model(settings.model, settings.pipeline)

    def weights(self) -> dict[str, str]:
        folder = self._folder()
        return {folder.resolve().name: pipeline_sha256(folder)}

    def resolved(self) -> dict[str, Any]:
        return dict(self.settings.model_dump(mode="json", exclude={"model", "memory"}, exclude_none=True))

    def memory(self) -> Memory:
        """Return what the editor does to save memory.

        Raises:
            UserError: the settings ask for what this device cannot do, or the weights are not here.
        """
        return chosen_memory(self.settings.memory, self.device, self._folder())

    def edit(self, picture_u8: Picture, instruction: str, seed: int) -> Picture:
        import torch

        generator = torch.Generator("cpu").manual_seed(seed)
        arguments = self.arguments(self._photo(picture_u8), instruction)
        result = self._loaded()(**arguments, generator=generator).images[0]
        return self._sized(result, picture_u8.shape[0])

    def edit_batch(self, pictures_u8: Picture, instruction: str, seeds: Sequence[int]) -> Picture:
        """Edit ``uint8 [N, S, S, 3]`` together, each picture with the noise of its own seed."""
        import torch

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        arguments = self.arguments([self._photo(picture) for picture in pictures_u8], instruction)
        arguments["prompt"] = [instruction] * len(pictures_u8)
        results = self._loaded()(**arguments, generator=generators).images
        return np.stack([self._sized(result, pictures_u8.shape[1]) for result in results])

    def arguments(self, photo: Any, instruction: str) -> dict[str, Any]:
        """Return the arguments of the pipeline's call, without the noise; ``photo`` may be a list of pictures."""
        settings = self.settings
        taken = taken_arguments(editing_pipeline(settings.pipeline))
        given = {argument: getattr(settings, name) for name, argument in ARGUMENTS.items()}
        given |= {"height": settings.size_px, "width": settings.size_px}
        chosen = {name: value for name, value in given.items() if name in taken and value is not None}
        return {"prompt": instruction, "image": photo, **chosen}

    def _photo(self, picture_u8: Picture) -> Any:
        from PIL import Image

        return Image.fromarray(picture_u8).resize((self.settings.size_px,) * 2, Image.Resampling.BICUBIC)

    def _sized(self, result: Any, side: int) -> Picture:
        return np.asarray(resized_frames(np.asarray(result.convert("RGB"))[None], side)[0])

    def _folder(self) -> Path:
        folder = pipeline_folder(self.settings.model)
        if folder is None:
            raise UserError(folder_remedy(self.settings.model))
        return folder

    def _loaded(self) -> Any:
        """Return the pipeline, which is loaded once and kept."""
        if self._kept is None:
            self._kept = load_pipeline(self.settings.pipeline, self._folder(), self.device, self.memory())
        return self._kept


class InstructPix2PixEditor(DiffusersEditor):
    """InstructPix2Pix (Brooks et al. 2023), the paper's editor; ``image_scale`` is the weight of the input picture."""

    settings_model = InstructPix2PixSettings

    def __init__(self, settings: Any, device: str) -> None:
        super().__init__(settings.completed(), device)
        # The update needs InstructPix2Pix's autoencoder and its two guidance scales.
        self.can_update = settings.pipeline == INSTRUCT_PIX2PIX
        self._update_scheduler: Any = None
        self._train_timesteps = 0

    def update(self, rendering_u8: Picture, recorded_u8: Picture, instruction: str, seed: int) -> Picture:
        """Add noise of random strength to the rendering, as in2n does; denoise it by DDIM with the recorded frame."""
        if not self.can_update:
            return super().update(rendering_u8, recorded_u8, instruction, seed)
        pipeline = self._loaded()
        usual = pipeline.scheduler
        pipeline.scheduler = self._ddim(usual)
        try:
            return self._updated(pipeline, rendering_u8, recorded_u8, instruction, seed)
        finally:
            pipeline.scheduler = usual

    def _ddim(self, usual: Any) -> Any:
        """Return the DDIM scheduler of updates, with the noise levels of the pipeline's usual scheduler."""
        from diffusers import DDIMScheduler

        if self._update_scheduler is None:
            self._update_scheduler = DDIMScheduler.from_config(usual.config)
            self._train_timesteps = int(self._update_scheduler.config.num_train_timesteps)
        return self._update_scheduler

    def _updated(
        self, pipeline: Any, rendering_u8: Picture, recorded_u8: Picture, instruction: str, seed: int
    ) -> Picture:
        import torch

        scheduler = pipeline.scheduler
        arguments = self.arguments(self._photo(recorded_u8), instruction)
        generator = torch.Generator("cpu").manual_seed(seed)
        share = UPDATE_NOISE[0] + (UPDATE_NOISE[1] - UPDATE_NOISE[0]) * float(torch.rand(1, generator=generator))
        # DDIM then distributes its steps over the noise levels up to that strength. Between two levels it takes a whole
        # number of timesteps; if the levels were further apart than that, each step would leave noise behind.
        steps, most = self.settings.steps, max(self._train_timesteps // self.settings.steps, 1)
        apart = min(max(round(share * self._train_timesteps / steps), 1), most)
        scheduler.register_to_config(num_train_timesteps=min(apart * steps, self._train_timesteps))
        scheduler.set_timesteps(self.settings.steps)
        with torch.no_grad():
            pixels = pipeline.image_processor.preprocess(self._photo(rendering_u8))
            pixels = pixels.to(pipeline.vae.device, pipeline.vae.dtype)
            clean = pipeline.vae.encode(pixels).latent_dist.mode() * pipeline.vae.config.scaling_factor
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        noised = scheduler.add_noise(clean, noise, scheduler.timesteps[:1])
        made = pipeline(**arguments, latents=noised, generator=generator).images[0]
        return self._sized(made, rendering_u8.shape[0])


class FileSettings(EditorSettings):
    """Settings of ``file``: ``image`` is the edited reference frame, with the same crop as the frame."""

    image: Path


class FileEditor(ReferenceEditor):
    """The user's own edit of the reference frame."""

    settings_model = FileSettings

    @classmethod
    def missing(cls, settings: FileSettings) -> str | None:
        try:
            height, width = read_picture(settings.image).shape[:2]
        except UserError as error:
            return f"reference {error}"
        if width != height:
            return (
                f"reference {settings.image} is {width}x{height} px: it must be square, framed as the frame that it "
                "edits (source.png in an edit's folder)"
            )
        return None

    def edit(self, picture_u8: Picture, instruction: str, seed: int) -> Picture:
        return np.asarray(resized_frames(read_picture(self.settings.image)[None], picture_u8.shape[0])[0])


EDITORS: dict[str, type[ReferenceEditor]] = {
    "styletransfer": StyleTransferEditor,
    "drawing": DrawingEditor,
    "diffusers": DiffusersEditor,
    "instruct-pix2pix": InstructPix2PixEditor,
    "file": FileEditor,
}


def open_editor(name: str, settings: Mapping[str, Any], device: str = "cpu") -> ReferenceEditor:
    """Return the named editor with its settings.

    Raises:
        UserError: there is no such editor, a setting is unknown or does not fit, or the editor lacks something here.
    """
    if name not in EDITORS:
        raise unknown_name("reference editor", name, EDITORS)
    cls = EDITORS[name]
    try:
        chosen = cls.settings_model(**settings)
    except ValidationError as error:
        raise UserError(f"editor {name}: {first_problem(error, 'settings', cls.settings_model)}") from error
    lacking = cls.missing(chosen)
    if lacking:
        raise UserError(f"editor {name}: {lacking}")
    return cls(chosen, device)
