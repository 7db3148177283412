"""Krippendorff's alpha against his published example and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emo_bench.statistics.agreement import Level, krippendorff_alpha

N = np.nan
# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C: four observers, twelve units.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(level: Level, alpha: float) -> None:
    assert krippendorff_alpha(PUBLISHED, level) == pytest.approx(alpha, abs=0.0005)


def test_binary_data_without_gaps() -> None:
    """The same paper's section A: two observers, ten units, 0.095."""
    first, second = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff_alpha([first, second], "nominal") == pytest.approx(0.095, abs=0.0005)


ratings = arrays(np.float64, (4, 6), elements=st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, np.nan]))


@given(ratings, st.permutations(range(4)), st.permutations(range(6)))
def test_order_of_raters_and_units_does_not_matter(table: np.ndarray, raters: list[int], units: list[int]) -> None:
    alpha, moved = krippendorff_alpha(table), krippendorff_alpha(table[raters][:, units])
    assert (np.isnan(alpha) and np.isnan(moved)) or moved == pytest.approx(alpha)
    assert np.isnan(alpha) or alpha <= 1 + 1e-12


@given(arrays(np.float64, 6, elements=st.sampled_from([1.0, 3.0, 4.0])), st.integers(2, 5))
def test_full_agreement_is_one(values: np.ndarray, raters: int) -> None:
    alpha = krippendorff_alpha(np.tile(values, (raters, 1)))
    assert alpha == pytest.approx(1.0) if len(set(values)) > 1 else np.isnan(alpha)


def test_chance_is_near_zero() -> None:
    table = np.random.default_rng(0).integers(1, 6, (12, 400))
    assert abs(krippendorff_alpha(table)) < 0.02


def test_what_cannot_be_compared_has_none() -> None:
    assert np.isnan(krippendorff_alpha([[1, np.nan], [np.nan, 2]]))
    assert np.isnan(krippendorff_alpha([[np.nan], [np.nan]]))
    with pytest.raises(ValueError, match="1-dimensional"):
        krippendorff_alpha([1, 2, 3])
