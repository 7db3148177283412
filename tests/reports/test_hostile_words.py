"""Words of others in every output: read back by a real parser of its format, they are text and nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from emo_bench.runs.finished import find_runs
from emo_bench.runs.manifest import write_manifest
from emo_bench.text.csv_text import FORMULA, read_csv
from emo_bench.text.plain_text import UNPRINTABLE, printable
from reports.compare.paired import compare_sides
from reports.compare.sides import pair_sides
from reports.compare.writing import print_comparison
from reports.gate import writing as gate_pages
from reports.gate.checks import Outcome
from reports.markdown import code, escaped, image, link, pipe_table
from reports.pages.html import PageOptions
from reports.pages.latex import escape
from reports.pages.terminal import show_run
from reports.publishing import publish

MARKDOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")
TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=40) | st.text(
    "\\`*_[]()<>!#|~$&;:/-+=1. a\n\tx", max_size=40
)
PAYLOADS = (
    "<script>window.pwned = 1</script>", "<img src=x onerror=\"window.pwned = 1\">", "\"'><svg/onload=window.pwned=1>",
    "</script><script>window.pwned = 1</script>", "{{ 7 * 7 }}{% raw %}", "![x](http://evil.invalid/x.png)",
    "[x](javascript:alert(1))",
    "| a | b |\n|---|---|\n| 1 | 2 |", "# heading\n\n- item", "`code` ``more``", "<http://evil.invalid>",
    "\x1b]0;t\x07\x1b[2J\x9b31m", "\u202edcba",
    "=HYPERLINK(\"http://evil.invalid\")", "+1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\\input{/etc/passwd} $x$ %",
    "a\x00\ufffe\x0b]]>",
)  # fmt: skip


def tags(html: str) -> set[str]:
    return set(re.findall(r"<(/?\w+)", html))


def text_of(html: str) -> str:
    return "".join(ElementTree.fromstring(f"<x>{html}</x>").itertext())


@given(TEXT)
def test_a_cell_shows_its_text_and_the_table_keeps_its_shape(text: str) -> None:
    html = MARKDOWN.render("\n".join(pipe_table(["a", "b"], [[text, "2"], ["1", text]])))
    assert tags(html) <= {
        "table",
        "/table",
        "thead",
        "/thead",
        "tbody",
        "/tbody",
        "tr",
        "/tr",
        "th",
        "/th",
        "td",
        "/td",
    }
    cells = [text_of(cell) for cell in re.findall(r"<td>(.*?)</td>", html)]
    assert len(cells) == 4 and cells[1:3] == ["2", "1"]
    assert cells[0].split() == cells[3].split() == legal(printable(text)).split()


def legal(text: str) -> str:
    """As a parser of Markdown reads it."""
    return text.replace("\x00", "\ufffd")


@given(TEXT)
def test_a_line_of_a_list_is_no_other_block(text: str) -> None:
    html = MARKDOWN.render(f"- {escaped(text)}\n- next\n")
    assert tags(html) <= {"ul", "/ul", "li", "/li"}
    first, last = re.findall(r"<li>(.*?)</li>", html)
    assert text_of(first).split() == printable(text).split() and last == "next"


@given(TEXT.filter(str.strip))
def test_code_links_and_pictures_hold_anything(text: str) -> None:
    (shown,) = re.findall(r"<p>.*?<code>(.*)</code>.*</p>", MARKDOWN.render(f"x {code(text)} y"))
    assert text_of(shown).split() == printable(text).split()
    for mark, wanted in ((link(text, text), {"p", "/p", "a", "/a"}), (image(text, text), {"p", "/p", "img"})):
        html = MARKDOWN.render(f"x {mark} y")
        assert tags(html) <= wanted
        (target,) = re.findall(r'(?:href|src)="([^"]*)"', html)
        assert ":" not in target and not target.startswith("//")


@given(TEXT)
def test_latex_reads_no_command_of_others(text: str) -> None:
    shown = escape(text)
    ours = (
        r"\\(?:[{}&%$#_]|text(?:backslash|asciitilde|asciicircum|asciigrave|quotedbl|bar|less|greater)\{\})"
        r"|\$\\(?:times|uparrow|downarrow)\$|\$\^\{\w*\}\$"
    )
    rest = re.sub(ours, "", shown.replace(r"\_", ""))
    assert not re.search(r"[\\{}$&#%_^]", rest) and not UNPRINTABLE.search(shown)


@given(TEXT)
def test_junit_is_xml_whatever_it_says(text: str) -> None:
    outcome = Outcome(text, text, text, text, "dB", "higher", text, 1.0, None, None, None, False, text)
    (case,) = ElementTree.fromstring(gate_pages.junit([outcome])).iter("testcase")
    failure = case.find("failure")
    assert failure is not None and case.get("time") == "0"
    visible = "".join(letter for letter in text if letter.isalnum())
    for said in (case.get("name"), case.get("classname"), failure.get("message")):
        assert visible in "".join(letter for letter in said or "" if letter.isalnum())


# Entries of run.json that others write as they like, and those that name something, which is no path and has no control
# character.
TEXTS = (
    "title", "protocol_title", "flags", "identity.settings", "stages.fit.machine.processor",
    "stages.fit.machine.device", "stages.score.machine.emo_bench", "stages.score.records.psnr.backend.detail",
    "stages.score.records.psnr.unit",
)  # fmt: skip
NAMES = ("identity.method", "identity.actor.name", "identity.split.name", "identity.protocol.name")


def poison(manifest: dict[str, Any], place: str, payload: str) -> None:
    """Put a payload in for the text at a place of a manifest."""
    *path, last = place.split(".")
    table = manifest
    for key in path:
        table = table[key]
    old = table[last]
    table[last] = [payload] if isinstance(old, list) else {"key": payload} if isinstance(old, dict) else payload


@pytest.fixture(scope="module")
def poisoned_runs(runs_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run a payload, in all its texts, and in its names as far as it can be a name."""
    folder = tmp_path_factory.mktemp("poisoned")
    source = next(path for path in find_runs([runs_dir]) if path.parent.name == "nearest-frame")
    made = []
    for number, payload in enumerate(PAYLOADS):
        target = folder / "runs" / "actor" / f"method-{number}" / "smoke-s0"
        shutil.copytree(source, target)
        manifest = json.loads((target / "run.json").read_text(encoding="utf-8"))
        for place in TEXTS:
            poison(manifest, place, payload)
        name = printable(payload).replace("/", "").replace("\\", "").strip(".")
        for place in NAMES:
            poison(manifest, place, name)
        write_manifest(target, manifest)
        (target / "train.csv").write_text("step,loss\n0,1\n1,0.5\n", encoding="utf-8")
        made.append(target)
    return made


@pytest.fixture(scope="module")
def report(poisoned_runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    publish(poisoned_runs, out, PageOptions(clips=False))
    return out


@pytest.fixture
def requests(browser: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that pages ask for, of every context of the browser."""
    asked: list[str] = []
    new_context = browser.new_context

    def watched(**options: Any) -> Any:
        context = new_context(**options)
        context.on("request", lambda request: asked.append(request.url))
        return context

    monkeypatch.setattr(browser, "new_context", watched)
    return asked


def test_no_script_of_others_runs_in_a_report(report: Path, requests: list[str], open_page: Callable[..., Any]) -> None:
    page = open_page(report / "report.html")
    page.wait_for_function("document.querySelector('.of-metric:not([hidden])') !== null")
    for control in page.locator(".metrics button, [role=tab]").all()[:12]:
        if control.is_visible():
            control.click()
    assert page.evaluate("window.pwned") is None
    assert page.locator("script:not([type])").count() == 1 and page.locator("[onerror], [onload]").count() == 0
    assert page.locator("td", has_text="<script>window.pwned = 1</script>").count() > 0
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_no_script_of_others_runs_in_a_study(
    edits_dir: Path, tmp_path: Path, requests: list[str], open_page: Callable[..., Any]
) -> None:
    from reports.study.building import StudyRequest, build_study

    title = " ".join(PAYLOADS)
    build_study(find_runs([edits_dir]), tmp_path, StudyRequest(seconds=0.2, title=title))
    page = open_page(tmp_path / "study.html")
    page.locator("#participant").fill("<script>window.pwned=1</script>")
    page.keyboard.press("Enter")
    page.locator("#show").wait_for(state="visible")
    assert page.evaluate("window.pwned") is None
    assert page.locator("h1").first.text_content().split() == printable(title).split()
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_markdown_of_a_report_has_its_own_tables_only(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    assert not UNPRINTABLE.search(text.replace("\n", ""))
    html = MARKDOWN.render(text)
    own = {
        "h1",
        "h2",
        "p",
        "strong",
        "blockquote",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "code",
        "a",
    }
    assert {tag.removeprefix("/") for tag in tags(html)} <= own
    assert {heading for heading in re.findall("<h2>(.*?)</h2>", html) if heading == "heading"} == set()
    targets = re.findall(r'href="([^"]*)"', html)
    assert len(targets) == len(PAYLOADS) and all(target.endswith("preview.mp4") for target in targets)
    rows = re.findall("<tr>(.*?)</tr>", html, flags=re.DOTALL)
    assert sum("preview.mp4" in row for row in rows) == len(PAYLOADS)


def test_tables_for_programs_hold_no_formula(report: Path, poisoned_runs: list[Path]) -> None:
    for name in ("report.csv", "report_wide.csv"):
        with (report / name).open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        for line in lines:
            assert len(line) == len(header)
            for cell in line:
                assert not cell.startswith(FORMULA[:-1]) or re.fullmatch(r"-?[\d.e+-]+", cell), cell
        assert len(read_csv(report / name)["run"].unique()) == len(poisoned_runs)
    assert {'=HYPERLINK("http://evil.invalid")', "@SUM(A1)"} <= set(read_csv(report / "report.csv")["flags"])
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert any(row["title"].startswith(PAYLOADS[0]) for table in content["tables"] for row in table["rows"])


def test_latex_of_a_report_includes_no_file_of_others(report: Path) -> None:
    text = (report / "report.tex").read_text(encoding="utf-8")
    assert r"\input{/" not in text and not UNPRINTABLE.search(text.replace("\n", ""))
    assert re.sub(r"\\[{}]", "", text).count("{") == re.sub(r"\\[{}]", "", text).count("}")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_obeys_no_word_of_others(poisoned_runs: list[Path], runs_dir: Path, terminal: bool) -> None:
    def shown(show: Callable[[Console], object]) -> str:
        file = io.StringIO()
        show(
            Console(
                file=file,
                width=160,
                highlight=False,
                force_terminal=terminal,
                color_system="standard" if terminal else None,
            )
        )
        # Colours of rich's own.
        return re.sub(r"\x1b\[[\d;]*m", "", file.getvalue()) if terminal else file.getvalue()

    sound = find_runs([runs_dir])[0]
    for run in poisoned_runs:
        assert not UNPRINTABLE.search(shown(lambda console, run=run: show_run(run, console)).replace("\n", ""))
    esc = poisoned_runs[next(i for i, payload in enumerate(PAYLOADS) if "\x1b" in payload)]
    assert "\\x1b]0;t\\x07" in shown(lambda console: show_run(esc, console))
    copy = shutil.copytree(esc, esc.parent.parent / "other" / "smoke-s0", dirs_exist_ok=True)
    pairs, _ = pair_sides([esc, Path(copy)])
    for a, b in pairs:
        text = shown(lambda console, a=a, b=b: print_comparison(compare_sides(a, b), console, True))
        assert not UNPRINTABLE.search(text.replace("\n", "")) and sound.exists()
    shutil.rmtree(copy)


def test_a_gate_quotes_nothing_that_acts(poisoned_runs: list[Path]) -> None:
    outcomes = [Outcome(p, p, p, p, "dB", "higher", p, 1.0, None, None, None, False, p) for p in PAYLOADS]
    assert len(list(ElementTree.fromstring(gate_pages.junit(outcomes)).iter("testcase"))) == len(PAYLOADS)
    html = MARKDOWN.render(gate_pages.markdown(outcomes, PAYLOADS))
    assert not tags(html) & {"script", "img", "svg", "a", "h1"}
    assert len(re.findall("<tr>", html)) == 1 + len(PAYLOADS) and len(re.findall("<li>", html)) == len(PAYLOADS)
    file = io.StringIO()
    gate_pages.print_outcomes(outcomes, Console(file=file, width=400))
    assert not UNPRINTABLE.search(file.getvalue().replace("\n", ""))
