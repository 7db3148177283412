"""Compare our scoring in one pass with separate libraries: ``python benchmarks/scoring.py --size 256 --pairs 500``.

Each library is used as in its documentation, one pair of pictures after another. Both sides get the same decoded
pictures, and captions are embedded before the clock starts. The sides take turns, 16 pairs each, so that other work on
the machine slows both. Both print their scores, which must agree. The last line compares all libraries, one after
another on pictures that are decoded once, with our one pass over the files, which decodes them too. The frames are the
bundled actor 1 and the same frames blurred. CLIP is a ViT-B-32 with random weights, because weights do not change the
time. Needs: pip install torchmetrics IPython torchsummary (stlpips-pytorch imports the last two without declaring
them), and pyiqa for BRISQUE and NIQE.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

Picture = np.ndarray  # uint8 [H, W, 3]
PairScore = Callable[[Picture, Picture], float]
TURN = 16
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
        pairs, decoding = decoded(frames, reference)
        races = {name: race(name, library, pairs, clip) for name, library in libraries.items()}
        in_one_pass = one_pass(frames, reference, metrics, clip)
    print(f"\n{arguments.pairs} pairs at {arguments.size} px, {torch.get_num_threads()} threads")
    print(f"{'metric':16} {'library s':>10} {'ours s':>8} {'share':>6} {'ratio':>6} {'largest difference':>19}")
    alone = sum(found.ours_s for found in races.values())
    for name, found in races.items():
        verdict = "" if found.gap <= TOLERANCES[name] else "  NOT EQUAL"
        print(
            f"{name:16} {found.library_s:10.2f} {found.ours_s:8.2f} {found.ours_s / alone:6.0%} "
            f"{found.library_s / found.ours_s:6.1f} {found.gap:19.2g}{verdict}"
        )
    total = sum(found.library_s for found in races.values()) + decoding
    print(
        f"{'all':16} {total:10.2f} {in_one_pass:8.2f} {'':6} {total / in_one_pass:6.1f}  (both with decoding, which "
        f"takes {decoding:.2f} s; ours in one pass)"
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


@dataclass(frozen=True)
class Race:
    """Seconds of both sides for all pairs, and the largest difference of their scores."""

    library_s: float
    ours_s: float
    gap: float


def decoded(frames: Path, reference: Path) -> tuple[tuple[Picture, Picture], float]:
    """Return both series as ``[N, H, W, 3]``, and the seconds that decoding takes."""
    began = time.perf_counter()
    first, second = (
        np.stack([np.array(Image.open(file)) for file in sorted(folder.iterdir())]) for folder in (frames, reference)
    )
    return (first, second), time.perf_counter() - began


def race(name: str, library: PairScore, pairs: tuple[Picture, Picture], clip: Path) -> Race:
    """Time a library and our metric of that name on decoded pairs; the sides take turns."""
    from emo_bench.metrics import Batch
    from emo_bench.metrics.registry import metric_class

    forget_landmarks()
    metric = metric_class(name).open(our_settings(clip))
    metric.score_batch(Batch(pairs[0][:1], pairs[1][:1]))
    library(pairs[0][0], pairs[1][0])
    theirs: list[float] = []
    ours: list[np.ndarray] = []
    seconds = {"library": 0.0, "ours": 0.0}
    for start in range(0, len(pairs[0]), TURN):
        frames, reference = (part[start : start + TURN] for part in pairs)
        began = time.perf_counter()
        theirs += [library(mine, truth) for mine, truth in zip(frames, reference, strict=True)]
        between = time.perf_counter()
        ours.append(np.asarray(metric.score_batch(Batch(frames, reference))))
        seconds["library"] += between - began
        seconds["ours"] += time.perf_counter() - between
    gap = float(np.nanmax(np.abs(np.concatenate(ours) - np.array(theirs))))
    print(f"{name}: library {seconds['library']:.1f} s, ours {seconds['ours']:.1f} s", flush=True)
    return Race(seconds["library"], seconds["ours"], gap)


def one_pass(frames: Path, reference: Path, metrics: list[str], clip: Path) -> float:
    """Return the seconds of our one pass over the files."""
    from emo_bench.runs.frame_scoring import ScoreRequest, score_request

    forget_landmarks()
    began = time.perf_counter()
    score_request(ScoreRequest(frames, reference, metrics=tuple(metrics), settings=our_settings(clip)))
    return time.perf_counter() - began


def our_settings(clip: Path) -> Any:
    from emo_bench.metrics import Captions, Settings

    return Settings(clip=str(clip), captions=Captions(*CAPTIONS))


def forget_landmarks() -> None:
    """Clear cached landmarks, so that the one pass must detect them itself."""
    from emo_bench.metrics import detectors

    detectors.open_detector.cache_clear()


def unit_tensor(picture: Picture) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0


def skimage_psnr(_: Path) -> PairScore:
    from skimage.metrics import peak_signal_noise_ratio

    return lambda a, b: float(peak_signal_noise_ratio(b, a, data_range=255))


def skimage_ssim(_: Path) -> PairScore:
    from skimage.metrics import structural_similarity

    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return lambda a, b: float(structural_similarity(b, a, channel_axis=2, **how))


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

    def score(a: Picture, b: Picture) -> float:
        with torch.no_grad():
            return float(model(unit_tensor(a) * 2 - 1, unit_tensor(b) * 2 - 1))

    return score


def mediapipe_faces(blendshapes: bool) -> Callable[[Picture], Any] | None:
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
    return lambda picture: landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=picture))


def mediapipe_landmarks(_: Path) -> PairScore | None:
    faces = mediapipe_faces(blendshapes=False)
    if faces is None:
        return None
    from emo_bench.tracking.landmarks import landmarks68_of

    def points(picture: Picture) -> np.ndarray:
        found = faces(picture).face_landmarks
        if not found:
            return np.full((68, 2), np.nan)
        return landmarks68_of(np.array([[(p.x, p.y) for p in found[0]]]) * 256)[0]

    return lambda a, b: float(np.linalg.norm(points(a) - points(b), axis=1).mean())


def mediapipe_expressions(_: Path) -> PairScore | None:
    faces = mediapipe_faces(blendshapes=True)
    if faces is None:
        return None

    def coefficients(picture: Picture) -> np.ndarray:
        found = faces(picture).face_blendshapes
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
        before, after = (self.text(caption) for caption in CAPTIONS)
        self.wanted = after - before
        self.before: torch.Tensor | None = None

    @torch.no_grad()
    def image(self, picture: Picture) -> torch.Tensor:
        squashed = functional.interpolate(unit_tensor(picture), (224, 224), mode="bicubic")
        return functional.normalize(self.model.encode_image((squashed - self.mean) / self.deviation))

    @torch.no_grad()
    def text(self, caption: str) -> torch.Tensor:
        return functional.normalize(self.model.encode_text(self.tokenizer([caption])))

    def direction(self, a: Picture, b: Picture) -> float:
        return float(functional.cosine_similarity(self.image(a) - self.image(b), self.wanted))

    def consistency(self, a: Picture, _: Picture) -> float:
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
