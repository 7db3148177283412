"""The progress display: readable in a log, one bar on a terminal."""

import io

from emo_bench import progress


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_log_gets_a_line_about_every_ten_seconds_with_the_time_left() -> None:
    clock, out = FakeClock(), io.StringIO()
    with progress._plain_lines(100, "fit", out, 0, clock) as advance:
        for _ in range(100):
            clock.now_s += 0.3
            advance(loss=0.25)
    lines = out.getvalue().splitlines()
    assert lines[0] == "fit: 0/100"
    # 0.3 s a step: the 34th step is the first past 10 s, and the other 66 take 19.8 s.
    assert lines[1] == "fit: 34/100, 20 s left  loss 0.25"
    assert lines[-1] == "fit: 100/100 in 30 s  loss 0.25"
    assert len(lines) == 4


def test_the_time_left_of_a_loop_that_goes_on_is_that_of_its_own_steps() -> None:
    clock, out = FakeClock(), io.StringIO()
    with progress._plain_lines(100, "fit", out, 60, clock) as advance:
        for _ in range(40):
            clock.now_s += 1.0
            advance()
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["fit: 60/100", "fit: 70/100, 30 s left"]
    assert lines[-1] == "fit: 100/100 in 40 s"


def test_failure_inside_leaves_the_stream_usable_and_is_not_swallowed() -> None:
    out = io.StringIO()
    try:
        with progress.track_progress(3, "fit", stream=out) as advance:
            advance()
            raise KeyError("inside")
    except KeyError:
        out.write("after\n")
    assert out.getvalue().splitlines() == ["fit: 0/3", "after"]


def test_terminal_gets_a_bar_that_counts() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with progress.track_progress(4, "render", stream=out) as advance:
        advance(3)
        advance(fps=12.5)
    assert "render" in out.getvalue()
    assert "4/4" in out.getvalue()
    assert "fps 12.5" in out.getvalue()
    with progress.track_progress(9, "fit", done=5, stream=out) as advance:
        advance(1)
    assert "6/9" in out.getvalue()
