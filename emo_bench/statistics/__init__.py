"""Intervals of means, paired differences and agreement of raters."""

from emo_bench.statistics.confidence import Interval, mean_interval

__all__ = ["Interval", "mean_interval"]
