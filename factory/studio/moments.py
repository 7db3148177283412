"""Draw random moments of a person: expression, gaze, head pose and distance to the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emo_bench.tracking.head_rig import EXPRESSIONS
from factory.studio.motion import NECK_SHARE, add_action, talking_motion
from factory.studio.scene import Pose, part_transforms

MAX_YAW_DEG, MAX_PITCH_DEG = 40.0, 25.0
MOODS = ("talking", "neutral", "smile", "surprise", "angry", "sad")
MOOD_SHARES = (0.42, 0.16, 0.24, 0.06, 0.06, 0.06)
# Facial actions of a mood at full strength, with or without talking.
MOOD_ACTIONS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmile": 1.0, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5, "mouthUpperUp": 0.2},
    "surprise": {"browInnerUp": 0.9, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8, "jawOpen": 0.5,
                 "eyeWideLeft": 0.7, "eyeWideRight": 0.7},
    "angry": {"browDownLeft": 0.9, "browDownRight": 0.9, "noseSneerLeft": 0.4, "noseSneerRight": 0.4,
              "mouthPress": 0.4, "eyeSquintLeft": 0.4, "eyeSquintRight": 0.4},
    "sad": {"browInnerUp": 0.8, "mouthFrown": 0.8, "mouthShrugLower": 0.3},
}  # fmt: skip
TALKING_FRAMES = 60


@dataclass(frozen=True)
class Moment:
    """A pose with its mood and its exact head angles in degrees (conventions of the track)."""

    pose: Pose
    mood: str
    yaw_deg: float
    pitch_deg: float

    def action(self, name: str) -> float:
        """Return the coefficient of an expression, or the mean of its left and right side."""
        names = [one for one in EXPRESSIONS if one in (name, f"{name}Left", f"{name}Right")]
        return float(np.mean([self.pose.expression[EXPRESSIONS.index(one)] for one in names]))


def random_moment(rng: np.random.Generator) -> Moment:
    """Draw a moment; half of the head angles are uniform in their range, half are near the camera direction."""
    while True:
        wide = rng.random(2) < 0.5
        yaw = rng.uniform(-1, 1) * MAX_YAW_DEG if wide[0] else rng.normal(0.0, 14.0)
        pitch = rng.uniform(-1, 1) * MAX_PITCH_DEG if wide[1] else rng.normal(0.0, 7.0)
        mood = str(rng.choice(MOODS, p=MOOD_SHARES))
        expression = _expression(rng, mood, yaw, pitch)
        lean = np.deg2rad(np.array([-0.1 * pitch, -0.2 * yaw + rng.normal(0.0, 5.0), rng.normal(0.0, 2.0)]))
        head = np.deg2rad(np.array([-pitch, -yaw, rng.normal(0.0, 5.0)])) - lean
        distance_m = float(np.exp(rng.uniform(np.log(0.6), np.log(2.5))))
        pose = Pose(
            expression.astype(np.float32),
            lean.astype(np.float32),
            np.array([0.0, 0.08, distance_m], np.float32),
            (NECK_SHARE * head).astype(np.float32),
            ((1 - NECK_SHARE) * head).astype(np.float32),
        )
        exact_yaw, exact_pitch = head_angles_deg(pose)
        if abs(exact_yaw) <= MAX_YAW_DEG and abs(exact_pitch) <= MAX_PITCH_DEG:
            return Moment(pose, mood, exact_yaw, exact_pitch)


def head_angles_deg(pose: Pose) -> tuple[float, float]:
    """Return yaw, positive towards image right, and pitch, positive upwards, of a posed head."""
    rotations, _ = part_transforms(np.zeros((2, 3)), pose)
    facing = -rotations[2][:, 2].astype(np.float64)
    yaw = np.arctan2(facing[0], -facing[2])
    pitch = np.arctan2(-facing[1], np.hypot(facing[0], facing[2]))
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch))


def _expression(rng: np.random.Generator, mood: str, yaw_deg: float, pitch_deg: float) -> np.ndarray:
    motion = talking_motion(TALKING_FRAMES, 25.0, int(rng.integers(2**31)))
    talking = motion.expression[int(rng.integers(20, TALKING_FRAMES))].astype(np.float64)
    share = {"talking": 1.0, "neutral": 0.12}.get(mood, rng.uniform(0.0, 0.4))
    mouth = np.array([name.startswith(("mouth", "jaw", "cheek", "brow")) for name in EXPRESSIONS])
    expression = np.where(mouth, share * talking, talking)
    strength = rng.uniform(0.55, 1.0)
    for name, value in MOOD_ACTIONS.get(mood, {}).items():
        add_action(expression, name, strength * value)
    if mood == "smile":
        add_action(expression, "jawOpen", rng.uniform(0.0, 0.22))
    _look(expression, rng, yaw_deg, pitch_deg)
    return np.clip(expression, 0.0, 1.0)


def _look(expression: np.ndarray, rng: np.random.Generator, yaw_deg: float, pitch_deg: float) -> None:
    """Set the gaze: in two of three cases to the camera, as far as the eyes can turn; otherwise to a point near it."""
    for name in EXPRESSIONS:
        if name.startswith("eyeLook"):
            expression[EXPRESSIONS.index(name)] = 0.0
    spread = 2.0 if rng.random() < 0.67 else 14.0
    across = float(np.clip((rng.normal(0.0, spread) - yaw_deg) / 40.0, -0.8, 0.8))
    up = float(np.clip((rng.normal(0.0, 0.6 * spread) - pitch_deg) / 35.0, -0.7, 0.7))
    turned = ("eyeLookOutLeft", "eyeLookInRight") if across > 0 else ("eyeLookInLeft", "eyeLookOutRight")
    lifted = ("eyeLookUpLeft", "eyeLookUpRight") if up > 0 else ("eyeLookDownLeft", "eyeLookDownRight")
    for name in turned:
        expression[EXPRESSIONS.index(name)] = abs(across)
    for name in lifted:
        expression[EXPRESSIONS.index(name)] = abs(up)
