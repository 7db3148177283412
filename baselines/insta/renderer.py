"""The avatar: render the rays of a posed frame to colours, through the canonical map and the field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from baselines.insta.canonical import CanonicalMap
from baselines.insta.config import InstaConfig
from baselines.insta.field import RadianceField
from baselines.insta.occupancy import OccupancyGrid
from baselines.insta.shell import Shell, ShellRays, pixel_directions
from baselines.insta.volume import RayColours, composite
from emo_bench.actors.track import Track
from emo_bench.tracking.head_rig import HeadRig


@dataclass(frozen=True)
class Samples:
    """Samples of R rays, N per ray, in canonical space: the flat input of the field and of compositing."""

    unit: Tensor
    directions: Tensor
    frame: Tensor
    mouth: Tensor
    valid: Tensor
    depths: Tensor
    lengths: Tensor
    far: Tensor


class InstaAvatar(nn.Module):
    """Field, occupancy grid, plate and shell of one person; renders any frame of a track of that person.

    Args:
        rig: the mesh.
        track: the track that poses the mesh.
        rest: ``[V, 3]`` metres, the canonical mesh (:func:`baselines.insta.shell.canonical_vertices` of the person that
            was fitted).
        extents: ``[V]`` metres, the thickness of the shell.
        plate: ``[R, R, 3]`` float32 in [0, 1], the background.
        config: the other settings.
        device: the device of the field.
    """

    def __init__(
        self,
        rig: HeadRig,
        track: Track,
        rest: np.ndarray,
        extents: np.ndarray,
        plate: np.ndarray,
        config: InstaConfig,
        device: str,
    ) -> None:
        super().__init__()
        self.config, self._device = config, device
        self.rest: Tensor
        self.extents: Tensor
        self.plate: Tensor
        self.register_buffer("rest", torch.as_tensor(rest))
        self.register_buffer("extents", torch.as_tensor(extents))
        self.register_buffer("plate", torch.as_tensor(plate).reshape(-1, 3))
        margin = float(extents.max()) + config.shell_margin_m
        low, high = rest.min(axis=0) - margin, rest.max(axis=0) + margin
        self.field = RadianceField(config, low, float((high - low).max()))
        self.occupancy = OccupancyGrid(config.occupancy_cells)
        self.shell = Shell(rig, track, extents, config)
        self._map = CanonicalMap(rig.faces, rest, self.shell.reach_m, device)
        self._mouth = torch.from_numpy(self.shell.mouth).to(device)

    def sample(self, batches: Sequence[ShellRays], rng: np.random.Generator | None) -> Samples:
        """Place samples on rays of several frames: at the centres of equal intervals, or at random inside them."""
        count = self.config.samples
        carried, depths, lengths, fars = [], [], [], []
        for rays in batches:
            near, far = (torch.from_numpy(a).to(self._device)[:, None] for a in (rays.near, rays.far))
            where = np.full((len(rays.near), count), 0.5) if rng is None else rng.random((len(rays.near), count))
            steps = (torch.arange(count) + torch.from_numpy(where).float()).to(self._device) / count
            at = near + (far - near) * steps
            way = torch.from_numpy(pixel_directions(rays.pixels, self.config.resolution_px, *self.shell.camera()))
            way = way.to(self._device)
            points = (at[..., None] * way[:, None]).reshape(-1, 3)
            turned = way[:, None].expand(-1, count, -1).reshape(-1, 3)
            carried.append(self._map.carry(rays.vertices, points, turned))
            depths.append(at)
            lengths.append((far - near) / count * way.norm(dim=1, keepdim=True))
            fars.append(far[:, 0])
        face = torch.cat([c.face for c in carried])
        sizes = torch.tensor([len(c.face) for c in carried], device=self._device)
        return Samples(
            unit=self.field.unit(torch.cat([c.points for c in carried])),
            directions=torch.cat([c.directions for c in carried]),
            frame=torch.repeat_interleave(torch.arange(len(carried), device=self._device), sizes),
            mouth=(face >= 0) & self._mouth[face.clamp_min(0)],
            valid=face >= 0,
            depths=torch.cat(depths),
            lengths=torch.cat(lengths).expand(-1, count),
            far=torch.cat(fars),
        )

    def shade(self, samples: Samples, expression: Tensor, skip_empty: bool, observe: bool = False) -> RayColours:
        """Volume-render samples; ``expression [B, 52]`` are the coefficients of their frames.

        Args:
            samples: from :meth:`sample`.
            expression: ARKit coefficients.
            skip_empty: leave out samples in cells that the occupancy grid marks as empty.
            observe: update the occupancy grid with the opacities.
        """
        keep = samples.valid
        if skip_empty:
            keep = keep & self.occupancy.occupied(samples.unit)
        chosen = keep.nonzero()[:, 0]
        code = self.field.encode(expression)
        some_density, some_rgb = self.field(
            samples.unit[chosen], samples.directions[chosen], code[samples.frame[chosen]], samples.mouth[chosen]
        )
        shape = samples.depths.shape
        density = some_density.new_zeros(shape.numel()).index_put((chosen,), some_density).reshape(shape)
        rgb = some_rgb.new_zeros(shape.numel(), 3).index_put((chosen,), some_rgb).reshape(*shape, 3)
        if observe:
            opacity = -torch.expm1(-density.detach() * samples.lengths)
            self.occupancy.observe(samples.unit[chosen], opacity.reshape(-1)[chosen])
        return composite(density, samples.lengths, rgb, samples.depths, samples.far)

    @torch.no_grad()
    def picture(self, index: int, expression: np.ndarray) -> np.ndarray:
        """Render frame ``index`` of the track as uint8 ``[R, R, 3]``, with its expression ``[52]``."""
        size = self.config.resolution_px
        every = self.shell.rays(index)
        code = torch.from_numpy(np.asarray(expression, np.float32))[None].to(self._device)
        picture = self.background().clone()
        for start in range(0, len(every.pixels), self.config.render_rays):
            part = slice(start, start + self.config.render_rays)
            rays = ShellRays(
                every.pixels[part],
                every.near[part],
                every.far[part],
                every.prior[part],
                every.mouth[part],
                every.vertices,
            )
            colours = self.shade(self.sample([rays], None), code, skip_empty=True)
            at = torch.from_numpy(rays.pixels).long().to(self._device)
            picture[at] = colours.over(picture[at])
        rounded = (picture.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
        return rounded.reshape(size, size, 3).cpu().numpy()

    def background(self) -> Tensor:
        """Return the background of the person, ``[R * R, 3]``."""
        return self.plate if self.config.background == "plate" else torch.ones_like(self.plate)
