"""A small trained method: its result depends on every step, its random numbers and its order."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from emo_bench.methods.interface import Method, MethodInfo

STEPS, CHECKPOINT_EVERY = 12, 4


class Steps(Method):
    """A running mean with noise; state, random state and step go to the checkpoint, as in a real training."""

    info = MethodInfo("steps", "Steps", "", "MIT", frozenset({"render", "edit"}), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        return ("smoke",)

    def fit(self, capture, train) -> None:  # type: ignore[no-untyped-def]
        rng = np.random.default_rng(self.workspace.seed)
        state, step = np.zeros((64, 64, 3)), 0
        file = self._checkpoint
        if file.is_file():
            saved = json.loads(file.read_text())
            state, step = np.array(saved["state"]), saved["step"]
            rng.bit_generator.state = saved["rng"]
        while step < STEPS:
            frame = next(capture.frames([train[int(rng.integers(len(train)))]]))
            state = 0.7 * state + 0.3 * frame + rng.normal(size=state.shape)
            step += 1
            self.at_step(step)
            if step % CHECKPOINT_EVERY == 0:
                saved = {"state": state.tolist(), "step": step, "rng": rng.bit_generator.state}
                part = file.with_suffix(".part")
                part.write_text(json.dumps(saved))
                os.replace(part, file)
        self._state = state

    def render(self, capture, indices):  # type: ignore[no-untyped-def]
        for position, index in enumerate(indices):
            self.at_frame(position)
            shifted = np.roll(self._state, int(30 * capture.track.head_pose[index, 0, 2]), axis=1)
            # The global generator on purpose: a stage must start from the same state whatever came before it.
            yield np.clip(shifted + np.random.normal(size=shifted.shape), 0, 255).astype(np.uint8)

    def edit(self, style, workspace):  # type: ignore[no-untyped-def]
        return type(self)(workspace)

    def load(self) -> None:
        self._state = np.array(json.loads(self._checkpoint.read_text())["state"])

    def at_step(self, step: int) -> None:
        """A place to be killed at."""

    def at_frame(self, position: int) -> None:
        """A place to be killed at."""

    @property
    def _checkpoint(self) -> Path:
        return self.workspace.folder / "checkpoint.json"
