"""A person as one mesh: body, eyes, hair, brows, lashes, teeth, tongue and clothes, posed frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emo_bench.tracking.head_rig import EXPRESSIONS, REGIONS, Head, load_head_rig
from factory.studio import anny_people
from factory.studio.bake_rig import triangles_of_interest
from factory.studio.beards import beard_shells
from factory.studio.makehuman import Proxy, load_proxy, load_texture
from factory.studio.materials import SKIN_PX, even_lids, lid_mask, load_eye, load_hair
from factory.studio.people import PersonSpec
from factory.studio.raytrace import CLOTH, EYE, HAIR, MOUTH, SKIN, TOOTH, RayTracer, Surfaces, TexelStore

# Centre and half width of one iris in MakeHuman's eye texture, row axis downwards.
EYE_CENTER_UV = np.array([0.703, 0.296])
EYE_RADIUS_UV = 0.27
GAZE_SHARE = 0.42
TUCK_M = 0.006
TUCK_REACH_M = 0.015
# By MakeHuman's folder.
ROLES = {"hair": "hair", "eyebrows": "brows", "clothes": "clothes"}


@dataclass(frozen=True)
class Pose:
    """The pose of one frame: expression ``[52]`` and rotation vectors and translation ``[3]`` as in :mod:`head_rig`."""

    expression: np.ndarray
    body_rotvec: np.ndarray
    body_translation: np.ndarray
    neck_rotvec: np.ndarray
    head_rotvec: np.ndarray


@lru_cache(maxsize=1)
def _base() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return triangles, atlas coordinates and regions of head and torso; deltas ``[52, 19158, 3]``; weights."""
    body, _ = anny_people.rest_body(anny_people.Identity())
    triangles, atlas, region = triangles_of_interest(body)
    names, deltas = anny_people.expression_deltas()
    deltas = deltas[[names.index(name) for name in EXPRESSIONS]]
    return triangles, atlas, region, deltas, anny_people.skin_weights()


@dataclass(frozen=True)
class _Part:
    rest: np.ndarray
    deltas: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    face_uv: np.ndarray
    kind: int
    tint: tuple[float, float, float]
    ambient: float
    texture: np.ndarray
    role: str = "other"


class Person:
    """A person who can be posed and rendered.

    Args:
        spec: the person's specification.
        store: textures shared with other people; without it the person has its own copies.

    Attributes:
        roles: what each part of the tracer's surfaces is: "skin", "hair", "brows", "beard", "clothes" or "other".
    """

    def __init__(self, spec: PersonSpec, store: TexelStore | None = None) -> None:
        self.spec = spec
        self._store = store
        body, joints = anny_people.rest_body(spec.identity)
        self._joints = joints
        rig = load_head_rig()
        self.head = Head(body[rig.base_vertices], joints)
        parts = [*self._body_parts(body), *self._beard_parts(body), *self._proxy_parts(body)]
        self.roles = tuple(part.role for part in parts)
        self._assemble(parts)

    def _body_parts(self, body: np.ndarray) -> list[_Part]:
        triangles, atlas, region, deltas, weights = _base()
        clothes = load_proxy(f"clothes/{self.spec.clothes}/{self.spec.clothes}")
        covered = np.isin(triangles, clothes.hidden).all(axis=1)
        skin = _skin(self.spec.skin)
        eye = load_eye(self.spec.eye)
        body = tucked(body, triangles, clothes)
        parts: list[_Part] = []
        looks: list[tuple[tuple[str, ...], int, tuple[float, float, float], float, np.ndarray]] = [
            (("head", "torso"), SKIN, self.spec.skin_tint, 1.0, skin),
            (("socket_left", "socket_right"), MOUTH, (0.8, 0.6, 0.55), 0.45, skin),
            (("mouth_cavity",), MOUTH, (0.5, 0.28, 0.28), 0.22, skin),
            (("eye_left",), EYE, (0.86, 0.84, 0.84), 0.85, eye),
            (("eye_right",), EYE, (0.86, 0.84, 0.84), 0.85, eye),
        ]
        for names, kind, tint, ambient, texture in looks:
            rows = np.isin(region, [REGIONS.index(name) for name in names]) & ~covered
            used = np.unique(triangles[rows])
            faces = np.searchsorted(used, triangles[rows])
            moves = deltas[:, used] if kind != EYE else np.zeros((52, len(used), 3), np.float32)
            role = "skin" if kind == SKIN else "other"
            rest = body[used]
            parts.append(_Part(rest, moves, weights[used], faces, atlas[rows], kind, tint, ambient, texture, role))
        return parts

    def _beard_parts(self, body: np.ndarray) -> list[_Part]:
        if self.spec.beard is None:
            return []
        _, _, _, deltas, weights = _base()
        triangles, atlas = _head_skin()
        shells = beard_shells(self.spec.beard.style, triangles, atlas)
        normals = vertex_normals(body, triangles)[shells.base]
        rest = body[shells.base] + normals * shells.height_m[:, None]
        return [
            _Part(
                rest.astype(np.float32), deltas[:, shells.base], weights[shells.base], shells.faces, shells.face_uv,
                HAIR, self.spec.beard.tint, 0.85, shells.texture, "beard",
            )
        ]  # fmt: skip

    def _proxy_parts(self, body: np.ndarray) -> list[_Part]:
        spec = self.spec
        brow = load_hair("eyebrows/eyebrow001/eyebrow001.png", 512)
        looks: list[tuple[str, int, tuple[float, float, float], float, np.ndarray]] = [
            ("eyebrows/eyebrow001/eyebrow001", HAIR, spec.brow_tint, 0.9, brow),
            ("eyelashes/eyelashes01/eyelashes01", HAIR, (0.05, 0.04, 0.04), 0.6,
             load_texture("eyelashes/eyelashes01/eyelashes01.png")),
            ("teeth/teeth_base/teeth_base", TOOTH, (0.95, 0.9, 0.84), 0.62, load_texture("teeth/materials/teeth.png")),
            ("tongue/tongue01/tongue01", MOUTH, (0.75, 0.45, 0.45), 0.4,
             load_texture("tongue/tongue01/tongue01_diffuse.png")),
            (f"clothes/{spec.clothes}/{spec.clothes}", CLOTH, spec.clothes_tint, 0.9,
             load_texture(f"clothes/{spec.clothes}/{spec.clothes}_diffuse.png", 1024)),
        ]  # fmt: skip
        if spec.hair is not None:  # last, because _assemble finds the hair there
            texture = load_hair(f"hair/{spec.hair}/{spec.hair}_diffuse.png")
            looks.append((f"hair/{spec.hair}/{spec.hair}", HAIR, spec.hair_tint, 0.85, texture))
        parts = []
        for name, kind, tint, ambient, texture in looks:
            proxy = load_proxy(name)
            moves, carried = _carried(name)
            uv = proxy.face_uv * np.array([1.0, -1.0]) + np.array([0.0, 1.0])
            role = ROLES.get(name.split("/", 1)[0], "other")
            rest = proxy.fit(body)
            parts.append(_Part(rest, moves, carried, proxy.faces, uv, kind, tint, ambient, texture, role))
        return parts

    def _assemble(self, parts: list[_Part]) -> None:
        starts = np.cumsum([0, *[len(part.rest) for part in parts]])
        self._rest = np.concatenate([part.rest for part in parts]).astype(np.float32)
        deltas = np.concatenate([part.deltas for part in parts], axis=1)
        self._deltas = np.ascontiguousarray(deltas.reshape(52, -1))
        self._weights = np.concatenate([part.weights for part in parts])
        self._faces = np.concatenate([p.faces + s for p, s in zip(parts, starts, strict=False)]).astype(np.int32)
        self._face_uv = np.concatenate([part.face_uv for part in parts]).astype(np.float32)
        self._hair = np.zeros(len(self._rest), dtype=bool)
        if self.spec.hair is not None:
            self._hair[starts[-2] :] = True
        face_part = np.concatenate([np.full(len(p.faces), k) for k, p in enumerate(parts)])
        self._eyes = [(face_part == k, *_eye_center(part.rest)) for k, part in enumerate(parts) if part.kind == EYE]
        sizes = [part.texture.shape[0] for part in parts]
        store = self._store
        if store is None:
            offsets = np.cumsum([0, *[size * size for size in sizes]])[:-1]
        else:
            offsets = np.array([store.place(part.texture) for part in parts])
        self.tracer = RayTracer(
            Surfaces(
                faces=self._faces,
                face_uv=self._face_uv,
                face_part=face_part,
                kind=np.array([part.kind for part in parts]),
                tint=np.array([part.tint for part in parts]),
                ambient=np.array([part.ambient for part in parts]),
                texture_offset=offsets,
                texture_px=np.array(sizes),
                texels=np.concatenate([part.texture.reshape(-1, 4) for part in parts]) if store is None else store,
            )
        )

    def posed(self, pose: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return vertices and normals ``[V, 3]`` in camera space, and texture coordinates ``[F, 3, 2]`` with gaze."""
        rest = self._rest + (pose.expression.astype(np.float32) @ self._deltas).reshape(-1, 3)
        rotations, shifts = part_transforms(self._joints, pose)
        vertices = np.zeros_like(rest)
        for part in range(3):
            vertices += self._weights[:, part : part + 1] * (rest @ rotations[part].T + shifts[part])
        normals = vertex_normals(vertices, self._faces)
        if self._hair.any():
            # Hair cards are shaded like the ball of hair that they belong to, not like flat sheets.
            hair = vertices[self._hair]
            outward = hair - hair.mean(axis=0)
            outward /= np.linalg.norm(outward, axis=1, keepdims=True)
            normals[self._hair] = 0.8 * outward + 0.2 * normals[self._hair]
        return vertices, normals, self._gaze_uv(pose.expression)

    def _gaze_uv(self, expression: np.ndarray) -> np.ndarray:
        value = dict(zip(EXPRESSIONS, expression, strict=True))
        uv = self._face_uv.copy()
        for (rows, center, radius), side in zip(self._eyes, ("Left", "Right"), strict=True):
            outward = 1.0 if side == "Left" else -1.0
            across = outward * (value[f"eyeLookOut{side}"] - value[f"eyeLookIn{side}"])
            down = value[f"eyeLookDown{side}"] - value[f"eyeLookUp{side}"]
            offset = (self._rest[self._faces[rows]] - center)[..., :2] / radius
            gaze = GAZE_SHARE * np.array([across, down])
            uv[rows] = EYE_CENTER_UV + EYE_RADIUS_UV * (offset - gaze)
        return uv


@lru_cache(maxsize=32)
def _carried(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return how a proxy's vertices move with expressions ``[52, P, 3]``, and their skin weights ``[P, 3]``."""
    _, _, _, deltas, weights = _base()
    proxy = load_proxy(name)
    moves = np.einsum("epkc,pk->epc", deltas[:, proxy.base], proxy.weights).astype(np.float32)
    carried = np.einsum("pkw,pk->pw", weights[proxy.base], proxy.weights).astype(np.float32)
    carried = np.clip(carried, 0.0, None)
    carried /= np.maximum(carried.sum(axis=1, keepdims=True), 1e-6)
    return moves, carried


@lru_cache(maxsize=1)
def _head_skin() -> tuple[np.ndarray, np.ndarray]:
    """Return triangles and atlas coordinates of the head's skin."""
    triangles, atlas, region, _, _ = _base()
    head = region == REGIONS.index("head")
    return triangles[head], atlas[head]


@lru_cache(maxsize=16)
def _skin(name: str) -> np.ndarray:
    """Return a skin texture with uniform lids."""
    triangles, atlas, region, deltas, _ = _base()
    blink = sum(deltas[EXPRESSIONS.index(f"eyeBlink{side}")] for side in ("Left", "Right"))
    head = region == REGIONS.index("head")
    return even_lids(load_texture(name, SKIN_PX), lid_mask(triangles[head], atlas[head], np.linalg.norm(blink, axis=1)))


def tucked(body: np.ndarray, triangles: np.ndarray, clothes: Proxy) -> np.ndarray:
    """Move the body ``[19158, 3]`` inwards by some millimetres where skin is below clothes or close to them."""
    from scipy.spatial import cKDTree

    normals = vertex_normals(body, triangles)
    cloth = clothes.fit(body)
    outward = vertex_normals(cloth, clothes.faces)
    distance, nearest = cKDTree(cloth).query(body)
    above = np.einsum("vc,vc->v", body - cloth[nearest], outward[nearest])
    depth = np.clip(above + TUCK_M, 0.0, 2.0 * TUCK_M) * np.clip(2.0 - distance / TUCK_REACH_M, 0.0, 1.0)
    return np.asarray(body - normals * depth[:, None], dtype=body.dtype)


def _eye_center(rest: np.ndarray) -> tuple[np.ndarray, float]:
    """Return centre ``[3]`` and radius of the eyeball whose front hemisphere is given."""
    low, high = rest.min(axis=0), rest.max(axis=0)
    radius = float((high[:2] - low[:2]).max() / 2)
    return np.array([*(low + high)[:2] / 2, high[2]]), radius


def part_transforms(joints: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Compute camera-from-rest rotations ``[3, 3, 3]`` and translations ``[3, 3]`` of torso, neck and head."""
    from scipy.spatial.transform import Rotation

    body, neck, head = (
        Rotation.from_rotvec(v).as_matrix() for v in (pose.body_rotvec, pose.neck_rotvec, pose.head_rotvec)
    )
    neck_rotation = body @ neck
    head_rotation = neck_rotation @ head
    neck_shift = body @ joints[0] + pose.body_translation - neck_rotation @ joints[0]
    head_shift = neck_rotation @ joints[1] + neck_shift - head_rotation @ joints[1]
    rotations = np.stack((body, neck_rotation, head_rotation))
    return rotations.astype(np.float32), np.stack((pose.body_translation, neck_shift, head_shift)).astype(np.float32)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Compute area-weighted unit normals ``[V, 3]``."""
    a, b, c = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
    cross = np.cross(b - a, c - a)
    corner = faces.T.reshape(-1)
    summed = np.stack(
        [np.bincount(corner, np.tile(cross[:, axis], 3), minlength=len(vertices)) for axis in range(3)], axis=1
    )
    return (summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)).astype(np.float32)
