"""Compare our scoring in one pass with separate libraries: ``python benchmarks/scoring.py --size 256 --pairs 500``.

Each library is used as in its documentation: it opens the two pictures of a pair and scores them, one pair after
another. Ours opens each picture once and scores all metrics in one pass. Both print their scores, which must agree. The
frames are the bundled actor 1 and the same frames blurred. CLIP is a ViT-B-32 with random weights, because weights do
not change the time. Needs: pip install torchmetrics IPython torchsummary (stlpips-pytorch imports the last two without
declaring them), and pyiqa for BRISQUE and NIQE.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

PairScore = Callable[[Path, Path], float]
# Definitions differ: torchmetrics' MS-SSIM pads the border; pyiqa's luminance is not rounded to 8 bits as the authors'
# is.
TOLERANCES = {
    "psnr": 1e-4,
    "ssim": 1e-4,
    "ms_ssim": 1e-3,
    "st-lpips": 1e-5,
    "flmd": 1e-3,
    "expression_error": 1e-5,
    "brisque": 1.0,
    "niqe": 0.5,
    "clip_d": 1e-3,
    "clip_consistency": 1e-4,
}
OPENED = contextlib.ExitStack()
CAPTIONS = ("a photo of a woman", "a bronze statue of a woman")


def main() -> None:
    """Print seconds, shares, speed-up and the largest difference of each metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--metrics", default=",".join(TOLERANCES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, OPENED:
        clip = write_clip(Path(folder, "clip"))
        asked = arguments.metrics.split(",")
        libraries = {name: made for name in asked if (made := LIBRARIES[name](clip)) is not None}
        metrics = list(libraries)
        for name in set(asked) - set(metrics):
            print(f"{name}: its library is not installed here, left out")
        frames, reference = write_pairs(Path(folder), arguments.pairs, arguments.size)
        theirs, seconds = by_libraries(frames, reference, libraries)
        ours, in_one_pass, alone = by_us(frames, reference, metrics, clip)
    print(f"\n{arguments.pairs} pairs at {arguments.size} px, {torch.get_num_threads()} threads")
    print(f"{'metric':16} {'library s':>10} {'ours s':>8} {'share':>6} {'ratio':>6} {'largest difference':>19}")
    for name in metrics:
        gap = float(np.nanmax(np.abs(ours[name] - theirs[name])))
        verdict = "" if gap <= TOLERANCES[name] else "  NOT EQUAL"
        share = alone[name] / sum(alone.values())
        ratio = seconds[name] / alone[name]
        print(f"{name:16} {seconds[name]:10.2f} {alone[name]:8.2f} {share:6.0%} {ratio:6.1f} {gap:19.2g}{verdict}")
    total = sum(seconds.values())
    print(
        f"{'all':16} {total:10.2f} {in_one_pass:8.2f} {'':6} {total / in_one_pass:6.1f}  (ours: one pass, decoding "
        f"included)"
    )


def write_pairs(folder: Path, count: int, size: int) -> tuple[Path, Path]:
    """Write PNG files of the actor (reference) and of the blurred actor (frames)."""
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
    """Return scores and seconds of each library, run one after another."""
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
    frames: Path, reference: Path, metrics: list[str], clip: Path
) -> tuple[dict[str, np.ndarray], float, dict[str, float]]:
    """Return scores, seconds of the one pass, and seconds of each metric alone on decoded frames."""
    from emo_bench.metrics import Batch, Captions, Settings
    from emo_bench.metrics.registry import metric_class
    from emo_bench.runs.frame_scoring import ScoreRequest, score_request

    settings = Settings(clip=str(clip), captions=Captions(*CAPTIONS))
    decoded = [
        np.stack([np.array(Image.open(file)) for file in sorted(folder.iterdir())]) for folder in (frames, reference)
    ]
    alone = {}
    for name in metrics:
        forget_landmarks()
        metric = metric_class(name).open(settings)
        metric.score_batch(Batch(decoded[0][:1], decoded[1][:1]))
        began = time.perf_counter()
        for start in range(0, len(decoded[0]), 16):
            metric.score_batch(Batch(*(part[start : start + 16] for part in decoded)))
        alone[name] = time.perf_counter() - began
    forget_landmarks()
    began = time.perf_counter()
    table = score_request(ScoreRequest(frames, reference, metrics=tuple(metrics), settings=settings))
    seconds = time.perf_counter() - began
    return {name: table[name].to_numpy() for name in metrics}, seconds, alone


def forget_landmarks() -> None:
    """Clear cached landmarks, so that the one pass must detect them itself."""
    from emo_bench.metrics import detectors

    detectors.open_detector.cache_clear()


def picture(file: Path) -> np.ndarray:
    return np.array(Image.open(file))


def unit_tensor(file: Path) -> torch.Tensor:
    return torch.from_numpy(picture(file)).permute(2, 0, 1)[None].float() / 255.0


def skimage_psnr(_: Path) -> PairScore:
    from skimage.metrics import peak_signal_noise_ratio

    return lambda a, b: float(peak_signal_noise_ratio(picture(b), picture(a), data_range=255))


def skimage_ssim(_: Path) -> PairScore:
    from skimage.metrics import structural_similarity

    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return lambda a, b: float(structural_similarity(picture(b), picture(a), channel_axis=2, **how))


def torchmetrics_ms_ssim(_: Path) -> PairScore | None:
    if importlib.util.find_spec("torchmetrics") is None:
        return None
    from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

    metric = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0)
    return lambda a, b: float(metric(unit_tensor(a), unit_tensor(b)))


def package_stlpips(_: Path) -> PairScore | None:
    if any(importlib.util.find_spec(name) is None for name in ("stlpips_pytorch", "IPython", "torchsummary")):
        return None
    from stlpips_pytorch import stlpips

    model = stlpips.LPIPS(net="alex", variant="shift_tolerant").eval()

    def score(a: Path, b: Path) -> float:
        with torch.no_grad():
            return float(model(unit_tensor(a) * 2 - 1, unit_tensor(b) * 2 - 1))

    return score


def mediapipe_faces(blendshapes: bool) -> Callable[[Path], Any] | None:
    from emo_bench import assets

    found = assets.locate("face-landmarker")
    if found is None:
        return None
    import mediapipe as mp
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    options = vision.FaceLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(found.path)), output_face_blendshapes=blendshapes
    )
    landmarker = vision.FaceLandmarker.create_from_options(options)
    OPENED.callback(landmarker.close)
    return lambda file: landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=picture(file)))


def mediapipe_landmarks(_: Path) -> PairScore | None:
    faces = mediapipe_faces(blendshapes=False)
    if faces is None:
        return None
    from emo_bench.tracking.landmarks import landmarks68_of

    def points(file: Path) -> np.ndarray:
        found = faces(file).face_landmarks
        if not found:
            return np.full((68, 2), np.nan)
        return landmarks68_of(np.array([[(p.x, p.y) for p in found[0]]]) * 256)[0]

    return lambda a, b: float(np.linalg.norm(points(a) - points(b), axis=1).mean())


def mediapipe_expressions(_: Path) -> PairScore | None:
    faces = mediapipe_faces(blendshapes=True)
    if faces is None:
        return None

    def coefficients(file: Path) -> np.ndarray:
        found = faces(file).face_blendshapes
        # The first one is "_neutral"; MediaPipe has no tongueOut, the 52nd of ARKit.
        return np.array([c.score for c in found[0][1:]]) if found else np.full(51, np.nan)

    return lambda a, b: float(np.abs(coefficients(a) - coefficients(b)).sum() / 52)


def pyiqa_niqe(_: Path) -> PairScore | None:
    """Return pyiqa's function with the authors' model from disk; by name pyiqa would download it from its hub."""
    from emo_bench import assets

    found = assets.locate("niqe-pristine")
    if found is None or importlib.util.find_spec("pyiqa") is None:
        return None
    from pyiqa.archs.niqe_arch import calculate_niqe

    with np.load(found.path) as arrays:
        mean = torch.from_numpy(arrays["mu_pris_param"].reshape(1, -1))
        covariance = torch.from_numpy(arrays["cov_pris_param"])[None]
    how = {"mu_pris_param": mean, "cov_pris_param": covariance}
    return lambda a, b: float(calculate_niqe(unit_tensor(a), **how))


def write_clip(folder: Path) -> Path:
    """Write a ViT-B-32 with random weights in open_clip's own format."""
    import json

    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir()
    model = open_clip.create_model("ViT-B-32", pretrained=None)
    size = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": size}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


class ClipByPairs:
    """open_clip as in its README, one picture at a time, with the preprocessing of instruct-pix2pix's metric."""

    def __init__(self, folder: Path) -> None:
        import open_clip

        self.model = open_clip.create_model(f"local-dir:{folder}").eval()
        self.tokenizer = open_clip.get_tokenizer("ViT-B-32")
        self.mean, self.deviation = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )
        self.before: torch.Tensor | None = None

    @torch.no_grad()
    def image(self, file: Path) -> torch.Tensor:
        squashed = functional.interpolate(unit_tensor(file), (224, 224), mode="bicubic")
        return functional.normalize(self.model.encode_image((squashed - self.mean) / self.deviation))

    @torch.no_grad()
    def text(self, caption: str) -> torch.Tensor:
        return functional.normalize(self.model.encode_text(self.tokenizer([caption])))

    def direction(self, a: Path, b: Path) -> float:
        wanted = self.text(CAPTIONS[1]) - self.text(CAPTIONS[0])
        return float(functional.cosine_similarity(self.image(a) - self.image(b), wanted))

    def consistency(self, a: Path, _: Path) -> float:
        now, before = self.image(a), self.before
        self.before = now
        return float("nan") if before is None else float(functional.cosine_similarity(before, now))


def clip_direction(folder: Path) -> PairScore:
    return ClipByPairs(folder).direction


def clip_consistency(folder: Path) -> PairScore:
    return ClipByPairs(folder).consistency


def pyiqa_brisque(_: Path) -> PairScore | None:
    """Return pyiqa's function with the authors' model from disk; by name pyiqa would download it from its hub."""
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


LIBRARIES: dict[str, Callable[[Path], PairScore | None]] = {
    "psnr": skimage_psnr,
    "ssim": skimage_ssim,
    "ms_ssim": torchmetrics_ms_ssim,
    "st-lpips": package_stlpips,
    "flmd": mediapipe_landmarks,
    "expression_error": mediapipe_expressions,
    "brisque": pyiqa_brisque,
    "niqe": pyiqa_niqe,
    "clip_d": clip_direction,
    "clip_consistency": clip_consistency,
}

if __name__ == "__main__":
    main()
