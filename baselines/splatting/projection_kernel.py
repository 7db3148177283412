"""The kernel that projects Gaussians to ellipses in a picture, in Warp's language. Warp derives its gradient."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from emo_bench.tracking.raycast import warp

# A Gaussian does not change a pixel to which it would give less than one of 255 levels (Kerbl et al. 2023).
FAINTEST = 1.0 / 255.0
# The linear approximation of the projection is wrong far outside the picture, where it makes ellipses too long. It is
# taken at most this share of the picture's size outside, as in gsplat.
MARGIN = 0.15
# Greater determinants (px^4) would overflow, and such Gaussians are not drawn.
LARGEST = 1e30


@lru_cache(maxsize=1)
def projection_kernel() -> Any:
    """Define the kernel; :func:`baselines.splatting.projection.footprints` says what it computes."""
    wp = warp()
    faintest, margin, largest = wp.constant(FAINTEST), wp.constant(MARGIN), wp.constant(LARGEST)

    @wp.func
    def axes(rotation: wp.vec4, scale: wp.vec3):
        q = rotation / wp.max(wp.length(rotation), 1.0e-12)
        w = q[0]
        x = q[1]
        y = q[2]
        z = q[3]
        return wp.mat33(
            (1.0 - 2.0 * (y * y + z * z)) * scale[0],
            2.0 * (x * y - w * z) * scale[1],
            2.0 * (x * z + w * y) * scale[2],
            2.0 * (x * y + w * z) * scale[0],
            (1.0 - 2.0 * (x * x + z * z)) * scale[1],
            2.0 * (y * z - w * x) * scale[2],
            2.0 * (x * z - w * y) * scale[0],
            2.0 * (y * z + w * x) * scale[1],
            (1.0 - 2.0 * (x * x + y * y)) * scale[2],
        )

    @wp.func
    def slope(offset: float, depth: float, center: float, size: float, focal: float):
        low = (0.0 - margin * size - center) / focal
        high = (size + margin * size - center) / focal
        return wp.clamp(offset / depth, low, high)

    @wp.func
    def pixels_between(low: float, high: float, size: float):
        first = wp.clamp(wp.ceil(low - 0.5), 0.0, size)
        last = wp.clamp(wp.floor(high - 0.5) + 1.0, 0.0, size)
        return int(first), int(last)

    @wp.kernel
    def project(
        mean: wp.array(dtype=wp.vec3),
        scale: wp.array(dtype=wp.vec3),
        rotation: wp.array(dtype=wp.vec4),
        opacity: wp.array(dtype=float),
        focal_px: float,
        center: wp.vec2,
        size: wp.vec2,
        nearest_m: float,
        blur_px2: float,
        antialiased: int,
        place: wp.array(dtype=wp.vec2),
        conic: wp.array(dtype=wp.vec3),
        peak: wp.array(dtype=float),
        limit: wp.array(dtype=float),
        bounds: wp.array(dtype=wp.vec4i),
    ):
        i = wp.tid()
        m = mean[i]
        if m[2] > nearest_m and wp.isfinite(m):
            f = focal_px / m[2]
            u = slope(m[0], m[2], center[0], size[0], focal_px)
            v = slope(m[1], m[2], center[1], size[1], focal_px)
            # The derivative of the projection times the axes of the ellipsoid.
            a = axes(rotation[i], scale[i])
            depth_row = wp.vec3(a[2, 0], a[2, 1], a[2, 2])
            across = f * (wp.vec3(a[0, 0], a[0, 1], a[0, 2]) - u * depth_row)
            down = f * (wp.vec3(a[1, 0], a[1, 1], a[1, 2]) - v * depth_row)
            xx = wp.dot(across, across)
            xy = wp.dot(across, down)
            yy = wp.dot(down, down)
            # xx * yy - xy * xy, without its cancellation.
            area = wp.cross(across, down)
            sharp = wp.dot(area, area)
            blurred = sharp + blur_px2 * (xx + yy + blur_px2)
            # Also false where scale or rotation is not finite.
            if blurred > 0.0 and blurred < largest:
                o = opacity[i]
                if antialiased != 0:
                    # The root has an infinite slope at 0. A Gaussian that is so thin is not drawn anyway.
                    o = o * wp.sqrt(wp.max(sharp / blurred, 1.0e-10))
                if o >= faintest:
                    px = f * m[0] + center[0]
                    py = f * m[1] + center[1]
                    reach = 2.0 * wp.log(o / faintest)
                    half_x = wp.sqrt(reach * (xx + blur_px2))
                    half_y = wp.sqrt(reach * (yy + blur_px2))
                    x0, x1 = pixels_between(px - half_x, px + half_x, size[0])
                    y0, y1 = pixels_between(py - half_y, py + half_y, size[1])
                    place[i] = wp.vec2(px, py)
                    conic[i] = wp.vec3((yy + blur_px2) / blurred, -xy / blurred, (xx + blur_px2) / blurred)
                    peak[i] = o
                    limit[i] = reach
                    bounds[i] = wp.vec4i(x0, x1, y0, y1)

    return project
