"""How far a ranking depends on the CLIP that judges: ranks by the usual CLIP against ranks by the judge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from emo_bench.metrics.judged import JUDGED
from reports.numbers import metric_label
from reports.ranking import Group, rank_rows
from reports.rows import Row, row_names

# A note names at most so many pairs of methods.
NAMED_PAIRS = 6


def judge_notes(group: Group) -> list[str]:
    """Say for each metric with a judge how far both CLIPs agree on the order of the methods, in one sentence each.

    The order is that of the means over subjects if there are several subjects, and methods that ran on all of them.
    """
    pairs = [(metric, f"{metric}{JUDGED}") for metric in group.metrics if f"{metric}{JUDGED}" in group.metrics]
    return [note for metric, judged in pairs if (note := _note(group, metric, judged))]


def kendall_tau(ranks: Sequence[int], others: Sequence[int]) -> float:
    """Return Kendall's tau-b of two rankings of the same things: 1 for the same order, -1 for the reverse.

    It is NaN if a ranking puts all of them in one place.
    """
    from scipy.stats import kendalltau

    return float(kendalltau(ranks, others).statistic)


def _note(group: Group, metric: str, judged: str) -> str:
    found = [
        _tau(by_metric, by_judge)
        for rows in group.subjects
        if len(by_metric := rank_rows(rows, metric)) > 1 and len(by_judge := rank_rows(rows, judged)) > 1
    ]
    known = [tau for tau in found if not math.isnan(tau)]
    averages = group.averages
    if len(averages) > 1:
        names = _distinct([average.first for average in averages])
        ranks = [{i: r for i, a in enumerate(averages) if (r := a.ranks[m]) is not None} for m in (metric, judged)]
        where = f", on the mean over {len(group.subjects)} subjects"
    elif len(group.subjects) == 1:
        rows = group.subjects[0]
        names, ranks, where = _distinct(rows), [rank_rows(rows, m) for m in (metric, judged)], ""
    else:
        names, ranks, where = [], [{}, {}], ""
    about = f"{metric_label(metric)} and {metric_label(judged)}"
    several = _span(known) if len(known) > 1 else ""
    both = sorted(ranks[0].keys() & ranks[1].keys())
    if len(both) < 2:
        return f"{about} order the methods of one subject with Kendall's tau {several}." if several else ""
    tau = _tau(*ranks)
    agreed = "undefined" if math.isnan(tau) else f"{tau:.2f}"
    told = _swapped(ranks[0], ranks[1], names)
    single = f" On single subjects it is {several}." if several else ""
    return f"{about} order {len(both)} methods with Kendall's tau {agreed}{where}{told}.{single}"


def _tau(ranks: Mapping[int, int], others: Mapping[int, int]) -> float:
    both = sorted(ranks.keys() & others.keys())
    return kendall_tau([ranks[i] for i in both], [others[i] for i in both]) if len(both) > 1 else math.nan


def _swapped(ranks: Mapping[int, int], others: Mapping[int, int], names: Sequence[str]) -> str:
    """Say which pairs the two rankings put in opposite orders."""
    both = sorted(ranks.keys() & others.keys(), key=lambda i: ranks[i])
    swapped = [(i, k) for i, k in combinations(both, 2) if (ranks[i] - ranks[k]) * (others[i] - others[k]) < 0]
    if not swapped:
        return ""
    listed = "; ".join(f"{names[i]} and {names[k]}" for i, k in swapped[:NAMED_PAIRS])
    more = f"; and {len(swapped) - NAMED_PAIRS} more" if len(swapped) > NAMED_PAIRS else ""
    return f". They put {len(swapped)} of {math.comb(len(both), 2)} pairs in opposite orders: {listed}{more}"


def _span(taus: Sequence[float]) -> str:
    least, most = f"{min(taus):.2f}", f"{max(taus):.2f}"
    return least if least == most else f"{least} to {most}"


def _distinct(rows: Sequence[Row]) -> list[str]:
    names = row_names(rows)
    return [names[row] for row in rows]
