"""report.html in a real browser: opens from disk, sorts, filters, plays, fits a phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from emo_bench.runs.finished import find_runs
from reports.publishing import publish

OpenPage = Callable[..., Any]
DARKEST_AND_BRIGHTEST = """canvas => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const sums = [];
  for (let i = 0; i < data.length; i += 4) sums.push(data[i] + data[i + 1] + data[i + 2]);
  return [Math.min(...sums.slice(0, 5000)), sums.reduce((a, b) => Math.max(a, b))];
}"""


@pytest.fixture(scope="module")
def page_file(runs_dir: Path, actor_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMO_BENCH_HOME", str(actor_home))
        return publish(find_runs([runs_dir]), tmp_path_factory.mktemp("page"))[0]


def test_nothing_is_fetched(page_file: Path) -> None:
    text = re.sub(r'<script type="text/plain".*?</script>', "", page_file.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text) == []
    assert "@import" not in text and "url(" not in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}


def test_tables_sort_and_filter(page_file: Path, runs_dir: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    rows = page.locator("#table-2-scores tbody tr")
    assert rows.count() == 2
    heading = page.locator("#table-2-scores th", has_text="PSNR")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    means = [float(text) for text in page.locator("#table-2-scores td.score:nth-child(5) .mean").all_inner_texts()]
    scored = sorted(pandas.read_parquet(f)["psnr"].mean() for f in runs_dir.rglob("frames.parquet"))
    assert means == sorted(means, reverse=True) and means[0] > means[1]
    assert any(means[0] == pytest.approx(value, abs=0.005) for value in scored)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    page.locator("[data-filter=table-2-scores]").fill("nearest")
    assert [row.is_visible() for row in rows.all()].count(True) == 1
    assert page.locator("#table-1-scores tbody tr:visible").count() == 2


def test_clips_play_and_seek(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    player = page.locator("#table-2-1 .player")
    page.wait_for_function("document.querySelector('#table-2-1 output').textContent !== ''")
    first = player.locator("output").inner_text()
    player.locator(".play").click()
    page.wait_for_function("before => document.querySelector('#table-2-1 output').textContent !== before", arg=first)
    player.locator(".play").click()
    player.locator(".seek").evaluate("bar => { bar.value = 9; bar.dispatchEvent(new Event('input')); }")
    page.wait_for_function("document.querySelector('#table-2-1 output').textContent === 'frame 147'")
    colours = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    for view in ("side", "wipe", "difference"):
        player.locator(".view").select_option(view)
        assert player.locator("canvas").evaluate(colours) > 20, view
    assert not player.locator("label.wipe").is_visible()
    ground, disc = player.locator("canvas").evaluate(DARKEST_AND_BRIGHTEST)
    assert ground < 40 and disc > 200, "still ground cancels out, the moved disc does not"


def test_curves_show_values_and_lead_to_the_frame(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    plot = page.locator("#table-2-1 .of-metric:not([hidden]) .by-frame .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 40)
    assert re.match(r"149\nMean frame: [\d.]+\nNearest frame: [\d.]+", plot.locator(".tip").inner_text())
    page.mouse.click(box["x"] + box["width"] - 1, box["y"] + 40)
    page.wait_for_function("document.querySelector('#table-2-1 output').textContent === 'frame 149'")
    page.locator("#table-2-1 .metrics button", has_text="SSIM").click()
    assert page.locator("#table-2-1 .of-metric:visible").count() == 1
    charts = page.locator("#table-2-1 .of-metric[data-metric=ssim] .chart.by-motion")
    # The mouth of this actor opens and shuts so fast that no bin of its opening has five frames.
    assert charts.evaluate_all("all => all.map(chart => chart.dataset.motion)") == ["yaw", "pitch"]


def test_a_phone_shows_it_without_sideways_scrolling(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file, 360, 740, is_mobile=True, has_touch=True)
    width, text_px = page.evaluate(
        "[document.documentElement.scrollWidth, parseFloat(getComputedStyle(document.querySelector('.tick')).fontSize)]"
    )
    assert width == 360
    assert text_px >= 11


def test_a_phone_shows_line_ups_and_long_names_without_sideways_scrolling(
    runs: Path, tmp_path: Path, derived: Callable[..., Path], open_page: OpenPage
) -> None:
    folder = tmp_path / "rivals"
    for path in find_runs([runs]):
        changes = {
            "method": f"rival-{path.parent.name}",
            "settings": {"edit.a_setting_with_a_long_name": "0.25"} | {f"edit.another_{i}": "0" for i in range(4)},
        }
        derived(path, folder / "quick" / "dot" / path.parent.name / path.name, lambda i, c=changes: i.update(c))
    page = open_page(publish(find_runs([folder]), tmp_path / "out")[0], 360, 740, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator(".lineup img").count() == 2
    assert page.evaluate("document.querySelector('.lineup img').naturalWidth") > 360
