"""The motion of a talking person: syllables, blinks, gaze, brows and head turns, smooth and deterministic by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emo_bench.tracking.head_rig import EXPRESSIONS
from factory.studio.scene import Pose

NECK_SHARE = 0.45
# Mouth shapes of one syllable; the last shape closes the lips.
VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.55, "mouthLowerDown": 0.35, "mouthUpperUp": 0.25},
    {"jawOpen": 0.32, "mouthStretch": 0.35, "mouthSmile": 0.25, "mouthUpperUp": 0.3, "mouthLowerDown": 0.3},
    {"jawOpen": 0.22, "mouthFunnel": 0.65},
    {"jawOpen": 0.12, "mouthPucker": 0.75},
    {"jawOpen": 0.16, "mouthLowerDown": 0.45, "mouthUpperUp": 0.35, "mouthSmile": 0.15},
    {"jawOpen": 0.4, "mouthShrugUpper": 0.2, "mouthLowerDown": 0.2},
    {"mouthPress": 0.3, "mouthRollLower": 0.15},
)
PAIRED = ("mouthLowerDown", "mouthUpperUp", "mouthStretch", "mouthSmile", "mouthPress", "mouthFrown")


@dataclass(frozen=True)
class Motion:
    """Motion of T frames: expression ``[T, 52]``; rotation vectors, translation ``[T, 3]`` as in :mod:`head_rig`."""

    expression: np.ndarray
    body_rotvec: np.ndarray
    body_translation: np.ndarray
    neck_rotvec: np.ndarray
    head_rotvec: np.ndarray

    def pose(self, index: int) -> Pose:
        """Return the pose of one frame."""
        return Pose(
            self.expression[index],
            self.body_rotvec[index],
            self.body_translation[index],
            self.neck_rotvec[index],
            self.head_rotvec[index],
        )


def talking_motion(
    frames: int, fps: float, seed: int, home_m: tuple[float, float, float] = (0.0, 0.06, 1.25)
) -> Motion:
    """Compose the motion of a person who talks to a camera.

    The head covers at least +-30 degrees of yaw and +-15 of pitch, in every third of the video.

    Args:
        frames: number of frames T.
        fps: frames per second.
        seed: seed of all random choices.
        home_m: the neck joint's resting position in camera space.
    """
    rng = np.random.default_rng(seed)
    seconds = np.arange(frames) / fps
    expression = np.zeros((frames, len(EXPRESSIONS)))
    _speak(expression, seconds, rng)
    _blink(expression, seconds, rng)
    _move_brows(expression, seconds, rng)
    yaw, pitch, roll = _head_angles_deg(seconds, rng)
    _look(expression, seconds, yaw, pitch, rng)
    drift = np.stack([_wander(seconds, 7.0, rng) for _ in range(3)], axis=1)
    lean = np.deg2rad(np.stack((0.06 * pitch, 0.12 * yaw, 0.15 * roll), axis=1)) * np.array([-1.0, -1.0, 1.0])
    breath = 0.0012 * np.sin(2 * np.pi * seconds / 3.9)
    head = np.deg2rad(np.stack((-pitch, -yaw, roll), axis=1)) - lean
    translation = np.array(home_m) + drift * np.array([0.012, 0.004, 0.01])
    translation[:, 0] += 0.02 * yaw / 30.0
    translation[:, 1] += breath
    return Motion(
        np.clip(expression, 0.0, 1.0).astype(np.float32),
        lean.astype(np.float32),
        translation.astype(np.float32),
        (NECK_SHARE * head).astype(np.float32),
        ((1.0 - NECK_SHARE) * head).astype(np.float32),
    )


def add_action(expression: np.ndarray, name: str, values: np.ndarray | float) -> None:
    """Add to an action, or to both sides of a paired one, in place."""
    names = (f"{name}Left", f"{name}Right") if name in PAIRED else (name,)
    for one in names:
        expression[..., EXPRESSIONS.index(one)] += values


def _speak(expression: np.ndarray, seconds: np.ndarray, rng: np.random.Generator) -> None:
    time = 0.4
    while time < seconds[-1]:
        for _ in range(int(rng.integers(4, 12))):
            length = rng.uniform(0.18, 0.34)
            shape = VISEMES[int(rng.choice(len(VISEMES), p=(0.2, 0.18, 0.14, 0.1, 0.15, 0.1, 0.13)))]
            weight = rng.uniform(0.6, 1.15) * _bump(seconds, time + length / 2, length * 0.62)
            for name, value in shape.items():
                add_action(expression, name, value * weight)
            time += length * rng.uniform(0.8, 1.0)
        pause = rng.uniform(0.35, 1.3)
        mood = _bump(seconds, time + pause / 2, pause * 0.9)
        name = str(rng.choice(("mouthSmile", "mouthSmile", "mouthPress", "mouthFrown")))
        add_action(expression, name, rng.uniform(0.15, 0.6) * mood)
        time += pause
    add_action(expression, "mouthSmile", 0.12 * (0.5 + 0.5 * _wander(seconds, 6.0, rng)))


def _blink(expression: np.ndarray, seconds: np.ndarray, rng: np.random.Generator) -> None:
    time = rng.uniform(0.5, 2.0)
    while time < seconds[-1]:
        closed = np.clip(1.6 * _bump(seconds, time, 0.15), 0.0, 1.0)
        for side in ("Left", "Right"):
            column = EXPRESSIONS.index(f"eyeBlink{side}")
            expression[:, column] = np.maximum(expression[:, column], closed)
        time += rng.uniform(1.8, 4.2)


def _move_brows(expression: np.ndarray, seconds: np.ndarray, rng: np.random.Generator) -> None:
    lift = np.clip(_wander(seconds, 1.3, rng), -1.0, 1.0)
    for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
        expression[:, EXPRESSIONS.index(name)] += 0.7 * np.clip(lift, 0.0, None)
    for name in ("browDownLeft", "browDownRight"):
        expression[:, EXPRESSIONS.index(name)] += 0.6 * np.clip(-lift, 0.0, None)
    squint = np.clip(_wander(seconds, 2.5, rng), 0.0, 1.0)
    for name in ("eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft", "cheekSquintRight"):
        expression[:, EXPRESSIONS.index(name)] += 0.4 * squint


def _head_angles_deg(seconds: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return yaw, pitch and roll: small nods during talking, and slow turns that cover the required range."""
    sweep = 2 * np.pi * seconds / 11.3 + rng.uniform(0, 6.28)
    yaw = 26.0 * np.sin(sweep) * (0.75 + 0.45 * np.sin(2 * np.pi * seconds / 17.9 + 1.0) ** 2)
    yaw += 5.0 * _wander(seconds, 1.6, rng)
    pitch = 13.0 * np.sin(2 * np.pi * seconds / 7.7 + rng.uniform(0, 6.28))
    pitch += 3.5 * _wander(seconds, 0.9, rng) + 2.0 * _wander(seconds, 3.0, rng)
    roll = 4.0 * _wander(seconds, 2.2, rng) + 0.08 * yaw
    return np.clip(yaw, -38.0, 38.0), np.clip(pitch, -19.0, 19.0), roll


def _look(
    expression: np.ndarray, seconds: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, rng: np.random.Generator
) -> None:
    """Add saccades to points near the camera: the eyes turn against the head, and jump about once per second."""
    target = np.zeros((len(seconds), 2))
    time, here = 0.0, np.zeros(2)
    while time < seconds[-1]:
        hold = rng.uniform(0.5, 2.2)
        here = rng.normal(0.0, 1.0, 2) * np.array([9.0, 5.0])
        target[seconds >= time] = here
        time += hold
    kernel = np.array([0.25, 0.5, 0.25])
    for axis in range(2):
        target[:, axis] = np.convolve(np.pad(target[:, axis], 1, mode="edge"), kernel, mode="valid")
    across = np.clip((target[:, 0] - 0.6 * yaw) / 28.0, -1.0, 1.0)
    up = np.clip((target[:, 1] - 0.6 * pitch) / 22.0, -1.0, 1.0)
    left, right = np.clip(across, 0, None), np.clip(-across, 0, None)
    for name, values in (
        ("eyeLookOutLeft", left),
        ("eyeLookInRight", left),
        ("eyeLookInLeft", right),
        ("eyeLookOutRight", right),
        ("eyeLookUpLeft", np.clip(up, 0, None)),
        ("eyeLookUpRight", np.clip(up, 0, None)),
        ("eyeLookDownLeft", np.clip(-up, 0, None)),
        ("eyeLookDownRight", np.clip(-up, 0, None)),
    ):
        expression[:, EXPRESSIONS.index(name)] += values


def _bump(seconds: np.ndarray, center: float, width: float) -> np.ndarray:
    """Return a raised cosine of height one and full width ``2 * width``."""
    phase = np.clip((seconds - center) / width, -1.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * phase))


def _wander(seconds: np.ndarray, period_s: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise of about unit amplitude whose shortest period is ``period_s``."""
    total = np.zeros_like(seconds)
    for _ in range(4):
        total += np.sin(2 * np.pi * seconds / (period_s * rng.uniform(1.0, 3.5)) + rng.uniform(0, 6.28))
    return np.asarray(total / 2.2)
