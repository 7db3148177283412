"""Published results: what is copied, the page's numbers against the scores, and the ones that this project
publishes.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pandas
import pytest
from PIL import Image

from emo_bench.errors import UserError
from emo_bench.methods.registry import TRIVIAL
from emo_bench.runs.checksums import seal_of
from emo_bench.runs.finished import find_runs, load_run
from emo_bench.runs.manifest import MANIFEST, read_manifest
from emo_bench.runs.settings import sorted_settings
from emo_bench.runs.store import RunFolder
from emo_bench.video.strips import LABEL_PX, TILE_PX
from protocols import load_protocol
from protocols.sweeps import load_sweep
from reports.results import frames_fitted, main, publish_results, results_page
from reports.tables import LeftOut, read_groups

PUBLISHED = Path(__file__).parents[2] / "docs" / "results"


def test_scores_and_manifests_are_taken_and_no_picture(runs_dir: Path, tmp_path: Path) -> None:
    page = publish_results(runs_dir, tmp_path / "results")
    files = {path.name for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert files == {"run.json", "frames.parquet", page.name}
    made, taken = find_runs([runs_dir]), find_runs([tmp_path / "results"])
    assert [p.relative_to(runs_dir) for p in made] == [p.relative_to(tmp_path / "results") for p in taken]
    for ours, theirs in zip(made, taken, strict=True):
        pandas.testing.assert_frame_equal(load_run(ours).scores, load_run(theirs).scores)


def test_where_a_methods_file_lies_stays_at_home(runs: Path, tmp_path: Path) -> None:
    folder = find_runs([runs])[0]
    before = (folder / MANIFEST).read_text()
    RunFolder(folder, read_manifest(folder)).note(
        method_place="/home/anna/secret/mine.py:Mine", protocol_place="/home/anna/secret/own.toml"
    )
    publish_results(runs, tmp_path / "results")
    published = (tmp_path / "results" / folder.relative_to(runs) / MANIFEST).read_text()
    kept = json.loads(before)
    kept.pop("protocol_place")
    left_out = ["checkpoint.safetensors", "preview.mp4", "render.mkv"]
    # The two paths are no part of the checksum, but the list of files that stay at home is.
    kept |= {"left_out": left_out, "manifest_sha256": seal_of({**kept, "left_out": left_out})}
    assert json.loads(published) == kept and "anna" not in published
    assert "anna" in (folder / MANIFEST).read_text()


def test_runs_of_later_come_beside_those_that_are_there(runs: Path, tmp_path: Path) -> None:
    first, second = sorted(path.parent for path in runs.glob("*/*/*"))[:2]
    for name in ("one", "other"):
        shutil.copytree(first if name == "one" else second, tmp_path / name / "quick" / "dot" / name)
        publish_results(tmp_path / name, tmp_path / "results")
    assert len(find_runs([tmp_path / "results"])) == len(find_runs([tmp_path / "one", tmp_path / "other"]))


def test_nothing_finished_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="holds no run"):
        publish_results(tmp_path, tmp_path / "results")
    assert main([str(tmp_path), "--out", str(tmp_path / "results")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_page_shows_the_means_of_the_scores(runs_dir: Path, tmp_path: Path) -> None:
    lines = publish_results(runs_dir, tmp_path / "results").read_text().splitlines()
    for path in find_runs([runs_dir]):
        run = load_run(path)
        mean, memory = run.scores["psnr"].mean(), run.manifest["stages"]["fit"]["memory_mib"] / 1024
        shown = [line for line in lines if line.startswith(f"| dot | {run.manifest['title']} |")]
        assert any(f"{mean:.2f}" in line and f"{memory:.1f} GiB" in line for line in shown)


def test_what_this_project_publishes_is_of_todays_protocol_or_says_so_and_its_page_is_up_to_date() -> None:
    groups, left_out = read_groups(find_runs([PUBLISHED]))
    assert groups and left_out == LeftOut()
    for group in groups:
        assert not group.rows[0].run.manifest["smoke"]
        named = group.rows[0].identity["protocol"]
        today = load_protocol(named["name"])
        if named["version"] == today.version:
            assert today.hash() == named["hash"]
        else:
            told = f"These runs are of version {named['version']} of the protocol; today's is version {today.version}"
            assert told in (PUBLISHED / "README.md").read_text()
    assert results_page(groups) == (PUBLISHED / "README.md").read_text()


def test_the_readme_shows_the_published_means_and_names_no_winner() -> None:
    readme = (PUBLISHED.parents[1] / "README.md").read_text()
    table = [line for line in readme.splitlines() if line.startswith("| ")]
    page = (PUBLISHED / "README.md").read_text()
    means = page.split("## self_reenactment")[1].split("| actor |")[0].splitlines()
    published = {line.split(" | ")[0]: line.strip("| ").split(" | ")[2:] for line in means if line.startswith("| ")}
    for title in ("Emo-Avatar", "INSTA", "PointAvatar", "StyleAvatar", "Deep Video Portraits", "Nearest frame"):
        [row] = [line.strip("| ").split(" | ")[1:] for line in table if line.startswith(f"| {title} |")]
        assert row == published[f"| {title}"]
    assert not any("**" in line for line in [*table, *means])


def test_the_sweeps_that_the_page_names_make_exactly_its_runs() -> None:
    """Each published run is one of a sweep file that comes with the toolkit, and the other way round."""
    page = (PUBLISHED / "README.md").read_text().replace("\n", " ")
    named = set(re.findall(r"`emo-bench sweep ([a-z0-9-]+)", page))
    assert named == {"results", "results-filmed"}
    made = set()
    for sweep in map(load_sweep, named):
        for grid in sweep.grids():
            methods = (*grid.methods, *TRIVIAL) if sweep.trivial else grid.methods
            for method, actor, seed, given in product(methods, grid.actors, grid.seeds, grid.variants()):
                own = sorted_settings({} if method in TRIVIAL else given)
                run = (actor, method, grid.profile, seed)
                made.add((*run, "", str(sorted(own.method.items()))))
                edits = [(style, str(sorted(own.edit.items()))) for style in grid.styles if method not in TRIVIAL]
                made |= {(*run, *edit) for edit in edits}
    published = set()
    for folder in find_runs([PUBLISHED]):
        identity = read_manifest(folder)["identity"]
        settings = {key.removeprefix("edit."): value for key, value in identity["settings"].items()}
        what = identity.get("style", {}).get("name", "")
        run = (identity["actor"]["name"], identity["method"], identity["profile"], identity["seed"])
        published.add((*run, what, str(sorted(settings.items()))))
    assert made == published


def test_the_page_says_on_how_many_frames_each_method_trained() -> None:
    groups, _ = read_groups(find_runs([PUBLISHED]))
    trained = {(row.identity["method"], row.subject.actor): frames_fitted(row) for row in groups[-1].rows}
    assert trained["insta", "1"] == trained["insta", "franck"] == 300
    assert (trained["emo-avatar", "1"], trained["emo-avatar", "franck"]) == (975, 1200)
    assert trained["mean-frame", "franck"] == 4275


def test_edits_are_lined_up_as_in_figure_5(runs: Path, tmp_path: Path, derived: Callable[..., Path]) -> None:
    """Two edits of one actor and one that shows the recorded frames: the last one is the row above, and not twice."""
    style = {
        "name": "clay", "source_caption": "a disc", "target_caption": "a disc in clay", "instruction": "",
        "editor": "file", "editor_settings": {},
    }  # fmt: skip
    whole = [path for path in find_runs([runs]) if "resolution" not in path.as_posix()]
    for number, method in enumerate(("one", "other", "recorded")):
        derived(
            whole[number % 2], tmp_path / "edits" / "quick" / "dot" / method / "cpu-s0",
            lambda identity, method=method: identity.update(method=method, style=style),
        )  # fmt: skip
    for path in (tmp_path / "edits").rglob(MANIFEST):
        RunFolder(path.parent, read_manifest(path.parent)).note(smoke=False)
    out = tmp_path / "results"
    page = publish_results(tmp_path / "edits", out, figures=True).read_text()
    assert "![Edits of actor dot-clay](figure-5-dot-clay.jpg)" in page
    with Image.open(out / "figure-5-dot-clay.jpg") as picture:
        columns, rows = (picture.width - LABEL_PX) / TILE_PX, picture.height / TILE_PX
    assert columns == 6 and 3 < rows < 4, "the recorded frames and two methods"
    assert "figure-5-dot-clay.jpg" in publish_results(tmp_path / "edits", out).read_text(), "a later page keeps it"
