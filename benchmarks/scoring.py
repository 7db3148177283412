"""One pass of ours against the libraries one after another: ``python benchmarks/scoring.py --size 256 --pairs 500``.

Each library is used as its documentation shows: it opens the two pictures of a pair and scores them, one pair after
another. Ours opens each picture once and scores all metrics in one pass. Both give their numbers, which must agree.
Frames are the shipped actor 1 and the same frames blurred. Needs: pip install torchmetrics IPython torchsummary
(the last two are imported by stlpips-pytorch without being declared), and pyiqa for BRISQUE.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

PairScore = Callable[[Path, Path], float]
TOLERANCES = {
    "psnr": 1e-4,
    "ssim": 1e-4,
    "ms_ssim": 1e-4,
    "st-lpips": 1e-5,
    "flmd": 1e-3,
    "brisque": 0.5,
    "niqe": 0.1,
}


def main() -> None:
    """Print seconds, shares, speed-up and the largest difference of each metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--metrics", default="psnr,ssim,ms_ssim,st-lpips,flmd,brisque")
    arguments = parser.parse_args()
    libraries = {name: made for name, make in LIBRARIES.items() if (made := make()) is not None}
    metrics = [name for name in arguments.metrics.split(",") if name in libraries]
    for name in set(arguments.metrics.split(",")) - set(metrics):
        print(f"{name}: its library is not installed here, left out")
    with tempfile.TemporaryDirectory() as folder:
        frames, reference = write_pairs(Path(folder), arguments.pairs, arguments.size)
        theirs, seconds = by_libraries(frames, reference, {name: libraries[name] for name in metrics})
        ours, in_one_pass, alone = by_us(frames, reference, metrics)
    print(f"\n{arguments.pairs} pairs at {arguments.size} px, {torch.get_num_threads()} threads")
    print(
        f"{'metric':10} {'library s':>10} {'ours s':>8} {'share':>6} {'ratio':>6} {'largest difference':>19}"
    )
    for name in metrics:
        gap = float(np.nanmax(np.abs(ours[name] - theirs[name])))
        verdict = "" if gap <= TOLERANCES[name] else "  NOT EQUAL"
        share = alone[name] / sum(alone.values())
        ratio = seconds[name] / alone[name]
        print(
            f"{name:10} {seconds[name]:10.2f} {alone[name]:8.2f} {share:6.0%} {ratio:6.1f} {gap:19.2g}{verdict}"
        )
    total = sum(seconds.values())
    print(
        f"all        {total:10.2f} {in_one_pass:8.2f} {'':6} {total / in_one_pass:6.1f}  (ours: one pass, decoding included)"
    )


def write_pairs(folder: Path, count: int, size: int) -> tuple[Path, Path]:
    """PNG files of the actor (reference) and of the actor blurred (frames)."""
    import cv2

    from emo_bench.actors import load

    frames, reference = folder / "frames", folder / "reference"
    frames.mkdir()
    reference.mkdir()
    for number, frame in enumerate(load("1").frames(range(count), size=size)):
        Image.fromarray(frame).save(reference / f"{number:04d}.png")
        Image.fromarray(cv2.GaussianBlur(frame, (0, 0), 1.0)).save(frames / f"{number:04d}.png")
    return frames, reference


def by_libraries(
    frames: Path, reference: Path, libraries: dict[str, PairScore]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Scores and seconds of each library, one after another."""
    files = [(file, reference / file.name) for file in sorted(frames.iterdir())]
    scores, seconds = {}, {}
    for name, library in libraries.items():
        library(*files[0])
        began = time.perf_counter()
        scores[name] = np.array([library(mine, truth) for mine, truth in files])
        seconds[name] = time.perf_counter() - began
        print(f"library {name}: {seconds[name]:.1f} s", flush=True)
    return scores, seconds


def by_us(
    frames: Path, reference: Path, metrics: list[str]
) -> tuple[dict[str, np.ndarray], float, dict[str, float]]:
    """Scores, seconds of the one pass, and seconds of each metric alone on decoded frames."""
    from emo_bench.metrics import Batch, Settings
    from emo_bench.metrics.registry import metric_class
    from emo_bench.rescoring import ScoreRequest, score_request

    decoded = [
        np.stack([np.array(Image.open(file)) for file in sorted(folder.iterdir())])
        for folder in (frames, reference)
    ]
    alone = {}
    for name in metrics:
        metric = metric_class(name).open(Settings())
        metric.score_batch(Batch(decoded[0][:1], decoded[1][:1]))
        began = time.perf_counter()
        for start in range(0, len(decoded[0]), 16):
            metric.score_batch(Batch(*(part[start : start + 16] for part in decoded)))
        alone[name] = time.perf_counter() - began
    forget_landmarks()
    began = time.perf_counter()
    table = score_request(ScoreRequest(frames, reference, metrics=tuple(metrics)))
    seconds = time.perf_counter() - began
    return {name: table[name].to_numpy() for name in metrics}, seconds, alone


def forget_landmarks() -> None:
    """The one pass must find its landmarks itself."""
    from emo_bench.metrics import detectors

    detectors.open_detector.cache_clear()


def picture(file: Path) -> np.ndarray:
    return np.array(Image.open(file))


def unit_tensor(file: Path) -> torch.Tensor:
    return torch.from_numpy(picture(file)).permute(2, 0, 1)[None].float() / 255.0


def skimage_psnr() -> PairScore:
    from skimage.metrics import peak_signal_noise_ratio

    return lambda a, b: float(peak_signal_noise_ratio(picture(b), picture(a), data_range=255))


def skimage_ssim() -> PairScore:
    from skimage.metrics import structural_similarity

    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return lambda a, b: float(structural_similarity(picture(b), picture(a), channel_axis=2, **how))


def torchmetrics_ms_ssim() -> PairScore | None:
    if importlib.util.find_spec("torchmetrics") is None:
        return None
    from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

    metric = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0)
    return lambda a, b: float(metric(unit_tensor(a), unit_tensor(b)))


def package_stlpips() -> PairScore | None:
    if any(importlib.util.find_spec(name) is None for name in ("stlpips_pytorch", "IPython", "torchsummary")):
        return None
    from stlpips_pytorch import stlpips

    model = stlpips.LPIPS(net="alex", variant="shift_tolerant").eval()

    def score(a: Path, b: Path) -> float:
        with torch.no_grad():
            return float(model(unit_tensor(a) * 2 - 1, unit_tensor(b) * 2 - 1))

    return score


def mediapipe_landmarks() -> PairScore | None:
    from emo_bench import assets

    found = assets.locate("face-landmarker")
    if found is None:
        return None
    import mediapipe as mp
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    from emo_bench.tracking.landmarks import landmarks68_of

    options = vision.FaceLandmarkerOptions(base_options=tasks.BaseOptions(model_asset_path=str(found.path)))
    landmarker = vision.FaceLandmarker.create_from_options(options)

    def points(file: Path) -> np.ndarray:
        image = picture(file)
        faces = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image)).face_landmarks
        if not faces:
            return np.full((68, 2), np.nan)
        side = np.array(image.shape[1::-1])
        return landmarks68_of(np.array([[(p.x, p.y) for p in faces[0]]]) * side)[0] * (256 / side.max())

    return lambda a, b: float(np.linalg.norm(points(a) - points(b), axis=1).mean())


def pyiqa_brisque() -> PairScore | None:
    """pyiqa's function with the authors' model from disk: by name it would ask its hub."""
    from emo_bench import assets
    from emo_bench.metrics.brisque import ASSET, read_libsvm

    found = assets.locate(ASSET)
    if found is None or importlib.util.find_spec("pyiqa") is None:
        return None
    from pyiqa.archs.brisque_arch import brisque

    model = read_libsvm(found.path)
    vectors = torch.from_numpy(model.vectors).float()
    coefficients = torch.from_numpy(model.coefficients).float()[:, None]
    how = {"sv_coef": coefficients, "sv": vectors, "gamma": model.gamma, "rho": model.rho}
    return lambda a, b: float(brisque(unit_tensor(a), **how))


LIBRARIES: dict[str, Callable[[], PairScore | None]] = {
    "psnr": skimage_psnr,
    "ssim": skimage_ssim,
    "ms_ssim": torchmetrics_ms_ssim,
    "st-lpips": package_stlpips,
    "flmd": mediapipe_landmarks,
    "brisque": pyiqa_brisque,
}

if __name__ == "__main__":
    main()
