"""The parts of a trained method besides its network: settings, frames, resumable loop, averages, schedules, files.

All names below are public. docs/tutorial.md builds a method of 60 lines with them.

=====================  ===============================================================================================
settings               :func:`resolve_settings` applies a profile and ``--set`` to :class:`MethodSettings`
frames                 :class:`TrainingFrames`, :func:`evenly_spaced`, :func:`to_unit_range`, :func:`to_frames_u8`
loop                   :func:`train` takes a step function; :func:`run_fit` takes a :class:`Resumable` object;
                       :func:`run_training` is for a fit of several trainings
limit on its time      :func:`time_limit_of` gives it to :func:`run_training`; the others ask for it themselves
learning rate          :func:`cosine_share`, :func:`warm_up_share`, :func:`halved_share`, :func:`set_rates`
average of weights     :class:`WeightAverage`, :func:`half_life_decay`, :func:`warmed_decay`
divergence             :func:`require_finite`
base class             :class:`TrainedMethod`: settings, profiles, saving and loading of one network
the fitted avatar      :data:`CHECKPOINT`, :func:`save_checkpoint`, :func:`load_checkpoint`, :func:`restoring`
states and losses      :func:`save_state`, :func:`load_state`, :class:`LossLog`
several stages         :class:`StageClock`, :func:`read_seconds`; :func:`take_stage`, :func:`keep_stage`
=====================  ===============================================================================================
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from emo_bench.methods.settings import MethodSettings
    from emo_bench.methods.training.finite import require_finite
    from emo_bench.methods.training.fitted import CHECKPOINT, load_checkpoint, restoring, save_checkpoint, save_tensors
    from emo_bench.methods.training.frames import TrainingFrames, evenly_spaced, to_frames_u8, to_unit_range
    from emo_bench.methods.training.learning_rate import cosine_share, halved_share, set_rates, warm_up_share
    from emo_bench.methods.training.loop import (
        Resumable,
        Stateful,
        Steps,
        Training,
        run_fit,
        run_steps,
        run_training,
        train,
    )
    from emo_bench.methods.training.loss_log import LossLog
    from emo_bench.methods.training.settings import resolve_settings
    from emo_bench.methods.training.stage_cache import keep_stage, stages_taken, take_stage
    from emo_bench.methods.training.stage_clock import StageClock, read_seconds
    from emo_bench.methods.training.state_file import load_state, save_state
    from emo_bench.methods.training.time_limit import TimeLimit, time_limit_of
    from emo_bench.methods.training.trained_method import TrainedMethod
    from emo_bench.methods.training.weight_average import WeightAverage, half_life_decay, warmed_decay

_NAMES = {
    "finite": ["require_finite"],
    "fitted": ["CHECKPOINT", "load_checkpoint", "restoring", "save_checkpoint", "save_tensors"],
    "frames": ["TrainingFrames", "evenly_spaced", "to_frames_u8", "to_unit_range"],
    "learning_rate": ["cosine_share", "halved_share", "set_rates", "warm_up_share"],
    "loop": ["Resumable", "Stateful", "Steps", "Training", "run_fit", "run_steps", "run_training", "train"],
    "loss_log": ["LossLog"],
    "settings": ["MethodSettings", "resolve_settings"],
    "stage_cache": ["keep_stage", "stages_taken", "take_stage"],
    "stage_clock": ["StageClock", "read_seconds"],
    "state_file": ["load_state", "save_state"],
    "time_limit": ["TimeLimit", "time_limit_of"],
    "trained_method": ["TrainedMethod"],
    "weight_average": ["WeightAverage", "half_life_decay", "warmed_decay"],
}

__all__ = [
    "CHECKPOINT",
    "LossLog",
    "MethodSettings",
    "Resumable",
    "StageClock",
    "Stateful",
    "Steps",
    "TimeLimit",
    "TrainedMethod",
    "Training",
    "TrainingFrames",
    "WeightAverage",
    "cosine_share",
    "evenly_spaced",
    "half_life_decay",
    "halved_share",
    "keep_stage",
    "load_checkpoint",
    "load_state",
    "read_seconds",
    "require_finite",
    "resolve_settings",
    "restoring",
    "run_fit",
    "run_steps",
    "run_training",
    "save_checkpoint",
    "save_state",
    "save_tensors",
    "set_rates",
    "stages_taken",
    "take_stage",
    "time_limit_of",
    "to_frames_u8",
    "to_unit_range",
    "train",
    "warm_up_share",
    "warmed_decay",
]

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs=_NAMES)
