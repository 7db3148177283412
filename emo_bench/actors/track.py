"""Track: the head, camera, landmarks and foreground of a person in every frame, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.actors.track_file import VERSION, read_track_arrays
from emo_bench.errors import UserError
from emo_bench.tracking.head_rig import EXPRESSIONS, Head, head_poses, load_head_rig, pose_head, shift_torso
from emo_bench.tracking.landmarks import landmarks68_of

# Landmarks are stored as 16-bit integers with this many steps per picture width: 1/64 px at 256 px.
LANDMARK_STEPS = 16384
# Frames whose landmarks are rounded at a time.
WRITTEN_FRAMES = 256
# Soft masks are stored in this many steps, so that one byte holds two pixels.
SHARE_STEPS = 15
POSES = ("body_rotvec", "body_translation", "neck_rotvec", "head_rotvec")


@dataclass(frozen=True, eq=False)
class Track:
    """Per-frame head, camera, landmarks and foreground of T frames. Frames without a face hold NaN.

    Attributes:
        head: the person at rest.
        expression: ``[T, 52]`` float32 in [0, 1], in the order of ``EXPRESSIONS``.
        body_rotvec, neck_rotvec, head_rotvec: ``[T, 3]`` float32 rotation vectors in radians (see ``pose_head``).
        body_translation: ``[T, 3]`` float32 metres.
        torso_shift: ``[T, 3]`` float32: shift of the shoulders from the position given by the head's pose: metres
            right, metres down and radians clockwise in the picture (see ``shift_torso``).
        focal_px, center_px: the camera at ``size_px``; it does not move.
        size_px: pixels of the square stored frames.
        landmarks478: ``[T, 478, 2]`` float32 px at ``size_px``.
        face_found: ``[T]`` bool.
        foreground_bits: ``[T, ceil(S * S / 8)]`` uint8 from :func:`pack_foreground`.
        foreground_px: S, pixels of the packed square masks.
        foreground_shares: ``[T, ceil(S * S / 2)]`` uint8 from :func:`pack_shares`, the same masks with soft edges; None
            where only the bits are known.
    """

    head: Head
    expression: np.ndarray
    body_rotvec: np.ndarray
    body_translation: np.ndarray
    neck_rotvec: np.ndarray
    head_rotvec: np.ndarray
    torso_shift: np.ndarray
    focal_px: float
    center_px: tuple[float, float]
    size_px: int
    landmarks478: np.ndarray
    face_found: np.ndarray
    foreground_bits: np.ndarray
    foreground_px: int
    foreground_shares: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.face_found)
        expected = {"expression": (count, 52), "landmarks478": (count, 478, 2), "face_found": (count,)}
        expected |= dict.fromkeys((*POSES, "torso_shift"), (count, 3))
        expected["foreground_bits"] = (count, (self.foreground_px**2 + 7) // 8)
        if self.foreground_shares is not None:
            expected["foreground_shares"] = (count, (self.foreground_px**2 + 1) // 2)
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} is {getattr(self, name).shape}, not {shape}")

    def __len__(self) -> int:
        return len(self.face_found)

    @property
    def valid_indices(self) -> np.ndarray:
        """The numbers of the frames with a face, ``[N]`` int64."""
        return np.flatnonzero(self.face_found)

    @cached_property
    def landmarks68(self) -> np.ndarray:
        """The landmarks in iBUG's order, ``[T, 68, 2]`` float32 px at ``size_px``."""
        return landmarks68_of(self.landmarks478)

    @cached_property
    def head_pose(self) -> np.ndarray:
        """The camera-from-head matrices, ``[T, 4, 4]`` float32, metres, origin at the head joint."""
        import torch

        poses = [torch.from_numpy(getattr(self, name)).double() for name in POSES]
        return np.asarray(head_poses(self.head, *poses).float().numpy())

    def yaw_pitch_deg(self) -> np.ndarray:
        """The yaw (positive towards image right) and pitch (positive upwards), ``[T, 2]`` float32."""
        x, y, z = -self.head_pose[:, :3, 2].T
        angles = np.stack((np.arctan2(x, -z), np.arctan2(-y, np.hypot(x, z))), axis=1)
        return np.rad2deg(angles).astype(np.float32)

    def coefficient(self, name: str) -> np.ndarray:
        """Return an expression coefficient in every frame, ``[T]`` float32 in [0, 1]; the name is ARKit's."""
        return self.expression[:, EXPRESSIONS.index(name)]

    def vertices(self, i: int) -> np.ndarray:
        """Compute the vertices of the posed rig in frame ``i``: ``[V, 3]`` float32 metres, camera space.

        Raises:
            ValueError: the frame has no face.
            UserError: the track was made with another head rig.
        """
        import torch

        rig = load_head_rig()
        if not self.face_found[i]:
            raise ValueError(f"frame {i} has no face, so its head pose is unknown")
        if len(self.head.rest_vertices) != len(rig.base_vertices):
            raise UserError("this track was made with another head rig; run: emo-bench actors add VIDEO again")
        rows = [torch.from_numpy(getattr(self, name)[i : i + 1]) for name in ("expression", *POSES)]
        with torch.inference_mode():
            vertices = pose_head(rig, self.head, *rows)[0].numpy()
        return shift_torso(rig, vertices, self.torso_shift[i])

    def uv(self, i: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Compute a UV map ``[size, size, 2]`` float16 in [0, 1] and its mask ``[size, size]`` bool in frame ``i``."""
        from emo_bench.tracking.uv import rasterise_uv

        scale = size / self.size_px
        center_px = (self.center_px[0] * scale, self.center_px[1] * scale)
        return rasterise_uv(load_head_rig(), self.vertices(i), self.focal_px * scale, center_px, size)

    def foreground(self, i: int, size: int) -> np.ndarray:
        """Return the person's mask ``[size, size]`` bool in frame ``i``: at least half of each pixel is the person."""
        side = self.foreground_px
        if self.foreground_shares is not None:
            return self.matte(i, size) >= 0.5
        mask = np.unpackbits(self.foreground_bits[i], count=side * side).reshape(side, side)
        if side % size == 0:
            factor = side // size
            counts = mask.reshape(size, factor, size, factor).sum(axis=(1, 3))
            return np.asarray(2 * counts >= factor**2)
        from emo_bench.system import opencv as cv2

        how = cv2.INTER_AREA if size < side else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(mask.astype(np.float32), (size, size), interpolation=how) >= 0.5)

    def matte(self, i: int, size: int) -> np.ndarray:
        """Return how much of each pixel the person covers in frame ``i``: ``[size, size]`` float32 in [0, 1].

        If the track has no soft masks, an edge is only as soft as the resizing makes it.
        """
        from emo_bench.system import opencv as cv2

        side = self.foreground_px
        if self.foreground_shares is None:
            shares = np.unpackbits(self.foreground_bits[i], count=side * side).reshape(side, side).astype(np.float32)
        else:
            shares = unpack_shares(self.foreground_shares[i], side)
        if size == side:
            return shares
        how = cv2.INTER_AREA if size < side else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(shares, (size, size), interpolation=how))

    def save(self, path: Path) -> None:
        """Write a compressed ``.npz``: landmarks in steps of 1/16384 of the picture width, expressions as float16."""
        bits = self.foreground_bits.copy()
        bits[1:] ^= self.foreground_bits[:-1]
        soft: dict[str, Any] = {} if self.foreground_shares is None else {"foreground_shares": self.foreground_shares}
        with open(path, "wb") as file:
            np.savez_compressed(
                file,
                version=VERSION,
                rest_vertices=self.head.rest_vertices.astype(np.float32),
                joints=self.head.joints.astype(np.float32),
                expression=self.expression.astype(np.float16),
                **{name: getattr(self, name).astype(np.float32) for name in (*POSES, "torso_shift")},
                camera=np.array((self.focal_px, *self.center_px), dtype=np.float64),
                size_px=self.size_px,
                landmark_steps=_landmark_steps(self.landmarks478, self.size_px),
                face_found=self.face_found.astype(bool),
                foreground_changes=bits,
                foreground_px=self.foreground_px,
                **soft,
            )

    @classmethod
    def load(cls, path: Path) -> Track:
        """Read a file written by :meth:`save`.

        Raises:
            UserError: the file is missing, damaged or of another version.
        """
        arrays = read_track_arrays(path)
        size_px = int(arrays["size_px"])
        found = arrays["face_found"]
        focal_px, center_x, center_y = (float(x) for x in arrays["camera"])
        steps = np.add.accumulate(arrays["landmark_steps"], axis=0, dtype=np.int16)
        landmarks = steps.astype(np.float32) * (size_px / LANDMARK_STEPS)
        landmarks[~found] = np.nan
        return cls(
            head=Head(arrays["rest_vertices"].astype(np.float32), arrays["joints"].astype(np.float32)),
            expression=arrays["expression"].astype(np.float32),
            **{name: arrays[name].astype(np.float32) for name in POSES},
            torso_shift=arrays.get("torso_shift", np.zeros((len(found), 3))).astype(np.float32),
            focal_px=focal_px,
            center_px=(center_x, center_y),
            size_px=size_px,
            landmarks478=landmarks,
            face_found=found,
            foreground_bits=np.bitwise_xor.accumulate(arrays["foreground_changes"], axis=0),
            foreground_px=int(arrays["foreground_px"]),
            foreground_shares=arrays.get("foreground_shares"),
        )


def pack_foreground(masks: np.ndarray) -> np.ndarray:
    """Pack square masks ``[T, S, S]`` bool to ``[T, ceil(S * S / 8)]`` uint8."""
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def pack_shares(shares: np.ndarray) -> np.ndarray:
    """Round square soft masks ``[T, S, S]`` in [0, 1] to steps, two in a byte: ``[T, ceil(S * S / 2)]`` uint8.

    At least half of a pixel stays at least half.
    """
    steps = np.floor(np.clip(shares, 0.0, 1.0) * SHARE_STEPS + 0.5).astype(np.uint8).reshape(len(shares), -1)
    steps = np.pad(steps, ((0, 0), (0, steps.shape[1] % 2)))
    return np.asarray((steps[:, ::2] << 4) | steps[:, 1::2])


def unpack_shares(packed: np.ndarray, side: int) -> np.ndarray:
    """Return one soft mask ``[side, side]`` float32 in [0, 1] from a row of :func:`pack_shares`."""
    steps = np.stack((packed >> 4, packed & 15), axis=-1).reshape(-1)[: side * side]
    return np.asarray(steps.reshape(side, side).astype(np.float32) / SHARE_STEPS)


def _landmark_steps(landmarks: np.ndarray, size_px: int) -> np.ndarray:
    """Compute frame-to-frame changes in whole steps, int16; a face two pictures away from the origin is clipped."""
    limit = np.iinfo(np.int16).max
    whole = np.empty(landmarks.shape, dtype=np.int16)
    # In parts, and the differences from the end, so that a long video needs no second array of its length.
    starts = range(0, len(whole), WRITTEN_FRAMES)
    for start in starts:
        part = slice(start, start + WRITTEN_FRAMES)
        whole[part] = np.rint(np.clip(np.nan_to_num(landmarks[part]) * (LANDMARK_STEPS / size_px), -limit, limit))
    for start in reversed(starts):
        part = slice(max(start, 1), start + WRITTEN_FRAMES)
        whole[part] -= whole[max(start, 1) - 1 : start + WRITTEN_FRAMES - 1][: len(whole[part])].copy()
    return whole
