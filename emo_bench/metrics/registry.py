"""The known metrics: built-in ones, installed plug-ins, and metrics in a Python file."""

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import get_args

from emo_bench.errors import UserError, shortened
from emo_bench.metrics.batch import Settings
from emo_bench.metrics.metric import Backend, CaptionName, Direction, Metric, MetricInfo
from emo_bench.metrics.watched import missing_for, open_metric
from emo_bench.plug_ins.loading import Kind, file_and_class, load_class

ENTRY_POINT_GROUP = "emo_bench.metrics"
# The rule for ids: an id names columns of tables and files, is a member of lists with commas, and may be matched by
# globs.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
ID_RULE = "use letters, digits, dash, underscore and dot, at most 60 characters"
# Metrics of the package pyiqa, by its own names.
PYIQA = "pyiqa:"
_BUILT_IN = {
    "psnr": "emo_bench.metrics.pixels:PSNR",
    "ssim": "emo_bench.metrics.structural:SSIM",
    "sd": "emo_bench.metrics.sharpness:SharpnessDifference",
    "psnr_global": "emo_bench.metrics.pixels:PSNRGlobal",
    "l1": "emo_bench.metrics.pixels:L1",
    "ms_ssim": "emo_bench.metrics.structural:MultiScaleSSIM",
    "sd_db": "emo_bench.metrics.sharpness:SharpnessDifferenceDecibels",
    "sd_global": "emo_bench.metrics.sharpness:GlobalSharpnessDifference",
    "lpips": "emo_bench.metrics.perceptual:LPIPS",
    "lpips-vgg": "emo_bench.metrics.perceptual:LPIPSVGG",
    "st-lpips": "emo_bench.metrics.perceptual:STLPIPS",
    "st-lpips-vgg": "emo_bench.metrics.perceptual:STLPIPSVGG",
    "dists": "emo_bench.metrics.perceptual:DISTS",
    "flmd": "emo_bench.metrics.flmd:FLMD",
    "flmd_centred": "emo_bench.metrics.flmd:CentredFLMD",
    "flmd_iod": "emo_bench.metrics.flmd:InterOcularFLMD",
    "lmd_lips": "emo_bench.metrics.flmd:LipsLMD",
    "lmd_atvg": "emo_bench.metrics.flmd:SummedLipsLMD",
    "expression_error": "emo_bench.metrics.retracking:ExpressionError",
    "pose_error_deg": "emo_bench.metrics.retracking:PoseError",
    "flmd_aligned": "emo_bench.metrics.flmd:AlignedFLMD",
    "pose_change_error_deg": "emo_bench.metrics.following:PoseChangeError",
    "mouth_correlation": "emo_bench.metrics.following:MouthCorrelation",
    "gaze_correlation": "emo_bench.metrics.following:GazeCorrelation",
    "face_lost": "emo_bench.metrics.face_lost:FaceLost",
    "identity_similarity": "emo_bench.metrics.identity:IdentitySimilarity",
    "identity_to_subject": "emo_bench.metrics.subject_identity:SubjectIdentity",
    "csim": "emo_bench.metrics.identity:CSIM",
    "csim_to_subject": "emo_bench.metrics.subject_identity:SubjectCSIM",
    "identity_distance": "emo_bench.metrics.identity:IdentityDistance",
    "identity_distance_to_subject": "emo_bench.metrics.subject_identity:SubjectDistance",
    "aed_deep3d": "emo_bench.metrics.deep3d:Deep3DExpression",
    "apd_deep3d": "emo_bench.metrics.deep3d:Deep3DPose",
    "aed_smirk": "emo_bench.metrics.smirk:SmirkExpression",
    "apd_smirk": "emo_bench.metrics.smirk:SmirkPose",
    "apd_mediapipe": "emo_bench.metrics.retracking:HeadAngles",
    "brisque": "emo_bench.metrics.brisque:BRISQUE",
    "biq": "emo_bench.metrics.brisque:BIQ",
    "niqe": "emo_bench.metrics.niqe:NIQE",
    "clip_d": "emo_bench.metrics.clip:ClipDirection",
    "clip_i": "emo_bench.metrics.clip:ClipImage",
    "clip_dv": "emo_bench.metrics.clip:ClipDirectionOverTime",
    "clip_dv_in2n": "emo_bench.metrics.clip:ClipDirectionOverTimeIN2N",
    "clip_consistency": "emo_bench.metrics.clip:ClipConsistency",
    "clip_text": "emo_bench.metrics.clip:ClipText",
    "clip_d-judge": "emo_bench.metrics.judged:JudgedDirection",
    "clip_dv-judge": "emo_bench.metrics.judged:JudgedDirectionOverTime",
    "warping_error": "emo_bench.metrics.flow:WarpingError",
    "warping_error_own": "emo_bench.metrics.flow:OwnWarpingError",
    "flicker": "emo_bench.metrics.flow:Flicker",
    "ms_ssim-mouth": "emo_bench.metrics.crops:MouthMSSSIM",
    "ms_ssim-eyes": "emo_bench.metrics.crops:EyesMSSSIM",
    "lpips-mouth": "emo_bench.metrics.crops:MouthLPIPS",
    "lpips-eyes": "emo_bench.metrics.crops:EyesLPIPS",
    "st-lpips-mouth": "emo_bench.metrics.crops:MouthSTLPIPS",
    "st-lpips-eyes": "emo_bench.metrics.crops:EyesSTLPIPS",
    "jod": "emo_bench.metrics.jod:JOD",
    "psnr-eps": "emo_bench.metrics.quirks:PSNRWithEpsilon",
    "psnr-channels": "emo_bench.metrics.quirks:ChannelPSNR",
    "psnr-batch16": "emo_bench.metrics.quirks:BatchPSNR",
    "ssim-whole": "emo_bench.metrics.borders:WholeFrameSSIM",
    "ssim-padded": "emo_bench.metrics.borders:PaddedSSIM",
    "ssim-reflect": "emo_bench.metrics.borders:ReflectedSSIM",
    "ms_ssim-reflect": "emo_bench.metrics.borders:ReflectedMSSSIM",
    "ms_ssim-channels": "emo_bench.metrics.borders:ChannelMSSSIM",
    "lpips-whole": "emo_bench.metrics.quirks:WholeFrameLPIPS",
    "lpips-01": "emo_bench.metrics.quirks:LPIPSFedUnitRange",
    "lpips-vgg-01": "emo_bench.metrics.quirks:LPIPSVGGFedUnitRange",
    "flmd-native": "emo_bench.metrics.quirks:NativeFLMD",
    "flmd-one-box": "emo_bench.metrics.quirks:OneBoxFLMD",
    "akd-l1": "emo_bench.metrics.quirks:CoordinateDistance",
    "lmd-native": "emo_bench.metrics.quirks:NativeLMD",
    "lmd-native-mouth": "emo_bench.metrics.quirks:NativeMouthLMD",
}
_KIND = Kind(
    "metric", ENTRY_POINT_GROUP, Metric, "emo_bench.metrics.Metric", _BUILT_IN, ", pyiqa:NAME, or path/to/file.py:Class"
)
# Classes of metrics from files that this process has loaded, by id; for each id the class that was loaded last.
_from_files: dict[str, type[Metric]] = {}


@dataclass(frozen=True)
class MetricState:
    """A metric, and whether it can run here.

    Attributes:
        id: the id that names it.
        info: its description of itself; None for a plug-in that cannot be loaded.
        missing: why it cannot run here and how to fix that, in one line; None if it can run.
        backend: what would compute it; None if it cannot run, or if the backend was not requested.
    """

    id: str
    info: MetricInfo | None
    missing: str | None
    backend: Backend | None = None


def list_metrics(with_backends: bool = False) -> list[MetricState]:
    """Return every known metric in a fixed order: built-in first, then plug-ins by name.

    A plug-in that fails is in the list, with the reason.

    Args:
        with_backends: also open each metric that can run here, to find its backend; this takes some seconds.
    """
    return [_state(name, with_backends) for name in _KIND.places()]


def list_pyiqa() -> list[MetricState]:
    """Return the metrics of pyiqa that need no weights, or whose weights are catalogued; none without the package.

    The package is not imported.
    """
    from emo_bench.metrics.pyiqa_metric import backend_name, listed_ids

    states = [_state(name, False) for name in listed_ids()]
    return [replace(s, backend=None if s.missing else Backend(backend_name())) for s in states]


def known_ids() -> tuple[str, ...]:
    """Return the ids of the built-in and of the installed metrics; nothing is imported."""
    return tuple(_KIND.places())


def metric_class(name: str) -> type[Metric]:
    """Return the class of a metric by its id, by ``pyiqa:NAME``, or by ``path/to/file.py:Class``.

    Raises:
        UserError: there is no such metric, it cannot be imported, or its class lacks something.
    """
    if name.startswith(PYIQA):
        from emo_bench.metrics.pyiqa_metric import pyiqa_class

        return pyiqa_class(name)
    in_file = file_and_class(name)
    if in_file is None:
        found = _installed(name, _BUILT_IN.get(name) or _KIND.places().get(name, ""))
        _from_files.pop(found.info.id, None)
        return found
    path = in_file[0]
    if not path.is_file():
        raise UserError(f"{path} is not a file; name a metric as path/to/file.py:Class")
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    found = _in_file(str(path.resolve()), name, sha256)
    _from_files[found.info.id] = found
    return found


def scored_class(metric_id: str) -> type[Metric]:
    """Return the class of a metric that this process has scored with, by its id, also if the class is in a file.

    The id may come from a run of anybody, so a name of a file is refused and nothing in it is executed.

    Raises:
        UserError: there is no such metric.
    """
    if file_and_class(metric_id) is not None:
        raise UserError(f"{shortened(repr(metric_id))} is a file and not the id of a metric")
    return _from_files.get(metric_id) or metric_class(metric_id)


def may_use_clip(name: str) -> bool:
    """Whether the scores of a metric may depend on the CLIP model: true of the CLIP metrics and of every plug-in."""
    return name.startswith("clip_") or not (name in _BUILT_IN or name.startswith(PYIQA))


def require_distinct(classes: Iterable[type[Metric]]) -> None:
    """Raise a UserError if two metrics of one table have the same id."""
    by_id: dict[str, type[Metric]] = {}
    for cls in classes:
        other = by_id.setdefault(cls.info.id, cls)
        if other is not cls:
            raise UserError(f"two metrics have the id {cls.info.id!r}: score with one of them, or give one another id")


def _state(name: str, with_backends: bool) -> MetricState:
    """Return the state of one metric; if a plug-in is wrong, ``missing`` says why."""
    info = None
    try:
        cls = metric_class(name)
        info = cls.info
        missing = missing_for(cls, None, show_traceback=False)
        opened = open_metric(cls, Settings(), show_traceback=False) if with_backends and missing is None else None
    except UserError as error:
        if name in _BUILT_IN:
            raise
        return MetricState(name, info, f"broken: {error}")
    return MetricState(name, info, missing, opened.backend if opened else None)


@functools.cache
def _installed(name: str, place: str) -> type[Metric]:
    """Return a built-in or installed metric; ``place`` tells two packages with the same metric id apart."""
    found = _checked(load_class(name, _KIND), name)
    if found.info.id != name:
        raise UserError(f"metric {name}: {place} calls itself {found.info.id!r}")
    return found


@functools.lru_cache(maxsize=64)
def _in_file(path: str, name: str, sha256: str) -> type[Metric]:
    """Load the metric of a file in its present state; a changed file is executed again."""
    found = _checked(load_class(name, _KIND), name)
    if found.info.id in _BUILT_IN:
        raise UserError(f"{name}: {found.info.id!r} is the id of a metric of emo-bench: give yours another info.id")
    # The class may be imported from another file: the record names the file that the user gave.
    return type(found.__name__, (found,), {"file_sha256": sha256, "__module__": found.__module__})


def _checked(cls: type[Metric], name: str) -> type[Metric]:
    """Return the class after checking that it has all that a metric needs before it is opened."""
    who = f"metric {name}: {cls.__name__}"
    if cls.score is Metric.score and cls.score_batch is Metric.score_batch:
        raise UserError(f"{who} lacks score")
    info = getattr(cls, "info", None)
    if not isinstance(info, MetricInfo):
        raise UserError(f"{who}.info is not an emo_bench.metrics.MetricInfo")
    wrong = _wrong_field(info)
    if wrong:
        raise UserError(f"{who}.info.{wrong}")
    if not isinstance(cls.divisible, bool):
        raise UserError(f"{who}.divisible is {cls.divisible!r}; it must be True or False")
    return cls


def _wrong_field(info: MetricInfo) -> str:
    """Say what is wrong with the first wrong field of a metric's info; ``""`` if all fields are right."""
    if not isinstance(info.id, str) or not ID.fullmatch(info.id):
        return f"id is {shortened(repr(info.id))}: {ID_RULE}"
    directions = get_args(Direction)
    rules: dict[str, tuple[bool, str]] = {
        **{
            name: (isinstance(getattr(info, name), bool), "True or False")
            for name in ("needs_reference", "takes_region", "optional_reference")
        },
        **{name: (_is_line(getattr(info, name), empty=True), "one line of text") for name in ("needs", "undefined")},
        **{
            name: (_is_line(getattr(info, name)), "one line of text, not empty")
            for name in ("version", "title", "unit", "value_range", "averaging")
        },
        "direction": (info.direction in directions, " or ".join(map(repr, directions))),
        "fallback": (info.fallback is None or info.fallback in known_ids(), "the id of another metric, or None"),
        "captions": (
            isinstance(info.captions, tuple) and set(info.captions) <= set(get_args(CaptionName)),
            "a tuple of " + " and ".join(map(repr, get_args(CaptionName))),
        ),
        "least_px": (type(info.least_px) is int and info.least_px >= 1, "a whole number of 1 or more"),
    }
    for name, (right, wanted) in rules.items():
        if not right:
            return f"{name} is {shortened(repr(getattr(info, name)))}; it must be {wanted}"
    return ""


def _is_line(value: object, *, empty: bool = False) -> bool:
    return isinstance(value, str) and (empty or bool(value.strip())) and value.isprintable() and len(value) <= 2000
