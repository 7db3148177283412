"""Words of others, printed: no terminal obeys them, and JSON and CSV give them back as they were."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.text import Text

from emo_bench.cli.output import print_columns, print_fields, print_json, say
from emo_bench.errors import LONGEST, UserError, unknown_name
from emo_bench.text.closest import closest
from emo_bench.text.csv_text import FORMULA, csv_text, read_csv
from emo_bench.text.plain_text import UNPRINTABLE, json_text, printable, unmarked

TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
HOSTILE = "\x1b]0;title\x07\x1b[2J a\nb\r\tc\x9b31m\u202edcba\u2066\u2028\ud800[red]x[/]"


@given(TEXT)
def test_a_printed_text_is_one_line_of_letters(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1 and not UNPRINTABLE.search(shown)
    assert printable(shown) == shown
    shown.encode()


def test_what_is_written_out() -> None:
    assert printable("a\x1b[31m\u202eb\x9b\r\nc\td") == "a\\x1b[31m\\u202eb\\x9b  c d"
    assert (
        printable("Zoë 梵高 \N{ADULT} e\u0301 \N{WOMAN}\u200d\N{PERSONAL COMPUTER}")
        == "Zoë 梵高 \N{ADULT} e\u0301 \N{WOMAN}\u200d\N{PERSONAL COMPUTER}"
    )


@given(TEXT)
def test_rich_sees_no_markup(text: str) -> None:
    shown = Text.from_markup(f"[bold]{unmarked(text)}[/]")
    assert shown.plain == printable(text) and len(shown.spans) <= 1


@given(st.dictionaries(TEXT, TEXT | st.lists(TEXT), max_size=3))
def test_json_is_read_back_and_steers_nothing(value: object) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert not UNPRINTABLE.search(text.replace("\n", ""))
    text.encode()


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json_text(float("nan"))


def test_commands_print_nothing_that_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    print_columns(("name",), [[HOSTILE]])
    print_fields([("name", HOSTILE)])
    print_json({HOSTILE: HOSTILE})
    out = capsys.readouterr().out
    assert not UNPRINTABLE.search(out.replace("\n", ""))
    assert len(out.splitlines()) == 1 + 2 + 1 + 3


@example(["\ud800"])
@given(st.lists(TEXT | st.sampled_from(FORMULA).map("{}SUM(A1)".format), min_size=1, max_size=4))
def test_no_cell_of_a_csv_is_a_formula_and_the_text_comes_back(cells: list[str]) -> None:
    # A text column of pandas holds no lone surrogates.
    table = pandas.DataFrame({"=name": pandas.Series(cells, dtype=object), "number": [-1.5] * len(cells)})
    text = csv_text(table)
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    assert header == ["'=name", "number"] and len(lines) == len(cells)
    for line, cell in zip(lines, cells, strict=True):
        assert not line[0].startswith(FORMULA[:-1]) and line[1] == "-1.5"
        assert line[0].removeprefix("'") in (
            cell,
            cell.removeprefix("'"),
            cell.encode("utf-8", "backslashreplace").decode(),
        )
        assert (
            line[0] == (f"'{cell}" if cell.startswith(FORMULA) else cell).encode("utf-8", "backslashreplace").decode()
        )


def test_our_reader_takes_the_apostrophes_off(tmp_path: Path) -> None:
    table = pandas.DataFrame({"@who": ["=1+1", "'quoted", "+4", "plain", "a\nb"], "score": [-1.5, 2, 3, 4, 5]})
    (tmp_path / "t.csv").write_text(csv_text(table), encoding="utf-8")
    pandas.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), table)


def test_row_labels_are_text_too() -> None:
    table = pandas.DataFrame({"psnr": [30.0]}, index=pandas.Index(["=cmd|' /C calc'!A0"], name="frame"))
    assert csv_text(table, index=True).splitlines()[1] == "'=cmd|' /C calc'!A0,30.0"


@given(TEXT.map(lambda text: text * 300) | TEXT)
def test_every_error_is_one_line_of_bounded_length(text: str) -> None:
    line = str(UserError(f"the file {text} is damaged"))
    assert len(line) <= LONGEST and not UNPRINTABLE.search(line)
    assert line.startswith("the file ") and line.endswith(" is damaged")


def test_an_unknown_name_lists_the_known_ones_and_the_closest() -> None:
    known = ("clay", "bronze")
    assert closest("clya", known) == "clay" and closest("zzz", known) is None
    assert str(unknown_name("style", "clya", known)) == (
        "there is no style 'clya' (known: clay, bronze); did you mean clay?"
    )
    assert str(unknown_name("style", "zzz", iter(known), ", a file")) == (
        "there is no style 'zzz' (known: clay, bronze, a file)"
    )


@pytest.mark.parametrize(
    ("given", "guess"),
    [
        ("AED", "did you mean aed_deep3d or aed_smirk?"),
        ("PSNR", "did you mean psnr?"),
        ("Lpips", "did you mean lpips-vgg or lpips-alex?"),
        ("sim", "did you mean ssim?"),
    ],
)
def test_a_name_in_capitals_or_of_a_family_is_told(given: str, guess: str) -> None:
    known = ("psnr", "psnr_global", "ssim", "lpips-vgg", "lpips-alex", "aed_deep3d", "aed_smirk")
    assert str(unknown_name("metric", given, known)).endswith(guess)


def test_of_many_known_names_only_the_first_are_listed_with_the_place_of_all() -> None:
    known = [f"metric{i}" for i in range(100)]
    assert str(unknown_name("metric", "metrc7", known, ", or a file", "emo-bench metrics list")) == (
        f"there is no metric 'metrc7' (known: {', '.join(known[:8])}, 92 more, or a file); did you mean metric7? "
        "all names: emo-bench metrics list"
    )
    assert str(unknown_name("metric", "?", known, see="a list")).endswith(", 92 more); all names: a list")


@pytest.mark.parametrize("screen", [60, 80, 200])
def test_a_table_fits_the_terminal_and_loses_no_word(
    screen: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = ("metric", "needs", "state")
    rows = [
        ("lpips-vgg-mouth", "a reference", "needs asset lpips-vgg; run: emo-bench assets fetch " + "lpips-vgg " * 9)
    ]
    print_columns(headers, rows, spare=("needs",))
    whole = capsys.readouterr().out
    assert len(whole.splitlines()) == 2  # a pipe gets one line a row
    monkeypatch.setenv("COLUMNS", str(screen))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_columns(headers, rows, spare=("needs",))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= screen
    assert sorted(shown.split()) == sorted(whole.split())


def test_a_table_that_is_too_wide_names_the_columns_that_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_columns(("a", "b", "c"), [("x" * 40, "y" * 40, "[red]z")], spare=("b",))
    shown = capsys.readouterr().out
    assert "x" * 40 in shown and "yy" not in shown and "[red]z" in shown
    assert "too narrow for: b" in shown
