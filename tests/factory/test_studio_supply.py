"""The supply of heads: the same bytes whatever the workers, and attributes that the pictures bear out."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from emo_bench.errors import UserError
from emo_bench.tracking.landmarks import Detection, Landmarker

SHARED = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))
pytestmark = [
    pytest.mark.skipif(
        not (SHARED / "makehuman" / "skins").is_dir(), reason="MakeHuman's assets are not beside the checkout"
    ),
    pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="anny is not installed"),
]


def detect(landmarker: Landmarker, picture: np.ndarray) -> Detection | None:
    return landmarker.detect(np.repeat(np.repeat(picture, 3, axis=0), 3, axis=1))


def test_a_bank_has_the_same_bytes_whatever_the_workers_and_interruptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    import pandas as pd

    from factory.studio import supply
    from factory.studio.supply import POSES_PER_PERSON, BankPlan, make_bank, render_person

    plan = BankPlan(people=3, size_px=32, seed=4)
    out = tmp_path / "bank.npy"
    make_bank(out, plan, processes=2)
    bank, table = np.load(out), pd.read_parquet(out.with_suffix(".parquet"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank.npy", "bank.parquet"]
    assert len(table) == len(bank) == 3 * POSES_PER_PERSON
    alone = [render_person(plan.person_seed(person), 32)[0] for person in range(3)]
    assert np.array_equal(bank, np.concatenate(alone))
    # As a kill leaves it: two people are known, the third's pictures and half a line are rubbish.
    torn = bank.copy()
    torn[2 * POSES_PER_PERSON :] = 9
    again = tmp_path / "again.npy"
    np.save(tmp_path / ".again.part.npy", torn)
    header = json.dumps({"people": 3, "size_px": 32, "seed": 4, "poses": POSES_PER_PERSON})
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    lines = [json.dumps(rows[k : k + POSES_PER_PERSON]) for k in (0, POSES_PER_PERSON)]
    unfinished = tmp_path / ".again.part.jsonl"
    unfinished.write_text("\n".join([header, *lines, '[{"row": 12, "per']))
    with pytest.raises(UserError, match="unfinished bank of another plan"):
        make_bank(again, BankPlan(people=3, size_px=32, seed=5), processes=1)
    # In this process: another worker would only take seconds to start.
    monkeypatch.setattr(supply, "_results", lambda tasks, _: (render_person(*task) for task in tasks))
    make_bank(again, plan, processes=1)
    assert np.array_equal(np.load(again), bank)
    assert list(pd.read_parquet(again.with_suffix(".parquet")).person) == list(table.person)


def test_attributes_agree_with_what_mediapipe_sees() -> None:
    from emo_bench.tracking.head_rig import EXPRESSIONS
    from factory.studio.supply import render_person

    landmarker = Landmarker()
    smile = EXPRESSIONS.index("mouthSmileLeft")
    seen, turns, eyes, smiles = 0, [], [], []
    for seed in (31, 32, 33, 34, 35, 36):
        pictures, rows = render_person(seed, 128, count=4)
        for picture, row in zip(pictures, rows, strict=True):
            assert picture.std() > 12, "no picture is empty"
            assert abs(float(str(row["yaw_deg"]))) <= 40 and abs(float(str(row["pitch_deg"]))) <= 25
            found = detect(landmarker, picture)
            if found is None:
                continue
            seen += 1
            marks = found.landmarks478 / 384
            nose = marks[1, 0] - (marks[234, 0] + marks[454, 0]) / 2
            turns.append((row["yaw_deg"], nose))
            eyes.append(found.landmarks68[36:48].mean(axis=0) / 384)
            smiles.append((row["smile"], found.expression[smile]))
    assert seen >= 22, "MediaPipe finds nearly every face"
    yaw, nose = np.array(turns).T
    clear = np.abs(yaw) > 12
    assert (np.sign(yaw[clear]) == np.sign(nose[clear])).all()
    assert np.corrcoef(yaw, nose)[0, 1] > 0.9
    assert np.abs(np.array(eyes) - (0.5, 0.46)).max() < 0.12, "FFHQ puts the eyes near the middle"
    assert np.corrcoef(np.array(smiles).T)[0, 1] > 0.6


def test_hair_colour_is_that_of_the_pixels_above_the_forehead() -> None:
    from factory.studio.casting import HAIR_COLOURS, random_person
    from factory.studio.supply import render_person

    landmarker = Landmarker()
    wanted = {"black", "red", "grey"}
    assert wanted < set(HAIR_COLOURS)
    colours: dict[str, np.ndarray] = {}
    for seed in range(200, 400):
        _, traits = random_person(np.random.default_rng((seed, 7)))
        if traits.hair_colour not in wanted - set(colours) or traits.hair_style != "short":
            continue
        pictures, _ = render_person(seed, 128, count=2)
        found = [detect(landmarker, picture) for picture in pictures]
        for picture, face in zip(pictures, found, strict=True):
            if face is None:
                continue
            top, chin = face.landmarks478[[10, 152]] / 3
            x, y = (top + 0.15 * (top - chin)).astype(int)
            if 2 <= x < 126 and 2 <= y < 126:
                colours[traits.hair_colour] = np.median(picture[y - 2 : y + 3, x - 2 : x + 3], axis=(0, 1))
                break
        if wanted == set(colours):
            break
    assert colours["black"].max() < 90
    assert colours["red"][0] > 1.4 * colours["red"][2]
    assert colours["grey"].min() > 90 and np.ptp(colours["grey"]) < 40


def test_the_shipped_actors_are_still_rendered_as_they_ship() -> None:
    from emo_bench.actors import load
    from factory.studio.actors import ACTORS, CENTER_PX, FOCAL_PX, FPS, FRAMES, HOME_M, SIZE_PX
    from factory.studio.motion import talking_motion
    from factory.studio.scene import Person

    person = Person(ACTORS["4"])
    pose = talking_motion(FRAMES, FPS, seed=104, home_m=HOME_M).pose(700)
    wall = person.spec.background.paint(SIZE_PX)
    picture, _ = person.tracer.render(*person.posed(pose), person.spec.light, wall, FOCAL_PX, CENTER_PX, samples=4)
    (shipped,) = load("4").frames([700])
    difference = picture.astype(float) - shipped
    assert 10 * np.log10(255**2 / np.mean(difference**2)) > 34, "only the video's compression lies between them"
    assert np.abs(difference.mean(axis=(0, 1))).max() < 2.0, "which shifts colours a little"
