"""The kernels that sort ellipses into tiles and blend them, in Warp's language.

``draw`` and ``draw_back`` are a pair: the second is the gradient of the first. A thread owns a square block of pixels
and walks through the sorted list of its tile. Warp runs all threads of a CPU one after another, so a block is a whole
tile there: each Gaussian is read once a tile, and only the pixels inside its ellipse are visited. On CUDA a block is
one pixel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from emo_bench.tracking.raycast import warp

# A Gaussian covers at most this share of a pixel. A Gaussian that would leave less light than DARKEST finishes the
# pixel and is not drawn itself (Kerbl et al. 2023, appendix; numbers as in gsplat 1.5).
DENSEST, DARKEST = 0.999, 1e-4


class DrawingKernels(NamedTuple):
    """The kernels: tiles of each Gaussian, pairs of tile and Gaussian, the picture, its gradient."""

    count: Any
    pair: Any
    draw: Any
    draw_back: Any


@lru_cache(maxsize=1)
def drawing_kernels() -> DrawingKernels:
    """Define all kernels at once, because Warp compiles a module as a whole."""
    wp = warp()
    return DrawingKernels(*_list_kernels(wp), *_blend_kernels(wp))


def _list_kernels(wp: Any) -> tuple[Any, Any]:
    @wp.kernel(enable_backward=False)
    def count(
        bounds: wp.array(dtype=wp.vec4i), order: wp.array(dtype=wp.int32), tile: int, tiles: wp.array(dtype=wp.int32)
    ):
        k = wp.tid()
        b = bounds[order[k]]
        if b[1] > b[0] and b[3] > b[2]:
            tiles[k] = ((b[1] - 1) / tile - b[0] / tile + 1) * ((b[3] - 1) / tile - b[2] / tile + 1)

    @wp.kernel(enable_backward=False)
    def pair(
        bounds: wp.array(dtype=wp.vec4i),
        order: wp.array(dtype=wp.int32),
        ends: wp.array(dtype=wp.int32),
        tile: int,
        tiles_across: int,
        tile_of: wp.array(dtype=wp.int32),
        gaussian_of: wp.array(dtype=wp.int32),
    ):
        k = wp.tid()
        i = order[k]
        b = bounds[i]
        if b[1] > b[0] and b[3] > b[2]:
            # Warp makes a variable of int(0) and a constant of 0.
            at = int(0)  # noqa: RUF046, UP018
            if k > 0:
                at = ends[k - 1]
            for row in range(b[2] / tile, (b[3] - 1) / tile + 1):
                for column in range(b[0] / tile, (b[1] - 1) / tile + 1):
                    tile_of[at] = row * tiles_across + column
                    gaussian_of[at] = i
                    at = at + 1

    return count, pair


def _blend_kernels(wp: Any) -> tuple[Any, Any]:
    densest, darkest = wp.constant(DENSEST), wp.constant(DARKEST)

    @wp.func
    def block_of(tile_index: int, block_index: int, width: int, height: int, tile: int, block: int):
        across = (width + tile - 1) / tile
        blocks = tile / block
        x0 = (tile_index % across) * tile + (block_index % blocks) * block
        y0 = (tile_index / across) * tile + (block_index / blocks) * block
        return wp.vec4i(wp.min(x0, width), wp.min(x0 + block, width), wp.min(y0, height), wp.min(y0 + block, height))

    @wp.func
    def span(offset_y: float, place_x: float, conic: wp.vec3, limit: float, low: int, high: int):
        # The columns of a row inside an ellipse, from low to high at most.
        middle = -conic[1] * offset_y
        root = middle * middle - conic[0] * (conic[2] * offset_y * offset_y - limit)
        first = high
        last = low
        if root >= 0.0:
            half = wp.sqrt(root) / conic[0]
            at = place_x + middle / conic[0] - 0.5
            first = int(wp.max(wp.ceil(at - half), float(low)))
            last = int(wp.min(wp.floor(at + half) + 1.0, float(high)))
        return first, last

    @wp.func
    def fall_off(x: float, y: float, conic: wp.vec3):
        return wp.exp(-0.5 * (conic[0] * x * x + conic[2] * y * y) - conic[1] * x * y)

    @wp.func
    def row_over(
        k: int,
        row: int,
        first: int,
        last: int,
        offset_y: float,
        place_x: float,
        conic: wp.vec3,
        peak: float,
        rgb: wp.vec3,
        picture: wp.array(dtype=wp.vec4),
        after: wp.array(dtype=wp.int32),
    ):
        finished = int(0)  # noqa: RUF046, UP018
        for x in range(first, last):
            now = picture[row + x]
            if now[3] > 0.0:
                alpha = wp.min(peak * fall_off(float(x) + 0.5 - place_x, offset_y, conic), densest)
                passed = now[3] * (1.0 - alpha)
                if passed > darkest:
                    weight = now[3] * alpha
                    picture[row + x] = wp.vec4(
                        now[0] + weight * rgb[0], now[1] + weight * rgb[1], now[2] + weight * rgb[2], passed
                    )
                    after[row + x] = k + 1
                else:
                    # A negative value marks a finished pixel.
                    picture[row + x] = wp.vec4(now[0], now[1], now[2], -now[3])
                    finished = finished + 1
        return finished

    @wp.func
    def row_back(
        k: int,
        row: int,
        first: int,
        last: int,
        offset_y: float,
        place_x: float,
        conic: wp.vec3,
        peak: float,
        rgb: wp.vec3,
        after: wp.array(dtype=wp.int32),
        wanted: wp.array(dtype=wp.vec4),
        behind: wp.array(dtype=wp.vec2),
    ):
        # Sums over a row: the gradient of the colour, and that of the exponent times 1, x and x * x.
        colour = wp.vec3(0.0, 0.0, 0.0)
        moments = wp.vec3(0.0, 0.0, 0.0)
        for x in range(first, last):
            if k < after[row + x]:
                dx = float(x) + 0.5 - place_x
                free = peak * fall_off(dx, offset_y, conic)
                alpha = wp.min(free, densest)
                wanted_here = wanted[row + x]
                g = wp.vec3(wanted_here[0], wanted_here[1], wanted_here[2])
                state = behind[row + x]
                light = state[0] / (1.0 - alpha)
                value = wp.dot(g, rgb)
                colour = colour + (light * alpha) * g
                behind[row + x] = wp.vec2(light, alpha * value + (1.0 - alpha) * state[1])
                if free < densest:
                    slope = free * light * (value - state[1])
                    moments = moments + slope * wp.vec3(1.0, dx, dx * dx)
        return colour, moments

    @wp.kernel(enable_backward=False)
    def draw(
        starts: wp.array(dtype=wp.int32),
        listed: wp.array(dtype=wp.int32),
        place: wp.array(dtype=wp.vec2),
        conic: wp.array(dtype=wp.vec3),
        peak: wp.array(dtype=float),
        limit: wp.array(dtype=float),
        bounds: wp.array(dtype=wp.vec4i),
        colour: wp.array(dtype=wp.vec3),
        width: int,
        height: int,
        tile: int,
        block: int,
        picture: wp.array(dtype=wp.vec4),
        after: wp.array(dtype=wp.int32),
    ):
        t, j = wp.tid()
        own = block_of(t, j, width, height, tile, block)
        unfinished = (own[1] - own[0]) * (own[3] - own[2])
        for y in range(own[2], own[3]):
            for x in range(own[0], own[1]):
                picture[y * width + x] = wp.vec4(0.0, 0.0, 0.0, 1.0)
        for k in range(starts[t], starts[t + 1]):
            if unfinished <= 0:
                break
            i = listed[k]
            b = bounds[i]
            p = place[i]
            c = conic[i]
            low = wp.max(own[0], b[0])
            high = wp.min(own[1], b[1])
            for y in range(wp.max(own[2], b[2]), wp.min(own[3], b[3])):
                dy = float(y) + 0.5 - p[1]
                first, last = span(dy, p[0], c, limit[i], low, high)
                unfinished = unfinished - row_over(
                    k, y * width, first, last, dy, p[0], c, peak[i], colour[i], picture, after
                )
        for y in range(own[2], own[3]):
            for x in range(own[0], own[1]):
                now = picture[y * width + x]
                picture[y * width + x] = wp.vec4(now[0], now[1], now[2], wp.abs(now[3]))

    @wp.kernel(enable_backward=False)
    def draw_back(
        starts: wp.array(dtype=wp.int32),
        listed: wp.array(dtype=wp.int32),
        place: wp.array(dtype=wp.vec2),
        conic: wp.array(dtype=wp.vec3),
        peak: wp.array(dtype=float),
        limit: wp.array(dtype=float),
        bounds: wp.array(dtype=wp.vec4i),
        colour: wp.array(dtype=wp.vec3),
        width: int,
        height: int,
        tile: int,
        block: int,
        picture: wp.array(dtype=wp.vec4),
        after: wp.array(dtype=wp.int32),
        wanted: wp.array(dtype=wp.vec4),
        behind: wp.array(dtype=wp.vec2),
        place_grad: wp.array(dtype=wp.vec2),
        conic_grad: wp.array(dtype=wp.vec3),
        peak_grad: wp.array(dtype=float),
        colour_grad: wp.array(dtype=wp.vec3),
    ):
        t, j = wp.tid()
        own = block_of(t, j, width, height, tile, block)
        end = starts[t]
        for y in range(own[2], own[3]):
            for x in range(own[0], own[1]):
                at = y * width + x
                # The light that arrives here, and the gradient times the colour of all that lies behind.
                behind[at] = wp.vec2(picture[at][3], wanted[at][3])
                end = wp.max(end, after[at])
        for back in range(end - starts[t]):
            k = end - 1 - back
            i = listed[k]
            b = bounds[i]
            p = place[i]
            c = conic[i]
            low = wp.max(own[0], b[0])
            high = wp.min(own[1], b[1])
            rgb = wp.vec3(0.0, 0.0, 0.0)
            by_x = wp.vec3(0.0, 0.0, 0.0)
            by_y = wp.vec3(0.0, 0.0, 0.0)
            for y in range(wp.max(own[2], b[2]), wp.min(own[3], b[3])):
                dy = float(y) + 0.5 - p[1]
                first, last = span(dy, p[0], c, limit[i], low, high)
                row_rgb, moments = row_back(
                    k, y * width, first, last, dy, p[0], c, peak[i], colour[i], after, wanted, behind
                )
                rgb = rgb + row_rgb
                by_x = by_x + moments
                by_y = by_y + dy * wp.vec3(moments[0], moments[1], dy * moments[0])
            wp.atomic_add(colour_grad, i, rgb)
            wp.atomic_add(peak_grad, i, by_x[0] / peak[i])
            wp.atomic_add(conic_grad, i, wp.vec3(-0.5 * by_x[2], -by_y[1], -0.5 * by_y[2]))
            wp.atomic_add(place_grad, i, wp.vec2(c[0] * by_x[1] + c[1] * by_y[0], c[1] * by_x[1] + c[2] * by_y[0]))

    return draw, draw_back
