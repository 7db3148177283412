"""Masks as people have them: each way of saving one means the same person, or is refused with what was seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFilter

from emo_bench.errors import UserError
from emo_bench.runs.frame_scoring import ScoreRequest, score_request
from emo_bench.video.lossless import write_lossless
from emo_bench.video.masks import HALF, open_masks

RNG = np.random.default_rng(3)
SIDE = 48
PERSON = np.zeros((SIDE, SIDE), bool)
PERSON[10:40, 8:30] = True
FRAMES = RNG.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
PREDICTED = np.clip(FRAMES.astype(int) + RNG.integers(-20, 20, FRAMES.shape), 0, 255).astype(np.uint8)


def folder_of(path: Path, *pictures: np.ndarray | Image.Image) -> Path:
    path.mkdir()
    for number, picture in enumerate(pictures):
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        image.save(path / f"{number}.png")
    return path


def inside(path: Path, labels: tuple[int, ...] = ()) -> np.ndarray:
    source = open_masks(path, labels)
    levels = np.stack(list(source.open()))
    assert levels.dtype == np.uint8 and (levels == levels[..., :1]).all() and len(levels) == len(source)
    return levels[..., 0] >= HALF


def palette_mask(background: tuple[int, int, int], person: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(PERSON.astype(np.uint8), "P")
    image.putpalette([*background, *person])
    return image


def cut_out(colour: np.ndarray) -> np.ndarray:
    return np.dstack((colour, PERSON.astype(np.uint8) * 255))


def levels_of(low: int, high: int) -> np.ndarray:
    return np.where(PERSON, high, low).astype(np.uint8)


WAYS = {
    "0/255": lambda: levels_of(0, 255),
    "0/1": lambda: levels_of(0, 1),
    "0/128": lambda: levels_of(0, 128),
    "bool": lambda: Image.fromarray(PERSON),
    "rgb": lambda: np.repeat(levels_of(0, 255)[..., None], 3, axis=2),
    "rgb 0/1": lambda: np.repeat(levels_of(0, 1)[..., None], 3, axis=2),
    "green on black": lambda: np.where(PERSON[..., None], (0, 255, 0), 0).astype(np.uint8),
    "blue on black": lambda: np.where(PERSON[..., None], (0, 0, 200), 0).astype(np.uint8),
    "palette": lambda: palette_mask((0, 0, 0), (128, 0, 0)),
    "palette of greys": lambda: palette_mask((0, 0, 0), (255, 255, 255)),
    "cut-out": lambda: cut_out(FRAMES[0]),
    "white cut-out": lambda: cut_out(np.full_like(FRAMES[0], 255)),
    "black cut-out": lambda: cut_out(np.zeros_like(FRAMES[0])),
    "mask with its own alpha": lambda: cut_out(np.repeat(levels_of(0, 255)[..., None], 3, axis=2)),
    "mask with full alpha": lambda: np.dstack((*[levels_of(0, 255)] * 3, np.full_like(levels_of(0, 1), 255))),
    "grey with alpha": lambda: Image.fromarray(np.dstack((FRAMES[0, ..., 0], levels_of(0, 255))), "LA"),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_saving_a_mask_means_the_same(tmp_path: Path, way: str) -> None:
    found = inside(folder_of(tmp_path / "m", WAYS[way]()))
    np.testing.assert_array_equal(found[0], PERSON)


@pytest.mark.parametrize("way", WAYS)
def test_scores_over_white_are_those_of_the_plain_mask(tmp_path: Path, way: str) -> None:
    frames, reference = folder_of(tmp_path / "f", *PREDICTED), folder_of(tmp_path / "r", *FRAMES)
    tables = [
        score_request(ScoreRequest(frames, reference, masks, ("psnr", "ssim"), background="white"))
        for masks in (
            folder_of(tmp_path / "plain", *[levels_of(0, 255)] * 3),
            folder_of(tmp_path / "other", *[WAYS[way]()] * 3),
        )
    ]
    assert np.isfinite(tables[0].to_numpy()).all()
    np.testing.assert_array_equal(tables[1].to_numpy(), tables[0].to_numpy())


@given(person=arrays(bool, (12, 12)).filter(lambda mask: mask.any()), high=st.sampled_from((1, 128, 200, 255)))
def test_two_levels_are_a_mask(tmp_path_factory: pytest.TempPathFactory, person: np.ndarray, high: int) -> None:
    assume(high in (1, 255) or not person.all())
    path = tmp_path_factory.mktemp("masks") / "m"
    np.testing.assert_array_equal(inside(folder_of(path, person.astype(np.uint8) * np.uint8(high)))[0], person)


def test_soft_masks_count_from_half_on_and_say_so(tmp_path: Path) -> None:
    soft = Image.fromarray(levels_of(0, 255)).filter(ImageFilter.GaussianBlur(2))
    source = open_masks(folder_of(tmp_path / "m", soft, soft))
    levels = np.stack(list(source.open()))[..., 0]
    np.testing.assert_array_equal(levels[0], np.asarray(soft))
    assert len(source.notes) == 1 and "128 and more" in source.notes[0]
    jpeg = tmp_path / "j"
    jpeg.mkdir()
    Image.fromarray(levels_of(0, 255)).save(jpeg / "0.jpg", quality=75)
    assert (inside(jpeg)[0] != PERSON).sum() <= 2


def test_a_mask_video_is_read(tmp_path: Path) -> None:
    write_lossless(tmp_path / "m.mkv", [np.repeat(levels_of(0, 255)[..., None], 3, axis=2)] * 2)
    np.testing.assert_array_equal(inside(tmp_path / "m.mkv"), np.stack([PERSON, PERSON]))


def label_map() -> np.ndarray:
    parts = levels_of(0, 1)
    parts[:10], parts[30:40, 8:30] = 17, 14
    return parts


REFUSED = {
    "label map": (label_map, r"0, 1, 14, 17.*--mask-labels"),
    "one faint level": (lambda: levels_of(0, 17), r"0, 17"),
    "two labels": (lambda: levels_of(1, 2), r"1, 2"),
    "labels with 255 as void": (lambda: np.where(RNG.random((SIDE, SIDE)) < 0.02, 255, label_map()).astype(np.uint8),
        "label map"),
    "trimap": (lambda: np.where(np.arange(SIDE)[:, None] < 16, 128, levels_of(0, 255)).astype(np.uint8), (
        r"0, 128, "
        r"255.*trimap"
    )),
    "constant grey": (lambda: levels_of(90, 90), "the value 90 alone"),
    "constant bright": (lambda: levels_of(200, 200), "the value 200 alone"),
    "photo": (lambda: FRAMES[0], r"colours"),
    "photo with full alpha": (lambda: np.dstack((FRAMES[0], levels_of(255, 255))), "colours"),
    "coloured labels": (lambda: palette_mask((0, 0, 255), (255, 0, 0)), "#0000ff, #ff0000"),
    "alpha and mask differ": (
        lambda: np.dstack((*[np.where(np.arange(SIDE)[None] < 20, levels_of(0, 255), 0).astype(np.uint8)] * 3,
            levels_of(0, 255))),
        "different masks",
    ),
    "half-transparent everywhere": (lambda: np.dstack((FRAMES[0], levels_of(100, 100))), "its alpha"),
    "grey photo": (lambda: Image.fromarray(FRAMES[0]).convert("L"), "values.*a photo"),
    "grey portrait on black": (
        lambda: np.where(PERSON, 40 + np.arange(SIDE)[:, None] * 4, 0).astype(np.uint8), "a photo, a depth map",
    ),
    "depth map": (lambda: np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1)), "a photo, a depth map"),
    "16 bits": (lambda: Image.fromarray(levels_of(0, 1).astype(np.uint16) * 65535), "16 bits"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_mask_is_refused_with_what_was_seen(tmp_path: Path, what: str) -> None:
    make, pattern = REFUSED[what]
    path = folder_of(tmp_path / "m", make())  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match=pattern) as caught:
        inside(path)
    assert "0.png" in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_named_labels_make_a_mask_of_a_label_map(tmp_path: Path) -> None:
    parts = label_map()
    path = folder_of(tmp_path / "m", parts)
    np.testing.assert_array_equal(inside(path, (1, 17))[0], np.isin(parts, (1, 17)))
    indexed = Image.fromarray(parts, "P")
    indexed.putpalette(list(RNG.integers(0, 256, 60, dtype=np.uint8).tobytes()))
    np.testing.assert_array_equal(inside(folder_of(tmp_path / "p", indexed), (14,))[0], parts == 14)
    with pytest.raises(UserError, match=r"0, 1, 14, 17 and none of the labels 3"):
        inside(path, (3,))
    with pytest.raises(UserError, match="is a colour picture, not a label map"):
        inside(folder_of(tmp_path / "c", FRAMES[0]), (3,))


@pytest.mark.parametrize(("ending", "how"), [("jpg", {"quality": 100}), ("webp", {"quality": 90})])
def test_labels_of_lossy_pictures_are_refused(tmp_path: Path, ending: str, how: dict[str, object]) -> None:
    """At edges a JPEG shows labels that were never there."""
    Image.fromarray(label_map()).save(tmp_path / f"0.{ending}", **how)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="keep no labels exactly"):
        inside(tmp_path, (1,))
    Image.fromarray(label_map()).convert("RGB").save(tmp_path / "1.webp", lossless=True, exif=b"Exif\0\0")
    (tmp_path / f"0.{ending}").unlink()
    np.testing.assert_array_equal(inside(tmp_path, (1,))[0], label_map() == 1)


def test_labels_of_a_video_say_what_it_must_be(tmp_path: Path) -> None:
    write_lossless(tmp_path / "m.mkv", [np.repeat(label_map()[..., None], 3, axis=2)])
    np.testing.assert_array_equal(inside(tmp_path / "m.mkv", (1,))[0], label_map() == 1)
    assert any("lossless" in note for note in open_masks(tmp_path / "m.mkv", (1,)).notes)


def test_another_level_or_colour_in_another_mask_is_another_label(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1\.png is a mask of 0 and 200, but .*0\.png is a mask of 0 and 150"):
        inside(folder_of(tmp_path / "g", levels_of(0, 150), levels_of(0, 200)))
    red, green = (palette_mask((0, 0, 0), colour) for colour in ((128, 0, 0), (0, 128, 0)))
    with pytest.raises(UserError, match=r"in the colour #008000, but .* in the colour #800000"):
        inside(folder_of(tmp_path / "c", red, green))


def test_all_masks_of_a_series_are_of_one_kind(tmp_path: Path) -> None:
    """A faint soft mask looks like one of 0 and 1; read alone it would be another person."""
    with pytest.raises(UserError, match=r"1\.png is a mask of 0 and 1, but .*0\.png is a mask of 0 to 255"):
        inside(folder_of(tmp_path / "m", levels_of(0, 255), levels_of(0, 1)))
    # Who fills the frame leaves no transparent pixel.
    whole = np.dstack((FRAMES[1], np.full((SIDE, SIDE), 255, np.uint8)))
    np.testing.assert_array_equal(inside(folder_of(tmp_path / "c", cut_out(FRAMES[0]), whole))[1], True)


@pytest.mark.parametrize("background", [None, "white"])
@pytest.mark.parametrize("way", ["black", "transparent", "one of three"])
def test_an_empty_mask_is_an_error_and_no_score(tmp_path: Path, way: str, background: str | None) -> None:
    empty = np.zeros((SIDE, SIDE), np.uint8)
    masks = {
        "black": [empty] * 3,
        "transparent": [np.dstack((FRAMES[0], empty))] * 3,
        "one of three": [levels_of(0, 255), empty, levels_of(0, 255)],
    }[way]
    request = ScoreRequest(
        folder_of(tmp_path / "f", *PREDICTED),
        folder_of(tmp_path / "r", *FRAMES),
        folder_of(tmp_path / "m", *masks),
        ("psnr",),
        background=background,
        region="foreground",  # type: ignore[arg-type]
    )
    with pytest.raises(UserError, match=r"frame [01] is empty"):
        score_request(request)


def test_masks_that_nothing_looks_at_are_refused(tmp_path: Path) -> None:
    frames = folder_of(tmp_path / "f", *PREDICTED)
    masks = folder_of(tmp_path / "m", *[levels_of(0, 1)] * 3)
    with pytest.raises(UserError, match="--masks: no score would use the masks"):
        score_request(ScoreRequest(frames, folder_of(tmp_path / "r", *FRAMES), masks, ("psnr",)))
