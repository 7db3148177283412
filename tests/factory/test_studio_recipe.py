"""Gaussian codes against scipy's tests of normality, and recipes against what the supply rendered."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from emo_bench.errors import UserError
from factory.studio.gaussian_code import code_labels, code_numbers, principal, uncorrelated

SHARED = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))
needs_studio = [
    pytest.mark.skipif(
        not (SHARED / "makehuman" / "skins").is_dir(), reason="MakeHuman's assets are not beside the checkout"
    ),
    pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="anny is not installed"),
]


def table(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sex, a hair style that depends on it, and heights that depend on sex."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(("f", "m"), count)
    hair = np.where(rng.random(count) < np.where(sex == "f", 0.8, 0.1), "long", "short")
    return sex, hair, rng.gamma(2.0, 1.0, count) + 3.0 * (sex == "m")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_codes_are_normal_whatever_the_group_and_give_the_table_back(seed: int) -> None:
    sex, hair, height = table(2000, seed)
    everyone = np.full(2000, "")
    coded = np.concatenate(
        [
            code_labels(sex, everyone, np.random.default_rng(seed)),
            code_labels(hair, sex, np.random.default_rng(seed + 1)),
            code_numbers(height[:, None], sex),
        ],
        axis=1,
    )
    for column in coded.T:
        assert stats.kstest(column, "norm").statistic < 0.06
    for group in ("f", "m"):
        rows = sex == group
        assert abs(coded[rows, 1].mean()) < 0.25 and abs(coded[rows, 2].mean()) < 0.02
        # Within a group the label is a threshold of its code, the number a monotone function of it.
        long, short = coded[rows & (hair == "long"), 1], coded[rows & (hair == "short"), 1]
        assert long.max() <= short.min()
        assert stats.spearmanr(coded[rows, 2], height[rows]).statistic == pytest.approx(1.0)
    assert coded[sex == "f", 0].max() <= coded[sex == "m", 0].min()


def test_equal_numbers_share_a_code() -> None:
    coded = code_numbers(np.array([[1.0], [1.0], [2.0], [3.0]]), np.full(4, ""))
    assert coded[0] == coded[1] < coded[2] < coded[3]


def test_uncorrelated_columns_and_principal_components_are_numpys() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4)) + 5.0
    off_diagonal = np.corrcoef(uncorrelated(values).T) - np.eye(4)
    assert np.abs(off_diagonal).max() < 1e-9
    assert np.allclose(uncorrelated(values)[:, 0], values[:, 0] - values[:, 0].mean())
    singular = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    assert np.allclose(np.linalg.norm(principal(values, 3), axis=0), singular[:3])


class TestWithTheStudio:
    pytestmark = needs_studio

    def test_recipes_are_what_the_supply_rendered(self) -> None:
        from factory.studio.recipe import person_recipes
        from factory.studio.supply import render_person

        pictures, rows = render_person(11, 32, count=2)
        recipes = person_recipes(11, 2)
        assert len(recipes) == len(pictures) == 2
        for recipe, row in zip(recipes, rows, strict=True):
            assert recipe.labels["sex"] == row["sex"] and recipe.labels["beard"] == row["beard"]
            assert recipe.numbers["turn"] * (40.0, 25.0) == pytest.approx([row["yaw_deg"], row["pitch_deg"]])
            assert recipe.numbers["expression"] == pytest.approx(row["expression"])
            assert recipe.numbers["hair_tint"] ** 2 == pytest.approx(row["hair_rgb"])
            # FFHQ's crop puts the middle of the eyes above the middle of the picture.
            eyes = recipe.numbers["landmarks"].reshape(68, 2)[36:48].mean(axis=0)
            assert -0.4 < eyes[1] < 0.0
        assert recipes[0].numbers["shape"] == pytest.approx(recipes[1].numbers["shape"])
        assert not np.allclose(recipes[0].numbers["wall"], recipes[1].numbers["wall"])

    def test_describing_a_bank(self, tmp_path: Path) -> None:
        import pandas as pd

        from factory.studio.recipe import describe_bank

        bank = tmp_path / "heads.npy"
        with pytest.raises(UserError, match=r"heads\.parquet is missing"):
            describe_bank(bank, 1)
        pd.DataFrame({"person": [5, 5, 9, 9, 12]}).to_parquet(tmp_path / "heads.parquet")
        out = describe_bank(bank, 1)
        assert out == tmp_path / "heads.recipe.npz"
        with np.load(out) as content:
            recipe, code = content["recipe"], content["code"]
        assert len(recipe) == len(code) == 5 and recipe.dtype == code.dtype == np.float32
        assert np.isfinite(recipe).all() and np.isfinite(code).all()
        assert len(np.unique(recipe, axis=0)) == 5
