"""emo-bench score: folders, videos and runs, under conventions, with the numbers of the metrics themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from typer.testing import CliRunner

from emo_bench.cli.app import app
from emo_bench.errors import UserError
from emo_bench.metrics import score
from emo_bench.metrics.comparability import difference
from emo_bench.metrics.conventions import CONVENTIONS, find_convention
from emo_bench.metrics.preparing import lay_on, resized
from emo_bench.metrics.registry import metric_class
from emo_bench.runs.frame_scoring import ScoreRequest, long_form, score_request, write_scores
from emo_bench.runs.run_sources import face_mask
from emo_bench.video.lossless import write_lossless

RNG = np.random.default_rng(5)
FRAMES = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
NOISE = RNG.integers(-20, 20, FRAMES.shape)
REFERENCE = np.clip(FRAMES.astype(int) + NOISE, 0, 255).astype(np.uint8)
MASKS = np.zeros((20, 32, 32), dtype=bool)
MASKS[:, 8:24, 4:20] = True


def folder_of(path: Path, pictures: np.ndarray) -> Path:
    path.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / f"{number:03d}.png")
    return path


def request_of(tmp_path: Path, **how: object) -> ScoreRequest:
    frames = folder_of(tmp_path / "frames", FRAMES)
    reference = folder_of(tmp_path / "reference", REFERENCE)
    masks = None
    if {"region", "background", "convention"} & how.keys():
        masks = folder_of(tmp_path / "masks", MASKS.astype(np.uint8) * 255)
    return ScoreRequest(frames, reference, masks, **how)  # type: ignore[arg-type]


def test_a_folder_gets_the_scores_of_its_arrays(tmp_path: Path) -> None:
    metrics = ("psnr", "ssim", "sd")
    table = score_request(request_of(tmp_path, metrics=metrics))
    expected = score(FRAMES, REFERENCE, metrics=metrics)
    np.testing.assert_array_equal(table.to_numpy(), expected.to_numpy())
    assert list(table.index[:3]) == ["000", "001", "002"]


def test_a_video_gets_the_same_scores_as_a_folder(tmp_path: Path) -> None:
    request = request_of(tmp_path, metrics=("psnr",))
    write_lossless(tmp_path / "v.mkv", FRAMES)
    video = score_request(ScoreRequest(tmp_path / "v.mkv", request.reference, metrics=("psnr",)))
    np.testing.assert_array_equal(video["psnr"].to_numpy(), score_request(request)["psnr"].to_numpy())


def test_a_background_without_a_convention_cuts_both_sides(tmp_path: Path) -> None:
    table = score_request(request_of(tmp_path, metrics=("psnr",), background="white"))
    white = [np.where(MASKS[..., None], part, 255).astype(np.uint8) for part in (FRAMES, REFERENCE)]
    expected = [peak_signal_noise_ratio(b, a, data_range=255) for a, b in zip(*white, strict=True)]
    np.testing.assert_allclose(table["psnr"], expected)
    assert table.attrs["records"]["psnr"]["background"] == "white"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"region": "face"}, "^--region face needs masks of the face in the reference: give --masks$"),
        ({"background": "white"}, "^--background white needs masks of the person in the reference: give --masks$"),
        (
            {"convention": "insta-pytorch"},
            "^convention insta-pytorch needs masks of the person .* or reference pictures with an alpha channel$",
        ),
    ],
)
def test_what_needs_masks_is_named_as_the_user_gave_it(tmp_path: Path, how: dict[str, str], message: str) -> None:
    request = replace(request_of(tmp_path, metrics=("psnr",), **how), masks=None)
    with pytest.raises(UserError, match=message):
        score_request(request)


def test_a_convention_that_needs_masks_says_so(tmp_path: Path) -> None:
    request = request_of(tmp_path, metrics=("psnr",), convention="pointavatar")
    with pytest.raises(UserError, match="--masks"):
        score_request(ScoreRequest(request.frames, request.reference, None, ("psnr",), "pointavatar"))
    with pytest.raises(UserError, match="unknown convention"):
        find_convention("mine")
    with pytest.raises(UserError, match="unknown region"):
        score_request(ScoreRequest(request.frames, request.reference, request.masks, ("psnr",), region="ear"))


def test_every_convention_names_metrics_that_exist() -> None:
    for convention in CONVENTIONS:
        for name in convention.metrics:
            assert metric_class(name).info.id == name
        assert convention.source and convention.quirks


def test_files_hold_the_table_wide_and_long(tmp_path: Path) -> None:
    table = score_request(request_of(tmp_path, metrics=("psnr", "sd")))
    written = write_scores(table, tmp_path / "out")
    assert {path.name for path in written} == {
        "scores.parquet",
        "scores.csv",
        "scores_long.parquet",
        "scores_long.csv",
        "records.json",
    }
    wide = pandas.read_parquet(tmp_path / "out" / "scores.parquet")
    np.testing.assert_array_equal(wide["psnr"], table["psnr"])
    tall = pandas.read_csv(tmp_path / "out" / "scores_long.csv")
    assert len(tall) == 2 * len(table) == len(long_form(table))
    assert tall[tall.metric == "sd"]["score"].mean() == pytest.approx(table["sd"].mean())
    assert set(json.loads((tmp_path / "out" / "records.json").read_text())["records"]) == {"psnr", "sd"}


def test_frames_of_several_sizes_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", FRAMES[:2])
    Image.fromarray(FRAMES[0, :16]).save(folder / "002.png")
    with pytest.raises(UserError, match="several sizes"):
        score_request(ScoreRequest(folder, folder, metrics=("psnr",)))


def test_lay_on_and_resized() -> None:
    laid = lay_on(FRAMES, MASKS, "black")
    assert (laid[~MASKS] == 0).all() and (laid[MASKS] == FRAMES[MASKS]).all()
    assert lay_on(FRAMES, MASKS, "as filmed") is FRAMES
    assert resized(FRAMES, 16, "area").shape == (20, 16, 16, 3)
    np.testing.assert_allclose(resized(FRAMES, 16, "area").mean(), FRAMES.mean(), atol=1.0)
    assert resized(FRAMES[:, :16], 16, "area").shape == (20, 16, 16, 3)
    assert resized(FRAMES[:, :16], 32, "area").shape == (20, 16, 32, 3)


def test_face_mask_is_the_hull_of_the_landmarks() -> None:
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    disc = face_mask(np.stack((64 + 40 * np.cos(angle), 64 + 40 * np.sin(angle)), axis=1), 128)
    assert disc.sum() == pytest.approx(np.pi * 40**2, rel=0.05)


def test_the_command_prints_a_table_and_exits_with_2_on_bad_input(tmp_path: Path) -> None:
    request = request_of(tmp_path)
    arguments = ["score", str(request.frames), "--reference", str(request.reference)]
    result = CliRunner().invoke(app, [*arguments, "--metrics", "psnr,sd", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert "psnr" in result.stdout and "scores_long.csv" in result.stdout
    bad = CliRunner().invoke(app, [*arguments, "--source-prompt", "a man"])
    assert isinstance(bad.exception, UserError)


def test_identical_frames_are_counted_in_print_and_json(tmp_path: Path) -> None:
    """One identical frame of twelve makes the mean infinite."""
    changed = REFERENCE[:12].copy()
    changed[4] = FRAMES[4]
    frames, reference = folder_of(tmp_path / "f", FRAMES[:12]), folder_of(tmp_path / "r", changed)
    arguments = ["score", str(frames), "--reference", str(reference), "--metrics", "psnr,sd"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    others = np.delete(score(FRAMES[:12], changed, metrics=("psnr",))["psnr"].to_numpy(), 4).mean()
    assert f"(1 of 12 identical, the others {others:.4f})" in result.stdout
    assert "note: psnr: inf, 1 of 12 frames identical" in result.stdout
    kept = json.loads((tmp_path / "out" / "records.json").read_text())
    assert kept["identical"]["psnr"]["frames"] == 1
    assert kept["identical"]["psnr"]["others_mean"] == pytest.approx(others)
    assert "sd" not in kept["identical"]


def test_small_frames_are_scored_with_the_default_metrics(tmp_path: Path) -> None:
    frames = folder_of(tmp_path / "f", FRAMES[:3, :16, :16])
    reference = folder_of(tmp_path / "r", REFERENCE[:3, :16, :16])
    result = CliRunner().invoke(app, ["score", str(frames), "--reference", str(reference)])
    assert result.exit_code == 0, result.output
    table = score_request(ScoreRequest(frames, reference))
    assert np.isfinite(table[["psnr", "ssim", "sd"]].to_numpy()).all()
    for metric, record in table.attrs["records"].items():
        if table[metric].isna().all():
            reasons = (record["backend"]["detail"], *table.attrs["notes"])
            assert any("16x16" in reason or metric in reason for reason in reasons)


def test_mask_labels_are_an_option(tmp_path: Path) -> None:
    frames, reference = folder_of(tmp_path / "f", FRAMES[:3]), folder_of(tmp_path / "r", REFERENCE[:3])
    labels = folder_of(tmp_path / "labels", np.where(MASKS[:3], 17, 4).astype(np.uint8))
    plain = folder_of(tmp_path / "plain", MASKS[:3].astype(np.uint8) * 255)
    command = ["score", str(frames), "--reference", str(reference), "--metrics", "psnr", "--region", "foreground"]
    named = CliRunner().invoke(app, [*command, "--masks", str(labels), "--mask-labels", "17, 3"])
    assert named.exit_code == 0, named.output
    assert named.stdout == CliRunner().invoke(app, [*command, "--masks", str(plain)]).stdout
    for wrong in (["--mask-labels", "17"], ["--masks", str(labels), "--mask-labels", "x"], ["--masks", str(labels)]):
        assert isinstance(CliRunner().invoke(app, [*command, *wrong]).exception, UserError)


def test_masks_and_regions_without_an_effect_are_refused(tmp_path: Path) -> None:
    request = request_of(tmp_path, region="foreground", metrics=("psnr", "flmd"))
    arguments = ["score", str(request.frames), "--reference", str(request.reference)]
    masks = ["--masks", str(request.masks)]
    for wrong, message in (
        ([*masks, "--metrics", "psnr"], "--masks: no score would use the masks"),
        ([*masks, "--metrics", "niqe", "--region", "face"], "--masks: none of niqe can be restricted to a region"),
        ([*masks, "--convention", "emo-bench"], "--masks: no score would use the masks"),
    ):
        result = CliRunner().invoke(app, [*arguments, *wrong])
        assert isinstance(result.exception, UserError), wrong
        assert str(result.exception).startswith(message) and "\n" not in str(result.exception)
    # One metric that takes the region is enough, and a background changes every metric.
    records = score_request(request).attrs["records"]
    assert records["psnr"]["region"] == "foreground, by the given masks"
    assert (records["flmd"]["region"], records["flmd"]["masks_sha256"]) == ("full frame", None)
    laid = replace(request, metrics=("niqe",), region=None, background="white")
    assert score_request(laid).attrs["records"]["niqe"]["masks_sha256"] == records["psnr"]["masks_sha256"]


def test_a_region_and_its_background_are_labelled_as_what_they_are(tmp_path: Path) -> None:
    request = request_of(tmp_path, metrics=("psnr", "flmd"), region="face", background="white")
    table = score_request(request)
    psnr, flmd = (table.attrs["records"][name] for name in ("psnr", "flmd"))
    assert (psnr["region"], psnr["background"]) == ("face, by the given masks", "white outside the face")
    assert (flmd["region"], flmd["background"]) == ("full frame", "white outside the face")
    assert f"the masks of {request.masks} are taken as the face" in table.attrs["notes"]
    tall = long_form(table)
    assert set(tall["background"]) == {"white outside the face"}
    assert tall[tall.metric == "psnr"]["region"].unique().tolist() == ["face, by the given masks"]
    command = ["score", str(request.frames), "--reference", str(request.reference), "--masks", str(request.masks)]
    result = CliRunner().invoke(app, [*command, "--metrics", "psnr", "--region", "face", "--background", "white"])
    assert result.exit_code == 0, result.output
    assert "white outside the face" in result.stdout and "face, by the given masks" in result.stdout


def test_records_json_has_all_that_a_second_scoring_needs(tmp_path: Path) -> None:
    request = request_of(tmp_path, metrics=("psnr_global", "niqe"), region="foreground")
    write_scores(score_request(request), tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "records.json").read_text())
    record = kept["records"]["psnr_global"]
    assert (record["frames"], record["captions"], record["conditions"]) == ("0-19", {}, {})
    assert len(record["reference_sha256"]) == len(record["masks_sha256"]) == 64
    assert kept["sources"] == {
        "frames": str(request.frames), "reference": str(request.reference), "masks": str(request.masks),
    }  # fmt: skip
    assert (kept["asked"]["region"], kept["asked"]["detector"], kept["asked"]["captions"]) == (
        "foreground",
        "auto",
        None,
    )
    # The PSNR of the mean squared error inside the masks, computed here.
    errors = [np.square(a[m].astype(float) - b[m]).mean() for a, b, m in zip(FRAMES, REFERENCE, MASKS, strict=True)]
    assert kept["means"]["psnr_global"] == pytest.approx(10 * np.log10(255**2 / np.mean(errors)))
    assert kept["means"]["niqe"] == "nan" and "32x32" in kept["reasons"]["niqe"]
    assert kept["machine"]["emo_bench"]
    tall = pandas.read_csv(tmp_path / "out" / "scores_long.csv")
    assert tall[tall.metric == "niqe"]["reason"].str.contains("32x32").all()
    assert tall[tall.metric == "psnr_global"]["reason"].isna().all()


def test_other_masks_and_every_second_frame_have_other_records(tmp_path: Path) -> None:
    from emo_bench.metrics.comparability import difference

    request = request_of(tmp_path, metrics=("psnr",), region="foreground")
    other = folder_of(tmp_path / "others", np.roll(MASKS, 2, axis=2).astype(np.uint8) * 255)
    frames, reference, masks = (
        folder_of(tmp_path / f"half-{i}", part[::2])
        for i, part in enumerate((FRAMES, REFERENCE, MASKS.astype(np.uint8) * 255))
    )
    half = replace(request, frames=frames, reference=reference, masks=masks)
    first, moved, fewer = (
        score_request(one).attrs["records"]["psnr"] for one in (request, replace(request, masks=other), half)
    )
    assert str(difference(first, moved)).startswith("masks (SHA-256)")
    assert difference(first, fewer) is not None


def test_transparent_frames_are_named_and_not_ranked_with_opaque_ones(tmp_path: Path) -> None:
    alpha = np.where(MASKS, 255, 0).astype(np.uint8)
    opaque = np.full_like(alpha, 255)
    seen = alpha.copy()
    seen[:5] = 255
    reference = folder_of(tmp_path / "reference", REFERENCE)

    def scored(name: str, pictures: np.ndarray) -> pandas.DataFrame:
        return score_request(ScoreRequest(folder_of(tmp_path / name, pictures), reference, metrics=("psnr", "sd")))

    rgb, whole = scored("rgb", FRAMES), scored("whole", np.concatenate([FRAMES, opaque[..., None]], axis=3))
    np.testing.assert_array_equal(rgb.to_numpy(), whole.to_numpy())
    assert rgb.attrs["records"] == whole.attrs["records"] and not whole.attrs["notes"]
    # Also if only later frames are transparent.
    cut = scored("cut", np.concatenate([FRAMES, seen[..., None]], axis=3))
    on_black = np.where(seen[..., None] == 255, FRAMES, 0).astype(np.uint8)
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(REFERENCE, on_black, strict=True)]
    np.testing.assert_allclose(cut["psnr"], expected, rtol=1e-12)
    assert cut.attrs["notes"] == [f"the transparent parts of {tmp_path / 'cut'} are put on black"]
    for metric in ("psnr", "sd"):
        gap = difference(rgb.attrs["records"][metric], cut.attrs["records"][metric])
        assert gap == "background: 'as filmed' and \"as filmed, the frames' alpha on black\""
