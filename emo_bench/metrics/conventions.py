"""Named conventions: score the same frames as other projects do, including the peculiarities of their code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from emo_bench.errors import UserError
from emo_bench.metrics.preparing import Background


class Compositing(StrEnum):
    """How the background is put behind the person.

    `BOTH_SIDES` cuts frames and reference by the reference's mask. The others change only the reference, because a
    rendering brings its own background.
    """

    BOTH_SIDES = "both sides by the reference's mask"
    HARD = "reference, hard mask"
    SOFT = "reference, soft mask"
    SOFT_DOWN = "reference, soft mask, rounded down"


FAN, CLIP_L, ARCFACE = "face-alignment-2dfan4", "clip-vit-l-14", "arcface-onnx"
# What is computed of identity, expression and head pose without weights of others.
WITHOUT_WEIGHTS = ("identity_distance_to_subject", "expression_error", "apd_mediapipe")
DECA = "which the evaluator declares without computing it, and DiffusionAvatars measures by DECA"


@dataclass(frozen=True)
class Convention:
    """How frames are prepared, and which metrics are computed.

    Attributes:
        name: the name for ``emo-bench score --convention``.
        source: the code or paper that it follows.
        quirks: facts that a reader must know, one sentence each.
        metrics: the metric ids.
        background: the background behind the person.
        compositing: which pictures get that background, and by which masks.
        size_px: the width to which both are resized, or None to keep their size.
        resize_filter: "area" or "bilinear" (OpenCV's).
        region: the part of the frame that is scored.
        reads_colours_alone: the alpha of frames and reference is not read; else transparent parts are put on black.
        backends: the backend of the source's code, by metric id; another backend is noted with the scores.
        stands_for: what the source's code computes where this toolkit scores something related, by metric id.
    """

    name: str
    source: str
    quirks: tuple[str, ...]
    metrics: tuple[str, ...]
    background: Background = "as filmed"
    compositing: Compositing = Compositing.BOTH_SIDES
    size_px: int | None = None
    resize_filter: Literal["area", "bilinear"] = "area"
    region: str = "full frame"
    reads_colours_alone: bool = False
    backends: Mapping[str, str] = field(default_factory=dict)
    stands_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_masks(self) -> bool:
        """Whether the convention uses the reference's masks."""
        return self.background != "as filmed" or self.region != "full frame"

    @property
    def changes_reference_only(self) -> bool:
        """Whether only the reference gets another background, and the frames stay as they were rendered."""
        return self.background != "as filmed" and self.compositing != Compositing.BOTH_SIDES

    @property
    def blends(self) -> bool:
        """Whether the reference is blended by the levels between black and white of its masks."""
        return self.changes_reference_only and self.compositing != Compositing.HARD

    @property
    def background_label(self) -> str:
        """The background as the records of the scores name it.

        With region "face" the masks are those of the face, so the background also covers the hair and the body.
        """
        if self.background == "as filmed":
            return self.background
        outside = " outside the face" if self.region == "face" else ""
        return f"{self.background}{outside}" + (f" ({self.compositing})" if self.changes_reference_only else "")


CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        "emo-bench",
        "this project",
        ("Everything at the protocol's size on the frames as filmed.",),
        ("psnr", "psnr_global", "ssim", "ms_ssim", "sd", "lpips", "lpips-vgg", "flmd", "flmd_iod", "face_lost"),
    ),
    Convention(
        "emo-avatar-paper",
        "Liu, Song et al. 2024, arXiv 2402.00827v1, Tables 1 and 2",
        (
            "The paper names neither detector nor LPIPS backbone nor resolution; 256 px for landmarks is our reading.",
            "Its BIQ is BRISQUE divided by 100; CLIP-D needs captions.",
        ),
        ("flmd", "psnr", "sd", "lpips", "biq", "clip_d", "clip_dv"),
    ),
    Convention(
        "pointavatar",
        "zhengyuf/PointAvatar code/utils/metrics.py, copied by MonoGaussianAvatar and SplattingAvatar",
        (
            "The reference is blended with white by its soft mask; the rendering stays as it is.",
            "Pictures that are not 512 px wide are squeezed to 512x512 px by OpenCV's bilinear filter, masks too.",
            "PSNR is 20 log10(1 / (RMSE + 1e-8)), which caps identical frames at 160 dB.",
            "Masked variants there still divide by all pixels; the default, scored here, uses no mask.",
        ),
        ("l1", "psnr-eps", "ssim", "lpips"),
        background="white",
        compositing=Compositing.SOFT,
        size_px=512,
        resize_filter="bilinear",
    ),
    Convention(
        "imavatar",
        "zhengyuf/IMavatar code/utils/calculate_metrics.py",
        (
            "Only the face counts: the convex hull of 68 tracked landmarks. Give --masks of the face.",
            "PSNR and L1 are divided by the area of the face; SSIM and LPIPS see both pictures black outside the face "
            "and average the whole frame.",
            "Pictures that are not 256 px wide are squeezed to 256x256 px by OpenCV's bilinear filter.",
            "PSNR is 20 log10(1 / (RMSE + 1e-8)).",
            "Its key-point error, to the landmarks of its own FLAME track, is not scored here.",
        ),
        ("l1", "psnr-eps", "ssim-whole", "lpips-whole"),
        background="black",
        size_px=256,
        resize_filter="bilinear",
        region="face",
    ),
    Convention(
        "3dgs",
        "graphdeco-inria/gaussian-splatting metrics.py and train.py",
        (
            "metrics.py gives its PSNR function a batch of one frame: the value is that of all channels (psnr). "
            "train.py gives it a frame without a batch: the value is the mean of the channels' PSNR (psnr-channels).",
            "SSIM pads the frame with black and averages its border too.",
            "LPIPS with VGG16 is fed [0, 1] instead of [-1, 1].",
            "Both pictures are scored as they are; of a transparent picture it reads the colours alone.",
        ),
        ("psnr", "psnr-channels", "ssim-padded", "lpips-vgg-01"),
        reads_colours_alone=True,
    ),
    Convention(
        "gaussianavatars-train",
        "ShenhanQian/GaussianAvatars train.py lines 255 to 304 (the paper's numbers, its issue 35)",
        (
            "The reference is blended with white by its soft alpha and rounded *down* to whole levels; the rendering "
            "stays as it is.",
            "PSNR is the mean of the three channels' PSNR. SSIM pads the frame with black and averages its border too.",
            "LPIPS with AlexNet is fed [0, 1] instead of [-1, 1] (its issue 100).",
            "There the rendering is not rounded to whole levels before it is scored.",
        ),
        ("l1", "psnr-channels", "ssim-padded", "lpips-01"),
        background="white",
        compositing=Compositing.SOFT_DOWN,
    ),
    Convention(
        "gaussianavatars-metrics",
        "ShenhanQian/GaussianAvatars metrics.py, which is that of gaussian-splatting",
        (
            "The reference is blended with white by its soft alpha and rounded *down* to whole levels; the rendering "
            "stays as it is. Both are PNG files.",
            "PSNR is that of all channels; SSIM pads the frame with black and averages its border too.",
            "LPIPS with VGG16 is fed [0, 1] instead of [-1, 1].",
        ),
        ("psnr", "ssim-padded", "lpips-vgg-01"),
        background="white",
        compositing=Compositing.SOFT_DOWN,
    ),
    Convention(
        "insta-pytorch",
        "Zielon/INSTA-pytorch insta/utils.py",
        (
            "The reference is blended with white by its soft alpha; the rendering stays as it is.",
            "PSNR is taken per batch and then averaged; with its evaluation's batch of one frame that is the mean "
            "of per-frame values, which is what is scored here.",
        ),
        ("psnr", "lpips"),
        background="white",
        compositing=Compositing.SOFT,
    ),
    Convention(
        "nha",
        "philgras/neural-head-avatars nha/evaluation",
        (
            "The reference is put on white by a hard mask (its segmentation without clothes); the rendering stays as "
            "it is.",
            "There is no SSIM: it reports MS-SSIM by the package pytorch-msssim.",
            "The box of the face is found in the reference and used for the rendering too; 68 landmarks in pixels of "
            "the frames' own size, mean, not centred; frames whose reference has no face are left out.",
            "Its L1 and L2 are on [-1, 1], so they are 2 and 4 times those on [0, 1]; L1 is scored on [0, 1] here. "
            "CPBD is not scored here.",
        ),
        ("l1", "psnr", "ms_ssim-channels", "flmd-one-box", "lpips"),
        background="white",
        compositing=Compositing.HARD,
        backends={"flmd-one-box": FAN},
    ),
    Convention(
        "rad-nerf-lmd",
        "ashawkey/RAD-NeRF LMDMeter and its copies",
        (
            "Each landmark set is centred on its own mean; mean distance in pixels of the frames' own size, so that "
            "the number grows with the resolution. The mouth is points 48 to 67, and the default of LMDMeter.",
            "main.py finds the landmarks with face-alignment; a note says if another detector is used here.",
            "Of several faces it takes the last one, here the largest one counts. It fails if there is no face; here "
            "such frames have no score.",
        ),
        ("lmd-native", "lmd-native-mouth"),
        backends={"lmd-native": FAN, "lmd-native-mouth": FAN},
    ),
    Convention(
        "visage",
        "the NeRSemble authors' package visage: PairedFaceImageEvaluator",
        (
            "PSNR, SSIM and MS-SSIM are those of torchmetrics on batches of 16 frames; SSIM reflects the frame at its "
            "edges and averages the border too.",
            "akd, csim, aed and apd are scored with this machine's detectors; notes say what stands for what.",
            "Frames whose reference is completely black or grey (level 128) are left out there; leave them out first.",
            "A video without a face has the csim and akd -1 there, and no score here.",
            "For tasks without a true frame it also has the cosine of mean embeddings of two sets of frames.",
        ),
        (
            "psnr-batch16",
            "ssim-reflect",
            "ms_ssim-reflect",
            "lpips",
            "flmd-native",
            "identity_similarity",
            "expression_error",
            "pose_error_deg",
        ),
        backends={"identity_similarity": ARCFACE},
        stands_for={
            "flmd-native": "akd, the mean distance of PIPNet's 98 landmarks in boxes of FaceBoxes",
            "identity_similarity": "csim, the cosine of insightface's embeddings of the first face that it finds",
            "expression_error": f"aed, {DECA}",
            "pose_error_deg": f"apd, {DECA}",
        },
    ),
    Convention(
        "gagavatar",
        "xg-chu/GAGAvatar issues 36 and 43, by its author; the same in LAM (its issues 11 and 43) and in FlexAvatar's "
        "scripts/compute_metrics.py",
        (
            "CSIM compares the frame with its true frame, and in cross-reenactment with the source picture "
            "(csim_to_subject, which takes 20 training frames in its place). Its ArcFace is MICA's.",
            "AED is the mean over 64 expression coefficients of Deep3DFaceRecon, APD that over three angles in "
            "radians, both L1. Its author shows torch's l1_loss, which is a mean, and remembers a sum.",
            "AKD is the mean distance of insightface's 68 landmarks in frames of 512 px, in FlexAvatar with their "
            "depth; insightface's five points also cut out the face for both networks.",
            "A pair without a face counts as 0 in all of these there; here it has no score.",
        ),
        ("csim", "csim_to_subject", "aed_deep3d", "apd_deep3d", "flmd-native", *WITHOUT_WEIGHTS),
        stands_for={
            "csim": "CSIM, the cosine with MICA's ArcFace",
            "csim_to_subject": "CSIM in cross-reenactment, the cosine with the source picture",
            "identity_distance_to_subject": "CSIM, if ArcFace is not here",
            "flmd-native": "AKD, the mean distance of insightface's 68 landmarks at 512 px",
            "expression_error": "AED, if the network of aed_deep3d is not here",
            "apd_mediapipe": "APD, if the network of apd_deep3d is not here",
        },
    ),
    Convention(
        "otavatar",
        "theEricMa/OTAvatar issues 11 and 27, by its author",
        (
            "CSIM is the cosine with the ArcFace of its identity loss; its source is one picture.",
            "AED is the mean L1 over 64 expression coefficients of Deep3DFaceRecon. Its APD takes rotation and "
            "translation together (issue 11); apd_deep3d takes the three angles alone, as its followers do.",
            "AKD is L1 over the coordinates of 68 landmarks of face-alignment.",
        ),
        ("csim", "csim_to_subject", "aed_deep3d", "apd_deep3d", "akd-l1", *WITHOUT_WEIGHTS),
        backends={"akd-l1": FAN},
        stands_for={
            "csim": "CSIM, the cosine with the ArcFace of OTAvatar's identity loss",
            "csim_to_subject": "CSIM in cross-reenactment, the cosine with the source picture",
            "apd_deep3d": "APD, which takes the translation too",
            "identity_distance_to_subject": "CSIM, if ArcFace is not here",
            "expression_error": "AED, if the network of aed_deep3d is not here",
            "apd_mediapipe": "APD, if the network of apd_deep3d is not here",
        },
    ),
    Convention(
        "pirenderer",
        "Ren et al. 2021, arXiv 2109.08379; RenYurui/PIRender has no code of its evaluation, only of the coefficients "
        "(scripts/face_recon_images.py)",
        (
            "AED and APD are mean distances of the expression and pose coefficients of Deep3DFaceRecon. L1 and the "
            "three angles are those of MrTornado24/Next3D cal_3dmm_distance.py, which follows the names; its "
            "evaluation.py takes a root of mean squares instead.",
            "In cross-identity reenactment the reference is the driver. It has no CSIM; the LPIPS is AlexNet's.",
        ),
        ("lpips", "aed_deep3d", "apd_deep3d", "expression_error", "apd_mediapipe"),
        stands_for={
            "expression_error": "AED, if the network of aed_deep3d is not here",
            "apd_mediapipe": "APD, if the network of apd_deep3d is not here",
        },
    ),
    Convention(
        "liveportrait",
        "Guo et al. 2024, arXiv 2407.03168, appendix; KwaiVGI/LivePortrait has no code of its evaluation, and its "
        "issue 448 is not answered",
        (
            "CSIM is a cosine with an ArcFace that is not named, in cross-reenactment with the source picture.",
            "AED and APD are mean L1 distances of SMIRK's parameters: expression, eyelids and jaw; head rotation.",
            "Its error of the gaze's angle needs another network and is not scored; gaze_correlation is another "
            "quantity.",
        ),
        ("csim", "csim_to_subject", "aed_smirk", "apd_smirk", *WITHOUT_WEIGHTS),
        stands_for={
            "csim": "CSIM, the cosine with an ArcFace that the paper does not name",
            "csim_to_subject": "CSIM in cross-reenactment, the cosine with the source picture",
            "identity_distance_to_subject": "CSIM, if ArcFace is not here",
            "expression_error": "AED, if SMIRK's weights are not here",
            "apd_mediapipe": "APD, if SMIRK's weights are not here",
        },
    ),
    Convention(
        "instruct-pix2pix",
        "timothybrooks/instruct-pix2pix metrics/clip_similarity.py",
        (
            "CLIP-D is its sim_direction, CLIP-I its sim_image, clip_text its sim_1, with CLIP ViT-L/14.",
            "The reference is the picture before the edit; both captions are needed.",
            "Frames that are not square are squeezed to CLIP's square input.",
            "An unedited frame has the direction 0 there; here it has no score.",
        ),
        ("clip_d", "clip_i", "clip_text"),
        backends={"clip_d": CLIP_L, "clip_i": CLIP_L, "clip_text": CLIP_L},
    ),
)


def find_convention(name: str) -> Convention:
    """Return the convention of that name; a UserError lists the known names."""
    for convention in CONVENTIONS:
        if convention.name == name:
            return convention
    raise UserError(f"unknown convention {name!r}; known: {', '.join(c.name for c in CONVENTIONS)}")
