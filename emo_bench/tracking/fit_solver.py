"""Levenberg-Marquardt on landmark reprojection: many frames at once, and one person over key frames.

Everything is float64 numpy. A head is rigid here (landmarks move with the head bone only); rotations are updated by
left multiplication, ``R <- exp(w) R``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from emo_bench.tracking.fit_landmarks import LandmarkModel
from emo_bench.tracking.fit_threads import matmul
from emo_bench.tracking.head_rig import EXPRESSIONS

# Landmark noise as a share of the inter-ocular distance. It is larger than MediaPipe's jitter, because the errors
# of neighbouring landmarks are correlated.
NOISE_SHARE = 0.05
ROBUST_SHARE = 0.06
EXPRESSION_STD = 0.2
OFFSET_STD_M = 0.004
FOCAL_LOG_STD = 0.35
POSE_UNKNOWNS = 6
BATCH = 64
TONGUE_OUT = EXPRESSIONS.index("tongueOut")


@dataclass(frozen=True)
class HeadFit:
    """Poses of the rigid heads of B frames, float64.

    Camera-from-rest ``rotation [B, 3, 3]``, ``translation [B, 3]`` metres, and ``expression [B, 52]`` in [0, 1].
    """

    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray

    def __len__(self) -> int:
        return len(self.rotation)

    def __getitem__(self, rows: slice) -> HeadFit:
        return HeadFit(self.rotation[rows], self.translation[rows], self.expression[rows])


@dataclass(frozen=True)
class Person:
    """Unknowns shared by all frames: identity ``coefficients [K]``, ``focal_px`` and the landmark model's offset."""

    coefficients: np.ndarray
    focal_px: float
    model: LandmarkModel


@dataclass(frozen=True)
class Observation:
    """What was observed in B frames.

    Attributes:
        landmarks: ``[B, 478, 2]`` px, float32 or float64; a part of an observation has them as float64.
        blendshapes: ``[B, 52]`` in [0, 1], MediaPipe's; the prior of the expression.
        scale_px: ``[B]``, the inter-ocular distance.
        center_px: ``[2]``, the principal point.
    """

    landmarks: np.ndarray
    blendshapes: np.ndarray
    scale_px: np.ndarray
    center_px: np.ndarray

    def __len__(self) -> int:
        return len(self.landmarks)

    def __getitem__(self, rows: slice | np.ndarray) -> Observation:
        landmarks = self.landmarks[rows].astype(np.float64)
        return Observation(landmarks, self.blendshapes[rows], self.scale_px[rows], self.center_px)

    def parts(self) -> Iterator[slice]:
        """Yield slices of ``BATCH`` frames: what needs all landmarks of its frames takes 100 kB for each of them."""
        for start in range(0, len(self), BATCH):
            yield slice(start, min(start + BATCH, len(self)))


def project_heads(person: Person, heads: HeadFit, center_px: np.ndarray) -> np.ndarray:
    """Project the landmarks of posed heads: ``[B, 478, 2]`` px."""
    rest = person.model.rest(person.coefficients, heads.expression)
    camera = rest @ heads.rotation.transpose(0, 2, 1) + heads.translation[:, None]
    return np.asarray(camera[..., :2] / camera[..., 2:] * person.focal_px + center_px)


def reprojection_errors(person: Person, heads: HeadFit, seen: Observation) -> np.ndarray:
    """Compute the mean distance of 478 landmarks from the observed ones, over the inter-ocular distance: ``[B]``."""
    errors = np.empty(len(seen))
    for part in seen.parts():
        distance = np.linalg.norm(project_heads(person, heads[part], seen.center_px) - seen[part].landmarks, axis=-1)
        errors[part] = distance.mean(axis=1) / seen.scale_px[part]
    return errors


def place_heads(person: Person, rotation: np.ndarray, expression: np.ndarray, seen: Observation) -> HeadFit:
    """Find translations for known rotations ``[B, 3, 3]``: reprojection error times depth is linear in them."""
    rotated = person.model.rest(person.coefficients, expression) @ rotation.transpose(0, 2, 1)
    rays = (seen.landmarks - seen.center_px) / person.focal_px
    weight = np.sqrt(person.model.weight)[:, None]
    matrix = np.zeros((len(seen), rays.shape[1], 2, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = weight[:, 0]
    matrix[..., 2] = -rays * weight
    target = (rays * rotated[..., 2:] - rotated[..., :2]) * weight
    flat = matrix.reshape(len(seen), -1, 3)
    normal = flat.transpose(0, 2, 1) @ flat
    right = flat.transpose(0, 2, 1) @ target.reshape(len(seen), -1, 1)
    return HeadFit(rotation, np.linalg.solve(normal, right)[..., 0], expression)


def fit_heads(
    person: Person, start: HeadFit, seen: Observation, iterations: int = 8, with_expression: bool = True
) -> HeadFit:
    """Fit pose and expression of every frame independently, with a fixed person.

    Minimises the robust (Cauchy) reprojection error plus a Gaussian prior of the expression around MediaPipe's
    blendshapes within [0, 1].
    """
    heads = start
    damping = np.full(len(seen), 1e-3)
    cost = _costs(person, heads, seen)
    for _ in range(iterations):
        residual, jacobian = _linearise(person, heads, seen, shared=False)[:2]
        if not with_expression:
            jacobian[..., POSE_UNKNOWNS:] = 0.0
        normal, gradient = _normal_equations(jacobian, residual)
        _add_expression_prior(normal, gradient, heads, seen, frozen=not with_expression)
        diagonal = np.einsum("bii->bi", normal)
        diagonal += damping[:, None] * (diagonal + 1e-9)
        step = -np.linalg.solve(normal, gradient[..., None])[..., 0]
        candidate = _moved(heads, step)
        new_cost = _costs(person, candidate, seen)
        better = new_cost < cost
        heads = HeadFit(
            np.where(better[:, None, None], candidate.rotation, heads.rotation),
            np.where(better[:, None], candidate.translation, heads.translation),
            np.where(better[:, None], candidate.expression, heads.expression),
        )
        gain = np.max((cost - new_cost) / np.maximum(cost, 1e-9), initial=0.0, where=better)
        cost = np.where(better, new_cost, cost)
        damping = np.clip(np.where(better, damping * 0.2, damping * 10.0), 1e-6, 1e6)
        if better.all() and gain < 1e-4:
            break
    return heads


def fit_person(
    person: Person, start: HeadFit, seen: Observation, focal_prior_px: float, iterations: int = 25
) -> tuple[Person, HeadFit]:
    """Fit identity and focal length to key frames, together with each frame's pose and expression.

    The unknowns of single frames are eliminated by the Schur complement, so the shared system has K + 1 unknowns.
    """
    heads, damping = start, 1e-3
    cost = _person_cost(person, heads, seen, focal_prior_px)
    for _ in range(iterations):
        residual, frame_jacobian, shared_jacobian = _linearise(person, heads, seen, shared=True)
        normal, gradient = _normal_equations(frame_jacobian, residual)
        frozen = _add_expression_prior(normal, gradient, heads, seen, frozen=False)
        frame_jacobian[np.broadcast_to(frozen[:, None], frame_jacobian.shape)] = 0.0
        shared_normal = _gram(shared_jacobian, shared_jacobian)
        shared_gradient = _gram(shared_jacobian, residual[..., None])[:, 0]
        prior = np.append(np.ones(len(person.coefficients)), FOCAL_LOG_STD**-2)
        shared_normal[np.diag_indices_from(shared_normal)] += prior
        shared_gradient += prior * _shared_prior_residual(person, focal_prior_px)
        diagonal = np.einsum("bii->bi", normal)
        diagonal += damping * (diagonal + 1e-9)
        shared_normal[np.diag_indices_from(shared_normal)] *= 1.0 + damping
        cross = matmul(frame_jacobian.transpose(0, 2, 1), shared_jacobian)
        solved = np.linalg.solve(normal, np.concatenate((cross, gradient[..., None]), axis=-1))
        schur = shared_normal - _gram(cross, solved[..., :-1])
        right = shared_gradient - _gram(cross, solved[..., -1:])[:, 0]
        shared_step = -np.linalg.solve(schur, right)
        step = -solved[..., -1] - solved[..., :-1] @ shared_step
        zoom = float(np.exp(np.clip(shared_step[-1], -0.3, 0.3)))
        away = HeadFit(heads.rotation, heads.translation * (1.0, 1.0, zoom), heads.expression)
        candidate = _moved(away, step)
        candidate_person = replace(
            person, coefficients=person.coefficients + shared_step[:-1], focal_px=person.focal_px * zoom
        )
        new_cost = _person_cost(candidate_person, candidate, seen, focal_prior_px)
        if new_cost < cost:
            done = cost - new_cost < 1e-4 * cost
            person, heads, cost, damping = candidate_person, candidate, new_cost, max(damping * 0.2, 1e-7)
            if done:
                break
        else:
            damping *= 10.0
    return person, heads


def fit_offset(person: Person, heads: HeadFit, seen: Observation) -> Person:
    """Fit the landmarks' constant offsets: one small linear problem per landmark, with a Gaussian prior at zero."""
    bare = replace(person, model=person.model.with_offset(np.zeros_like(person.model.offset)))
    projection, camera = _camera_and_derivative(bare, heads, seen)
    derivative = projection @ heads.rotation[:, None]
    residual = camera[..., :2] / camera[..., 2:] * person.focal_px + seen.center_px - seen.landmarks
    sigma = (NOISE_SHARE * seen.scale_px)[:, None, None]
    normal = np.einsum("blij,blik->ljk", derivative / sigma[..., None], derivative / sigma[..., None])
    gradient = np.einsum("blij,bli->lj", derivative / sigma[..., None], residual / sigma)
    normal += np.eye(3) * OFFSET_STD_M**-2
    offset = -np.linalg.solve(normal, gradient[..., None])[..., 0]
    return replace(person, model=person.model.with_offset(offset))


def _camera_and_derivative(person: Person, heads: HeadFit, seen: Observation) -> tuple[np.ndarray, np.ndarray]:
    """Return projection derivatives by camera-space points, ``[B, 478, 2, 3]``, and the points, ``[B, 478, 3]``."""
    rest = person.model.rest(person.coefficients, heads.expression)
    camera = rest @ heads.rotation.transpose(0, 2, 1) + heads.translation[:, None]
    inverse = person.focal_px / camera[..., 2]
    derivative = np.zeros((*camera.shape[:2], 2, 3))
    derivative[..., 0, 0] = derivative[..., 1, 1] = inverse
    derivative[..., 2] = -camera[..., :2] * (inverse / camera[..., 2])[..., None]
    return derivative, camera


def _linearise(
    person: Person, heads: HeadFit, seen: Observation, shared: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute weighted residuals ``[B, 956]`` and their derivatives by frame ``[B, 956, 58]`` and shared unknowns."""
    derivative, camera = _camera_and_derivative(person, heads, seen)
    residual = camera[..., :2] / camera[..., 2:] * person.focal_px + seen.center_px - seen.landmarks
    weight = _weights(person, residual, seen)
    derivative = derivative * weight[..., None, None]
    count, landmarks = camera.shape[:2]
    by_rest = derivative @ heads.rotation[:, None]
    arm = camera - heads.translation[:, None]
    by_rotation = np.cross(arm[:, :, None, :], derivative)
    by_expression = _along(by_rest, person.model.expression)
    frame = np.concatenate((by_rotation, derivative, by_expression), axis=-1)
    by_shared = np.zeros((count, 0, 0))
    if shared:
        by_identity = _along(by_rest, person.model.identity)
        # Heads move away as the focal length grows (dolly zoom), so that the other unknowns have little to correct.
        dolly = derivative[..., 2] * heads.translation[:, None, 2:]
        by_focal = camera[..., :2] / camera[..., 2:] * (person.focal_px * weight[..., None]) + dolly
        by_shared = np.concatenate((by_identity, by_focal[..., None]), axis=-1)
        by_shared = by_shared.reshape(count, 2 * landmarks, -1)
    weighted = (residual * weight[..., None]).reshape(count, -1)
    return weighted, frame.reshape(count, 2 * landmarks, -1), by_shared


def _along(by_rest: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Apply the chain rule to derivatives by points, ``[B, L, 2, 3]``, and a basis ``[K, L, 3]``: ``[B, L, 2, K]``."""
    count, landmarks = by_rest.shape[:2]
    rows = by_rest.transpose(1, 0, 2, 3).reshape(landmarks, 2 * count, 3)
    moved = matmul(rows, basis.transpose(1, 2, 0))
    return np.asarray(moved.reshape(landmarks, count, 2, -1).transpose(1, 0, 2, 3))


def _gram(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum products over frames and rows: ``[B, R, S]`` and ``[B, R, T]`` to ``[S, T]``."""
    return matmul(left.reshape(-1, left.shape[-1]).T, right.reshape(-1, right.shape[-1]))


def _weights(person: Person, residual: np.ndarray, seen: Observation) -> np.ndarray:
    """Return square roots of the landmarks' weights ``[B, 478]``: given weight, noise, Cauchy weight for outliers."""
    scale = seen.scale_px[:, None]
    squared = (residual**2).sum(axis=-1)
    cauchy = 1.0 / (1.0 + squared / (ROBUST_SHARE * scale) ** 2)
    return np.asarray(np.sqrt(person.model.weight * cauchy) / (NOISE_SHARE * scale))


def _normal_equations(jacobian: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    transposed = jacobian.transpose(0, 2, 1)
    return matmul(transposed, jacobian), matmul(transposed, residual[..., None])[..., 0]


def _expression_precision() -> np.ndarray:
    precision = np.full(len(EXPRESSIONS), EXPRESSION_STD**-2)
    # MediaPipe gives no tongueOut coefficient, so this one must stay at its prior.
    precision[TONGUE_OUT] = 1e8
    return precision


def _add_expression_prior(
    normal: np.ndarray, gradient: np.ndarray, heads: HeadFit, seen: Observation, frozen: bool
) -> np.ndarray:
    """Add the prior in place and freeze coefficients that are at a bound and would leave [0, 1].

    Returns:
        ``[B, 58]`` bool, the frozen unknowns.
    """
    precision = _expression_precision()
    part = slice(POSE_UNKNOWNS, None)
    np.einsum("bii->bi", normal)[:, part] += precision
    gradient[:, part] += precision * (heads.expression - seen.blendshapes)
    slope = gradient[:, part]
    stuck = ((heads.expression <= 0.0) & (slope > 0.0)) | ((heads.expression >= 1.0) & (slope < 0.0))
    stuck |= frozen
    full = np.concatenate((np.zeros((len(heads), POSE_UNKNOWNS), dtype=bool), stuck), axis=1)
    normal[full[:, :, None] | full[:, None, :]] = 0.0
    np.einsum("bii->bi", normal)[full] = 1.0
    gradient[full] = 0.0
    return full


def _moved(heads: HeadFit, step: np.ndarray) -> HeadFit:
    turn = Rotation.from_rotvec(np.clip(step[:, :3], -0.5, 0.5)).as_matrix()
    return HeadFit(
        turn @ heads.rotation,
        heads.translation + step[:, 3:POSE_UNKNOWNS],
        np.clip(heads.expression + step[:, POSE_UNKNOWNS:], 0.0, 1.0),
    )


def _costs(person: Person, heads: HeadFit, seen: Observation) -> np.ndarray:
    residual = project_heads(person, heads, seen.center_px) - seen.landmarks
    scale = seen.scale_px[:, None]
    limit = (ROBUST_SHARE * scale) ** 2
    robust = limit * np.log1p((residual**2).sum(axis=-1) / limit) / (NOISE_SHARE * scale) ** 2
    prior = (_expression_precision() * (heads.expression - seen.blendshapes) ** 2).sum(axis=1)
    return np.asarray((person.model.weight * robust).sum(axis=1) + prior)


def _shared_prior_residual(person: Person, focal_prior_px: float) -> np.ndarray:
    return np.append(person.coefficients, np.log(person.focal_px / focal_prior_px))


def _person_cost(person: Person, heads: HeadFit, seen: Observation, focal_prior_px: float) -> float:
    precision = np.append(np.ones(len(person.coefficients)), FOCAL_LOG_STD**-2)
    prior = (precision * _shared_prior_residual(person, focal_prior_px) ** 2).sum()
    return float(_costs(person, heads, seen).sum() + prior)
