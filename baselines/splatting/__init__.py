"""Differentiable splatting of 3D Gaussians (Kerbl, Kopanas, Leimkuehler, Drettakis 2023), on CPU and CUDA.

Written from the papers; no line of the authors' rasteriser is used. A Gaussian with the axes ``M = R S`` (rotation
times scale) has the covariance ``M M^T``. The projection is replaced by its linear approximation ``J`` at the middle of
the Gaussian (Zwicker, Pfister, van Baar, Gross 2001), so its picture is an ellipse with the covariance ``J M M^T J^T``.
A blur of ``blur_px2`` is added to it, so that no ellipse falls between pixels. With ``antialiased`` the opacity is
multiplied by the root of the quotient of both determinants, so that the blur changes no total (Yu, Chen, Huang,
Sattler, Geiger 2024, the 2D Mip filter). The ellipses are blended from near to far. Each Gaussian has one colour
(spherical harmonics of degree 0), because the videos here have one camera.

:func:`baselines.splatting.rasterise.splat` draws. On CUDA it uses gsplat where that is installed and works.
"""
