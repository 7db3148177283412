"""How well the person is cut out before hard backgrounds: the network of ``actors add``, and GrabCut by colours alone.

    EMO_BENCH_MAKEHUMAN=FOLDER python benchmarks/cut_out.py [--people 8 --frames 6 --sheet cut_out.png]

The studio renders people whose share of each pixel is exact, before walls, bricks, shelves, leaves, in the dark, and
before walls and a pillar above the head whose colours are drawn from the person's own skin, clothes and hair. All
pictures have a camera's noise and are compressed (JPEG). Both ways get the same true head. GrabCut learns the colours
of one video once, as ``actors add`` did before it had a network.
docs/tracking.md has the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.actors.capture import block_means, resize_area
from emo_bench.actors.foreground import BELIEVED, Place
from emo_bench.actors.person_cutter import NETWORK_PX, PersonCutter
from emo_bench.system import opencv as cv2
from emo_bench.tracking.head_rig import load_head_rig
from emo_bench.tracking.silhouette import silhouette
from factory.studio.actors import CENTER_PX, FOCAL_PX, HOME_M, SIZE_PX
from factory.studio.casting import random_person
from factory.studio.framing import landmarks_camera_m, project_px
from factory.studio.motion import talking_motion
from factory.studio.scene import Person, Pose

MASK_PX = 128
FPS, STEP = 25, 5
KINDS = ("wall", "bricks", "shelf", "dark", "leaves", "like skin", "like clothes", "hair pillar")
NOISE_LEVELS, JPEG_QUALITY, BLOCK_PX = 3.0, 75, 4
GAMMA = 2.2
KINDS_A_PERSON = 2
CHIN, EARS = 8, (0, 16)


@dataclass(frozen=True)
class Scene:
    """One video: frames ``[S, S, 3]`` uint8, the true shares ``[MASK_PX, MASK_PX]``, and where the head is."""

    kind: str
    frames: list[np.ndarray]
    truths: list[np.ndarray]
    places: list[Place]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--frames", type=int, default=6, help="frames of each of a person's two videos")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--sheet", type=Path, help="PNG: frame, truth, GrabCut, network")
    options = parser.parse_args()
    rows: dict[str, list[np.ndarray]] = {}
    beliefs: list[np.ndarray] = []
    strips = []
    for scene in scenes(options.people, options.frames, np.random.default_rng(options.seed)):
        by_colours = grab_cut(scene)
        cutter = PersonCutter()
        pictures = {i: resize_area(frame, NETWORK_PX) for i, frame in enumerate(scene.frames)}
        cuts = list(cutter.learn(pictures, dict(enumerate(scene.places))).values())
        for truth, colours, cut, place in zip(scene.truths, by_colours, cuts, scene.places, strict=True):
            rows.setdefault(scene.kind, []).append(
                np.array([*score(colours.astype(np.float32), truth, place), *score(cut.shares, truth, place)])
            )
            beliefs.append(np.array([cut.hair, cut.shoulders, *halves(cut.mask, truth, place)]))
        shown = (scene.truths[0], by_colours[0], cuts[0].shares)
        strips.append(
            np.concatenate([resize_area(scene.frames[0], SIZE_PX), *(green(scene.frames[0], s) for s in shown)], 1)
        )
    print(f"{'':14}{'':8}{'GrabCut:':>10}{'hair':>8}{'MAE':>8}{'network:':>10}{'hair':>8}{'MAE':>8}")
    print(f"{'background':14}{'frames':>8}{'IoU':>10}{'IoU':>8}{'':8}{'IoU':>10}{'IoU':>8}")
    for kind in KINDS:
        if kind in rows:
            show(kind, rows[kind])
    show("all", [row for several in rows.values() for row in several])
    for name, own, true in (("above the ears", 0, 2), ("below the chin", 1, 3)):
        table = np.array(beliefs)
        told(name, table[:, own], table[:, true])
    if options.sheet:
        middle = (len(strips) + 1) // 2
        strips += [np.zeros_like(strips[0])] * (2 * middle - len(strips))
        sheet = np.concatenate([np.concatenate(strips[:middle]), np.concatenate(strips[middle:])], axis=1)
        cv2.imwrite(str(options.sheet), sheet[..., ::-1])


def scenes(people: int, frames: int, rng: np.random.Generator) -> Iterator[Scene]:
    """Render two videos of each person, each before another background."""
    for number in range(people):
        spec, _ = random_person(rng)
        person = Person(spec)
        motion = talking_motion(frames * STEP + 60, FPS, seed=number, home_m=HOME_M)
        poses = [motion.pose(30 + STEP * k) for k in range(frames)]
        for k in range(KINDS_A_PERSON):
            kind = KINDS[(KINDS_A_PERSON * number + k) % len(KINDS)]
            yield film(person, poses, kind, backdrop(kind, rng, person, poses[0]), rng)


def film(person: Person, poses: Sequence[Pose], kind: str, wall: np.ndarray, rng: np.random.Generator) -> Scene:
    pictures, truths, places = [], [], []
    for pose in poses:
        picture, coverage = render(person, pose, wall)
        noisy = np.clip(picture + rng.normal(0.0, NOISE_LEVELS, picture.shape), 0, 255).astype(np.uint8)
        _, packed = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        pictures.append(cv2.imdecode(packed, cv2.IMREAD_COLOR))
        truths.append(cv2.resize(coverage, (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA))
        places.append(place_of(person, pose))
    return Scene(kind, pictures, truths, places)


def render(person: Person, pose: Pose, wall: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return person.tracer.render(*person.posed(pose), person.spec.light, wall, FOCAL_PX, CENTER_PX, samples=4)


def place_of(person: Person, pose: Pose) -> Place:
    """Return where the true head is, as ``actors add`` finds it from the track."""
    import torch

    from emo_bench.tracking.head_rig import pose_head

    rig, scale = load_head_rig(), MASK_PX / SIZE_PX
    motion = (pose.expression, pose.body_rotvec, pose.body_translation, pose.neck_rotvec, pose.head_rotvec)
    vertices = pose_head(
        rig, person.head, *(torch.from_numpy(np.asarray(one, dtype=np.float32)[None]) for one in motion)
    )[0].numpy()
    points = np.concatenate((vertices, vertices[rig.faces].mean(axis=1)))
    center = (CENTER_PX[0] * scale, CENTER_PX[1] * scale)
    surface = silhouette(project_px(points, FOCAL_PX * scale, center), MASK_PX)
    from emo_bench.tracking.landmarks import landmarks68_of

    landmarks = landmarks68_of(project_px(landmarks_camera_m(person.head, pose), FOCAL_PX * scale, center))
    return Place(surface, chin_y=float(landmarks[CHIN, 1]), ears_y=float(landmarks[EARS, 1].min()))


def backdrop(kind: str, rng: np.random.Generator, person: Person, pose: Pose) -> np.ndarray:
    """Draw a background, linear RGB ``[S, S, 3]`` float32."""
    side = SIZE_PX
    if kind == "wall":
        return person.spec.background.paint(side)
    if kind == "bricks":
        wall = bricks(rng, side)
    elif kind == "shelf":
        wall = shelf(rng, side)
    elif kind == "dark":
        wall = clouds(rng, side, (3, 8), 0.005, 0.05)
    elif kind == "leaves":
        wall = clouds(rng, side, (5, 20, 60), 0.0, 0.5) * np.array([0.6, 1.0, 0.4])
    else:
        wall = like_person(kind, rng, person, pose)
    return np.clip(wall, 0.004, 0.95).astype(np.float32)


def like_person(kind: str, rng: np.random.Generator, person: Person, pose: Pose) -> np.ndarray:
    """Draw a wall of blocks whose colours are those of pixels of a part of the person."""
    side = SIZE_PX
    plain = np.full((side, side, 3), 0.5, dtype=np.float32)
    picture, coverage = render(person, pose, plain)
    inside, rows = coverage > 0.99, np.arange(side)[:, None]
    place = place_of(person, pose)
    ears, chin = (y * side / MASK_PX for y in (place.ears_y, place.chin_y))
    top = int(np.flatnonzero(inside.any(axis=1))[0])
    parts = {
        "like skin": inside & (rows > ears) & (rows < chin) & (np.abs(np.arange(side) - side / 2) < side / 4),
        "like clothes": inside & (rows > 0.9 * side),
        "hair pillar": inside & (rows < top + side // 10),
    }
    colours = (picture[parts[kind]] / 255.0) ** GAMMA
    small = side // BLOCK_PX
    drawn = cv2.resize(colours[rng.integers(len(colours), size=(small, small))], (side, side))
    if kind != "hair pillar":
        return np.asarray(drawn)
    middle, half = int(np.flatnonzero(parts[kind].any(axis=0)).mean()), side // 10
    plain[: side // 2, middle - half : middle + half] = drawn[: side // 2, middle - half : middle + half]
    return plain


def clouds(rng: np.random.Generator, side: int, grids: Sequence[int], low: float, high: float) -> np.ndarray:
    layers = [rng.uniform(low, high, (grid, grid, 3)) for grid in grids]
    return np.mean([cv2.resize(layer, (side, side), interpolation=cv2.INTER_CUBIC) for layer in layers], axis=0)


def bricks(rng: np.random.Generator, side: int) -> np.ndarray:
    wall = np.full((side, side, 3), rng.uniform(0.2, 0.5))
    height = side // int(rng.integers(10, 20))
    width = 3 * height
    for row in range(side // height + 1):
        for column in range(-1, side // width + 2):
            left = column * width + (row % 2) * width // 2
            colour = np.array([0.35, 0.12, 0.07]) * rng.uniform(0.5, 1.5)
            wall[row * height + 1 : row * height + height - 1, max(left + 1, 0) : max(left + width - 1, 0)] = colour
    return wall


def shelf(rng: np.random.Generator, side: int) -> np.ndarray:
    wall = np.full((side, side, 3), 0.05)
    height = side // int(rng.integers(3, 6))
    for top in range(0, side, height):
        left = 0
        while left < side:
            width, gap = int(rng.integers(side // 40 + 2, side // 14)), int(rng.uniform(0.0, 0.35) * height)
            wall[top + gap : top + height - 4, left : left + width - 1] = rng.uniform(0.01, 0.6, 3)
            left += width
        wall[top + height - 4 : top + height] = (0.25, 0.14, 0.06)
    return wall


def grab_cut(scene: Scene) -> list[np.ndarray]:
    """Cut by colours alone (Rother et al., SIGGRAPH 2004), as ``actors add`` did before it had a network."""
    small = [block_means(frame, SIZE_PX // MASK_PX) for frame in scene.frames]
    background, person = np.zeros((1, 65)), np.zeros((1, 65))
    bare: Any = None
    labels = np.concatenate([trimap(place, 0.05) for place in scene.places])
    mosaic = np.ascontiguousarray(np.concatenate(small))
    cv2.grabCut(mosaic, labels, bare, background, person, 4, cv2.GC_INIT_WITH_MASK)
    masks = []
    for picture, place in zip(small, scene.places, strict=True):
        guess = trimap(place, np.inf)
        certain = guess == cv2.GC_FGD
        cv2.grabCut(picture, guess, bare, background, person, 1, cv2.GC_EVAL_FREEZE_MODEL)
        mask = ((guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD) | certain).astype(np.uint8)
        _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        masks.append(parts == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax()))
    return masks


def trimap(place: Place, certain_clothes: float) -> np.ndarray:
    """Return GrabCut's labels: the rig is probably the person, its depth certainly, what is far away certainly not."""
    labels = np.full(place.surface.shape, cv2.GC_PR_BGD, dtype=np.uint8)
    labels[place.away > 0.22] = cv2.GC_BGD
    labels[(place.away < 0.08) & place.below_chin] = cv2.GC_PR_FGD
    labels[place.body] = cv2.GC_PR_FGD
    labels[(place.depth > 0.03) & ~place.below_chin] = cv2.GC_FGD
    labels[(place.depth > certain_clothes) & place.below_chin] = cv2.GC_FGD
    return labels


def score(shares: np.ndarray, truth: np.ndarray, place: Place) -> tuple[float, float, float]:
    """Return the intersection over union of the halved masks, that above the ears, and the shares' mean error."""
    mask = shares >= 0.5
    return overlap(mask, truth >= 0.5), halves(mask, truth, place)[0], float(np.abs(shares - truth).mean())


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))


def halves(mask: np.ndarray, truth: np.ndarray, place: Place) -> tuple[float, float]:
    """Return the overlap above the ears and below the chin."""
    ears, chin = round(place.ears_y), round(place.chin_y)
    return overlap(mask[:ears], truth[:ears] >= 0.5), overlap(mask[chin:], truth[chin:] >= 0.5)


def show(kind: str, rows: Sequence[np.ndarray]) -> None:
    numbers = np.mean(rows, axis=0)
    print(
        f"{kind:14}{len(rows):8}"
        + "".join(f"{number:{10 if k % 3 == 0 else 8}.3f}" for k, number in enumerate(numbers))
    )


def told(part: str, belief: np.ndarray, overlaps: np.ndarray) -> None:
    """Print what a belief says about the true overlap."""
    believed = belief >= BELIEVED
    line = f"{part}: {believed.sum()} of {len(belief)} masks are believed"
    for name, chosen in (("believed", believed), ("others", ~believed)):
        if chosen.any():
            line += f"; {name}: mean IoU {overlaps[chosen].mean():.3f}, worst {overlaps[chosen].min():.3f}"
    print(line)


def green(frame: np.ndarray, shares: np.ndarray) -> np.ndarray:
    soft = cv2.resize(shares.astype(np.float32), frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    return np.asarray((frame * soft + np.array((0, 160, 0)) * (1.0 - soft)).astype(np.uint8))


if __name__ == "__main__":
    main()
