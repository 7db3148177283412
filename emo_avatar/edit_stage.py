"""The edit stage: only the skip connections are trained, towards the style of one reference picture (paper 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emo_avatar.config import EmoAvatarConfig
from emo_avatar.edit_config import EditConfig
from emo_avatar.edit_direction import EditDirection
from emo_avatar.face_structure import FaceStructure, face_region
from emo_avatar.moved_reference import MovedReference
from emo_avatar.patch_contrast import Encoder, cut_patches, draw_centres, matching_centres, patch_nce
from emo_avatar.patch_discriminator import PatchDiscriminator, discriminator_loss, generator_loss
from emo_avatar.render_stage import Perceptual, condition
from emo_avatar.renderer import AvatarRenderer, DrivingBatch, Encoding
from emo_avatar.skip_training import SkipTraining
from emo_avatar.stroke_skip import StrokeSkip, grown, seen_from_the_front
from emo_bench.system.devices import mixed_precision

RENDER_BATCH = 8
# Smallest weight of MovedReference, over all frames, at which a pixel of the background is still.
STILL = 0.3
# Width of the border around face and neck that gets no strokes, over the side of the picture: ears, sides of the neck.
FACE_BORDER_SHARE = 0.05


@dataclass(frozen=True)
class EditFrames:
    """The frames of an edit, encoded once: the first is the reference's frame, the others are edited together with it.

    Attributes:
        encoding: the input of the skip connections for F frames.
        condition: the discriminator's input beside the image, ``[F, 3, R, R]``.
        uv, mask: ``[F, R, R, 2]`` and ``[F, R, R]`` bool, for the matching of patches.
    """

    encoding: Encoding
    condition: Tensor
    uv: np.ndarray
    mask: np.ndarray

    @classmethod
    @torch.inference_mode(False)
    def of(cls, avatar: AvatarRenderer, batches: list[DrivingBatch]) -> EditFrames:
        """Encode frames given as batches. The encoder is frozen, so this is done once and not in each step."""
        with torch.no_grad(), mixed_precision(avatar.pivots.device, avatar.config.bf16):
            parts = [avatar.encode(batch)[0] for batch in batches]
        features = {side: torch.cat([part.features[side].float() for part in parts]) for side in parts[0].features}
        ws, affine, uv, mask = (
            torch.cat(tensors) for tensors in zip(*((p.ws, p.grid_affine, p.uv, p.mask) for p in parts), strict=True)
        )
        return cls(
            Encoding(features, ws, affine, uv, mask),
            torch.cat([condition(batch) for batch in batches]),
            uv.cpu().numpy(),
            (mask[:, 0] > 0.5).cpu().numpy(),
        )

    def __len__(self) -> int:
        return len(self.mask)


@dataclass(frozen=True)
class PatchPool:
    """Patches of the reference with their features, drawn once, and the place of each in every frame.

    Attributes:
        centres: ``[F, P, 2]`` px; frame 0 is the reference.
        found: ``[F, P]`` bool, whether the frame shows the patch's place on the face.
        features: ``[P, D]`` features of the reference's patches, one tensor per patch size.
    """

    centres: np.ndarray
    found: np.ndarray
    features: tuple[Tensor, ...]

    @classmethod
    @torch.no_grad()
    def draw(
        cls,
        reference: Tensor,
        frames: EditFrames,
        config: EditConfig,
        clip: Encoder,
        clip_px: int,
        rng: np.random.Generator,
    ) -> PatchPool:
        """Draw the patches of ``reference [1, 3, R, R]``, embed them, and match them through UV."""
        size_px = reference.shape[-1]
        centres = draw_centres(frames.mask[0], config.patch_pool, config.on_person_share, rng)
        matches = [(centres, np.ones(len(centres), dtype=bool))]
        for frame in range(1, len(frames)):
            matches.append(
                matching_centres(
                    centres, frames.uv[0], frames.mask[0], frames.uv[frame], frames.mask[frame], config.uv_limit
                )
            )
        where = torch.from_numpy(centres).to(reference.device)
        features = tuple(
            torch.cat([clip(cut_patches(reference, part, share * size_px, clip_px)) for part in where.split(32)])
            for share in config.patch_shares
        )
        return cls(np.stack([c for c, _ in matches]), np.stack([f for _, f in matches]), features)


@dataclass(frozen=True)
class Layers:
    """A rendering, ``[B, 3, R, R]`` each.

    Attributes:
        plain: without strokes.
        images: with strokes, which get no gradient: only pixels teach strokes.
        drawn: the same picture with gradients for the strokes alone; None without strokes.
    """

    plain: Tensor
    images: Tensor
    drawn: Tensor | None


class EditStage(SkipTraining):
    """Trains the skip connections of an avatar towards one reference picture.

    Args:
        avatar: the fitted avatar; everything except ``fusion`` is frozen here.
        discriminator: the discriminator of the render stage, fine-tuned on the reference.
        reference: the edited picture ``[1, 3, R, R]`` in [-1, 1].
        frames: the reference's frame, then the others.
        config, fit_config: the configurations of the edit and of the fit.
        perceptual: distance of two batches in [-1, 1], ``[B]``.
        clip: image encoder with gradients, and the side of its input pictures; None only if no term needs it.
        seed: the run's seed; the random numbers of a step depend only on it and the step's number.
        landmarks68_px: landmarks of the frames, ``[F, 68, 2]`` at the avatar's size.
    """

    def __init__(
        self,
        avatar: AvatarRenderer,
        discriminator: PatchDiscriminator,
        reference: Tensor,
        frames: EditFrames,
        config: EditConfig,
        fit_config: EmoAvatarConfig,
        perceptual: Perceptual,
        clip: tuple[Encoder, int] | None,
        seed: int,
        landmarks68_px: Tensor,
    ) -> None:
        if config.stroke_weight > 0:
            strokes = StrokeSkip(fit_config.texture_px, reference.shape[-1])
            avatar.fusion.strokes = strokes.to(reference.device)
        super().__init__(avatar, config, fit_config)
        self.discriminator = discriminator
        self._reference, self._frames = reference, frames
        self._perceptual, self._clip, self._seed = perceptual, clip, seed
        self._d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=config.discriminator_lr, betas=(0.5, 0.999))
        self._structure: FaceStructure | None = None
        unedited = self._unedited_images()
        if config.structure_weight > 0:
            self._structure = FaceStructure.of(unedited, landmarks68_px)
        self._moved: MovedReference | None = None
        if config.moved_weight > 0 or config.stroke_weight > 0:
            self._moved = MovedReference.of(reference, unedited, frames.uv, frames.mask, config.uv_limit)
        self._direction: EditDirection | None = None
        self._pool: PatchPool | None = None
        if clip is not None:
            if config.direction_weight > 0:
                self._direction = EditDirection.of(reference, unedited, *clip)
            if config.patch_weight > 0 or config.matched_patch_weight > 0:
                rng = np.random.default_rng((seed, 0))
                self._pool = PatchPool.draw(reference, frames, config, *clip, rng)
        self._limit_strokes(landmarks68_px)

    def _limit_strokes(self, landmarks68_px: Tensor) -> None:
        """Allow strokes off the face, where the reference shows a place from the front, and on the still background.

        Strokes on the face would stay where the reference's expression and light had them.
        """
        strokes = self.avatar.fusion.strokes
        if strokes is None:
            return
        assert self._moved is not None
        frames = self._frames
        uv, mask = frames.encoding.uv[0], frames.encoding.mask[0, 0] > 0.5
        side = mask.shape[-1]
        face = torch.from_numpy(face_region(landmarks68_px[0].numpy(), side)).to(uv.device)
        face = grown(face, round(FACE_BORDER_SHARE * side))
        background = ~torch.from_numpy(frames.mask).any(dim=0).to(uv.device)
        still = background & (self._moved.weights.amin(dim=0)[0] > STILL)
        strokes.limit(uv, mask, seen_from_the_front(uv, mask) * ~face, still.float())

    @torch.no_grad()
    def _unedited_images(self) -> Tensor:
        rows = torch.arange(len(self._frames), device=self._reference.device).split(RENDER_BATCH)
        return torch.cat([self.render(self._frames.encoding.rows(part)) for part in rows])

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step and return its losses by name.

        Raises:
            UserError: a loss is not finite; this step has updated nothing.
        """
        rng = np.random.default_rng((self._seed, 1, self.step))
        torch.manual_seed(int(rng.integers(2**31)))
        rows = self._draw_frames(rng)
        chosen = torch.from_numpy(rows).to(self._reference.device)
        layers = self._render_layers(self._frames.encoding.rows(chosen))
        conditions, images = self._frames.condition[chosen], layers.images
        terms = {**self._pixel_terms(layers, chosen), **self._losses(images, rows, conditions, rng)}
        values = self.descend(terms)
        if self.config.gan_weight > 0:
            values["discriminator"] = self._discriminator_step(images.detach(), conditions)
        self.step += 1
        return values

    def _render_layers(self, encoding: Encoding) -> Layers:
        with self.autocast():
            plain, strokes = self.avatar.layers(encoding)
        plain = plain.float()
        if strokes is None:
            return Layers(plain, plain, None)
        return Layers(plain, plain + strokes.detach(), plain.detach() + strokes)

    def _draw_frames(self, rng: np.random.Generator) -> np.ndarray:
        others = len(self._frames) - 1
        count = min(self.config.other_frames, others)
        drawn = 1 + rng.choice(others, size=count, replace=False) if count else np.empty(0, dtype=np.int64)
        return np.concatenate([[0], drawn]).astype(np.int64)

    def _pixel_terms(self, layers: Layers, chosen: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Return the terms that compare pixels, by name with their weights; ``chosen [B]`` are the frames' rows."""
        config = self.config
        terms = {"l1": (config.l1_weight, (layers.plain[:1] - self._reference).abs().mean())}
        if self._moved is None:
            return terms
        if config.moved_weight > 0 and len(chosen) > 1:
            terms["moved"] = (config.moved_weight, self._moved.loss(layers.plain[1:], chosen[1:]))
        if layers.drawn is not None:
            terms["strokes"] = (config.stroke_weight, self._moved.loss(layers.drawn, chosen))
        return terms

    def _losses(
        self, images: Tensor, rows: np.ndarray, conditions: Tensor, rng: np.random.Generator
    ) -> dict[str, tuple[float, Tensor]]:
        """Return the terms that look at whole pictures and patches, by name with their weights; scalars."""
        config, reference = self.config, self._reference
        own, terms = images[:1], {}
        if config.perceptual_weight > 0:
            terms["perceptual"] = (config.perceptual_weight, self._perceptual(own, reference).mean())
        if self._structure is not None:
            chosen = torch.from_numpy(rows).to(images.device)
            terms["structure"] = (config.structure_weight, self._structure.loss(images, chosen))
        if self._direction is not None:
            loss = self._direction.loss(images, torch.from_numpy(rows).to(images.device))
            terms["direction"] = (config.direction_weight, loss)
        if self._pool is not None and self.step % config.patch_every_steps == 0:
            if config.patch_weight > 0:
                terms["patch"] = (config.patch_weight, self._patch_loss(own, 0, rng))
            if config.matched_patch_weight > 0 and len(rows) > 1:
                matched = [
                    self._patch_loss(images[i : i + 1], int(row), rng) for i, row in enumerate(rows[1:], start=1)
                ]
                terms["matched_patch"] = (config.matched_patch_weight, torch.stack(matched).mean())
        if config.gan_weight > 0:
            self.discriminator.requires_grad_(False)
            with self.autocast():
                fake = self.discriminator(images, conditions)
            terms["adversarial"] = (config.gan_weight, generator_loss(fake, self.fit_config.gan_loss))
        return terms

    def _patch_loss(self, image: Tensor, frame: int, rng: np.random.Generator) -> Tensor:
        """Compute equation 3 between the reference and ``image [1, 3, R, R]`` at the same places of the face."""
        assert self._pool is not None and self._clip is not None
        clip, clip_px = self._clip
        there = np.flatnonzero(self._pool.found[frame])
        if len(there) < 2:
            return image.sum() * 0.0
        size = int(rng.integers(len(self.config.patch_shares)))
        chosen = rng.choice(there, size=min(self.config.patches, len(there)), replace=False)
        centres = torch.from_numpy(self._pool.centres[frame][chosen]).to(image.device)
        side_px = self.config.patch_shares[size] * image.shape[-1]
        keys = clip(cut_patches(image, centres, side_px, clip_px))
        queries = self._pool.features[size][torch.from_numpy(chosen).to(image.device)]
        return patch_nce(queries, keys, self.config.temperature, self.config.normalize)

    def _discriminator_step(self, fakes: Tensor, conditions: Tensor) -> float:
        """Train the discriminator with the reference as real and the avatar's frames as fake."""
        self.discriminator.requires_grad_(True)
        with self.autocast():
            real = self.discriminator(self._reference, conditions[:1])
            fake = self.discriminator(fakes, conditions)
            loss = discriminator_loss(real, fake, self.fit_config.gan_loss)
        self._d_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._d_optimizer.step()
        return float(loss.detach())
