"""Any metric of pyiqa as ``pyiqa:NAME``, with pyiqa's own preparation of the frames."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.errors import UserError, unknown_name
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.metrics.pyiqa_door import INSTALL, Lacking, build, configurations, damage

Levels = NDArray[Any]
PREFIX = "pyiqa:"
# What `emo-bench metrics list` shows of pyiqa: those that need no weights, and those whose files are catalogued.
WITHOUT_WEIGHTS = (
    "cw_ssim", "entropy", "fsim", "gmsd", "mad", "ms_ssim", "nlpd", "piqe", "psnr", "psnry", "ssim", "ssimc", "vif",
    "vsi",
)  # fmt: skip
WITH_WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "brisque": ("pyiqa-brisque",),
    "clipiqa": ("clip-rn50",),
    "dists": ("lpips-vgg", "dists-heads"),
    "lpips": ("lpips-alex", "lpips-alex-heads"),
    "lpips-vgg": ("lpips-vgg", "lpips-vgg-heads"),
    "musiq": ("pyiqa-musiq",),
    "niqe": ("pyiqa-niqe",),
    "stlpips": ("stlpips-alex",),
    "stlpips-vgg": ("stlpips-vgg",),
    "topiq_fr": ("pyiqa-topiq-fr",),
    "topiq_nr": ("pyiqa-topiq-nr",),
}
UNITS = {"psnr": "dB", "psnry": "dB"}


class PyiqaMetric(Metric):
    """A metric of the package pyiqa; a subclass names it."""

    name: ClassVar[str]
    luminance: ClassVar[bool]

    @classmethod
    def missing(cls) -> str | None:
        if cls.name in WITHOUT_WEIGHTS:
            return None
        if cls.name in WITH_WEIGHTS:
            return assets.lacking(*WITH_WEIGHTS[cls.name]) or _damaged(*WITH_WEIGHTS[cls.name])
        return _missing(cls.name)

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        try:
            self._model, self._files = build(self.name, device)
        except Lacking as error:
            raise UserError(f"metric {self.info.id}: {error}") from error
        hashes = [file.sha256 for file in self._files]
        names = ", ".join(file.path.name for file in self._files) or "no weights"
        self.backend = Backend(backend_name(), _of_all(hashes), names)

    def conditions(self) -> Mapping[str, str]:
        return {"colours": "luminance Y of BT.601, by pyiqa" if self.luminance else "RGB"}

    def score_batch(self, batch: Batch) -> Scores:
        return self.score(batch.levels("frames"), batch.levels("reference") if self.info.needs_reference else None)

    def score(self, frames: Levels, reference: Levels | None) -> Scores:
        """Score each frame alone, as `pyiqa.create_metric(NAME)(frame, reference)` does; the batch changes nothing."""
        pairs = [(frame, None if reference is None else reference[i]) for i, frame in enumerate(frames)]
        return np.array([self._of_pair(frame, other) for frame, other in pairs], dtype=np.float64)

    def _of_pair(self, frame: Levels, reference: Levels | None) -> float:
        import torch

        sides = [frame] if reference is None else [frame, reference]
        planes = [self._planes(side) for side in sides]
        # Some metrics draw patches: the same ones for every frame.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                found: Any = self._model(*planes)
            except torch.OutOfMemoryError:
                raise
            except (AssertionError, IndexError, RuntimeError, ValueError):
                # Frames that are too small end in an error of torch.
                if min(frame.shape[:2]) < SMALL_PX:
                    return float("nan")
                raise
        return float(found[0] if isinstance(found, tuple) else found)

    def _planes(self, image: Levels) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1)[None].float() / 255.0


# Below this size some networks of pyiqa have no pixel left.
SMALL_PX = 224


def pyiqa_class(metric_id: str) -> type[PyiqaMetric]:
    """Return the metric of an id ``pyiqa:NAME``.

    Raises:
        UserError: pyiqa is not installed, or has no metric of that name.
    """
    known = configurations()
    if known is None:
        raise UserError(f"metric {metric_id} needs package pyiqa; run: {INSTALL}")
    name = metric_id.removeprefix(PREFIX)
    if name not in known:
        raise unknown_name("metric", metric_id, [f"{PREFIX}{one}" for one in known], see="pyiqa.list_models()")
    return _class(name)


def backend_name() -> str:
    """Return the name of the backend of all metrics of pyiqa."""
    return f"pyiqa-{version('pyiqa')}"


def listed_ids() -> tuple[str, ...]:
    """Return the ids that are shown in lists; none if pyiqa is not installed."""
    known = configurations() or {}
    return tuple(f"{PREFIX}{name}" for name in sorted((*WITHOUT_WEIGHTS, *WITH_WEIGHTS)) if name in known)


@functools.cache
def _class(name: str) -> type[PyiqaMetric]:
    known = configurations()
    assert known is not None
    of = known[name]
    luminance = bool(of["metric_opts"].get("test_y_channel", False))
    info = MetricInfo(
        f"{PREFIX}{name}",
        "1",
        f"{name} of pyiqa (roughly {of.get('score_range', 'any value')})",
        "lower" if of.get("lower_better") else "higher",
        UNITS.get(name, "1"),
        needs_reference=of.get("metric_mode") == "FR",
        value_range="[0, 1]",
        undefined=f"pyiqa gives no number for it, or the frame is smaller than {SMALL_PX} px and pyiqa refuses it",
    )
    return type(
        f"Pyiqa_{name}", (PyiqaMetric,), {"name": name, "luminance": luminance, "info": info, "__module__": __name__}
    )


def _damaged(*names: str) -> str | None:
    """Return which of some files is not what its name says, in one line; None if none is."""
    return next(filter(None, (damage(assets.require(name)) for name in names)), None)


_built: set[str] = set()


def _missing(name: str) -> str | None:
    """Return why the metric cannot be built here, by building it; what has been built once is not built again."""
    if name not in _built:
        try:
            build(name, "cpu")
        except Lacking as error:
            return str(error)
        _built.add(name)
    return None


def _of_all(hashes: list[str]) -> str | None:
    """Return the SHA-256 of one file, or of the list of several."""
    import hashlib

    if len(hashes) < 2:
        return hashes[0] if hashes else None
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()
