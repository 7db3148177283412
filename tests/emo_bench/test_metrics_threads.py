"""Metrics side by side: the numbers of one thread, shared work done once, errors not lost, torch left as it was."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from emo_bench.actors import load
from emo_bench.metrics import Batch, Scorer
from emo_bench.metrics.batch import FramesU8
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.metrics.threads import Task, Threads


@pytest.fixture(scope="module")
def pairs() -> tuple[FramesU8, FramesU8]:
    """Twelve frames of actor 1 at 128 px, and the frames two later."""
    frames = np.stack(list(load("1").frames(range(14), size=128)))
    return frames[:12], frames[2:]


def table_of(threads: int, pairs: tuple[FramesU8, FramesU8], batch: int) -> np.ndarray:
    scorer = Scorer(("psnr", "st-lpips", "flmd", "expression_error", "warping_error", "ssim", "ms_ssim"))
    scorer._threads = Threads(threads)
    for start in range(0, len(pairs[0]), batch):
        scorer.add(pairs[0][start : start + batch], pairs[1][start : start + batch])
    return np.asarray(scorer.table())


def test_threads_give_the_numbers_of_one_thread(pairs: tuple[FramesU8, FramesU8]) -> None:
    alone = table_of(1, pairs, 5)
    assert np.isfinite(alone[1:, :6]).all()
    np.testing.assert_allclose(table_of(3, pairs, 7), alone, rtol=1e-5, atol=1e-6)


def test_shared_work_is_done_once_by_whichever_thread_comes_first(pairs: tuple[FramesU8, FramesU8]) -> None:
    batch, calls = Batch(*pairs), []

    def slow() -> int:
        calls.append(threading.get_ident())
        time.sleep(0.05)
        return len(calls)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: batch.once("slow", slow), range(8))) == [1] * 8
    assert batch.once("outer", lambda: batch.once("inner", lambda: 7)) == 7


def test_an_error_is_raised_after_all_have_ended() -> None:
    ended = []

    def fails() -> Scores:
        raise ValueError("no face model")

    def works() -> Scores:
        time.sleep(0.05)
        ended.append(1)
        return np.zeros(1)

    with pytest.raises(ValueError, match="no face model"):
        Threads(2).run([Task(fails), Task(works), Task(works, alone=True)])
    assert ended == [1, 1]


def test_torch_keeps_its_number_of_threads() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def look() -> Scores:
        torch.ones(1).sum()
        seen.append(torch.get_num_threads())
        return np.zeros(1)

    Threads(2).run([Task(look, alone=True), Task(look, alone=True)])
    assert seen == [1, 1]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before
    assert torch.get_num_threads() == before


class Counting(Metric):
    """Scores a frame by its first pixel, and counts how many of its calls run at once."""

    info = MetricInfo("counting", "1", "First pixel", "higher", "1", needs_reference=False)
    backend = Backend("test")
    running, most, sizes = 0, 0, []  # type: ignore[var-annotated]

    def score_batch(self, batch: Batch) -> Scores:
        cls = type(self)
        cls.running += 1
        cls.most = max(cls.most, cls.running)
        cls.sizes.append(len(batch))
        time.sleep(0.02)
        cls.running -= 1
        return batch.frames[:, 0, 0, 0].astype(np.float64)


@pytest.mark.parametrize("divisible", [False, True])
def test_only_a_divisible_metric_sees_parts(divisible: bool) -> None:
    metric = type("Own", (Counting,), {"divisible": divisible, "sizes": []})("cpu")
    scorer = Scorer(("psnr_global", "sd"))
    scorer._threads = Threads(2)
    scorer._columns[0].metric, scorer._columns[0].cls = metric, type(metric)
    frames = np.zeros((10, 512, 256, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(10)
    for start in (0, 7):
        scorer.add(frames[start : start + 7], frames[start : start + 7])
    assert scorer.table()["counting"].tolist() == list(range(10))
    assert sorted(type(metric).sizes) == ([1, 1, 2, 2, 2, 2] if divisible else [3, 7])
    assert type(metric).most == (2 if divisible else 1)
