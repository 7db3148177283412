"""A user study from the runs to Table 3: the page in a real browser, its files, their scores."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.runs.finished import find_runs
from reports.study.building import StudyKey, StudyRequest, build_study, read_key
from reports.study.scoring import Answers, mean_opinion_interval, read_answers, score_study
from reports.study.tables import study_latex, study_markdown, write_scores

OpenPage = Callable[..., Any]
METHODS = ("Mean frame", "Nearest frame")


@pytest.fixture(scope="module")
def study(edits_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study")
    build_study(find_runs([edits_dir]), out, StudyRequest(seconds=0.4))
    return out


def file_of(key: StudyKey, participant: str, rate: Callable[[Any], list[int]], **changes: Any) -> dict[str, Any]:
    """A participant's file; ``rate`` gives a clip's ratings, checks are answered as asked."""
    ratings = {clip.id: rate(clip) for clip in key.clips} | {c.id: [c.answer] * 3 for c in key.checks}
    answers = {name: {"ratings": given, "seconds": 3.5, "starts": 1} for name, given in ratings.items()}
    return {
        "format": 1, "study": key.study, "participant": participant, "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:09:00Z", "order": list(answers), "answers": answers, **changes,
    }  # fmt: skip


def parsed(key: StudyKey, participant: str, rate: Callable[[Any], list[int]], **changes: Any) -> Answers:
    return Answers.model_validate_json(json.dumps(file_of(key, participant, rate, **changes)))


def test_the_page_does_not_tell_methods_and_is_the_same_again(study: Path, edits_dir: Path, tmp_path: Path) -> None:
    page = (study / "study.html").read_text()
    readable = re.sub(r'<script type="text/plain".*?</script>', "", page, flags=re.DOTALL)
    key = read_key(study)
    for word in (*METHODS, "mean-frame", "nearest", "clay", "smoke", *(clip.run for clip in key.clips)):
        assert word not in readable
    assert (len(key.clips), len(key.checks), key.notes) == (4, 1, ())
    assert {(clip.first, clip.last) for clip in key.clips if clip.style == "clay"} == {
        (key.clips[0].first, key.clips[0].first + 9)
    }
    assert build_study(find_runs([edits_dir]), tmp_path, StudyRequest(seconds=0.4)) == key
    assert (tmp_path / "study.html").read_text() == page
    with pytest.raises(UserError, match="holds another study"):
        build_study(find_runs([edits_dir]), tmp_path, StudyRequest(seconds=0.4, seed=1))


def test_methods_on_other_subjects_are_noted(edits_dir: Path, tmp_path: Path) -> None:
    folders = [path for path in find_runs([edits_dir]) if path.name != "mean-frame-ink"]
    key = build_study(folders, tmp_path, StudyRequest(seconds=0.4))
    assert key.notes == (
        "Mean frame is shown on 1 of 2 actors and styles, "
        "so its scores are of other clips than those of the other methods",
    )


def test_a_study_shows_the_methods_that_are_named(edits_dir: Path, tmp_path: Path) -> None:
    folders = find_runs([edits_dir])
    key = build_study(folders, tmp_path / "one", StudyRequest(seconds=0.4, methods=("near*",)))
    assert {clip.method for clip in key.clips} == {"Nearest frame"}
    with pytest.raises(UserError, match="no finished edit of a method like 'rave'; there are edits of mean-frame, nea"):
        build_study(folders, tmp_path / "none", StudyRequest(methods=("near*", "rave")))


def test_recorded_frames_beside_themselves_are_shown_only_if_they_are_named(
    edits_dir: Path, derived: Callable[..., Path], tmp_path: Path
) -> None:
    folders = find_runs([edits_dir])
    folders.append(derived(folders[0], tmp_path / "recorded", lambda identity: identity.update(method="recorded")))
    assert len(build_study(folders, tmp_path / "all", StudyRequest(seconds=0.4)).clips) == len(folders) - 1
    named = build_study(folders, tmp_path / "named", StudyRequest(seconds=0.4, methods=("recorded",)))
    assert len(named.clips) == 1
    with pytest.raises(UserError, match="the only finished edits show the recorded frames"):
        build_study(folders[-1:], tmp_path / "only", StudyRequest(seconds=0.4))


def test_the_command_counts_one_attention_check(
    edits_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["study", "build", str(edits_dir), "--seconds", "0.5", "--out", str(tmp_path / "out")])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines()[0] == "clips    4, and 1 attention check"


def test_runs_without_an_edit_make_no_study(runs_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished edit"):
        build_study(find_runs([runs_dir]), tmp_path / "out", StudyRequest())
    assert not (tmp_path / "out").exists()


def ratings_for(key: StudyKey, clip: str) -> list[int]:
    """What the participant of the browser test answers: something else for each method and question."""
    for check in key.checks:
        if check.id == clip:
            return [check.answer] * 3
    method = next(one.method for one in key.clips if one.id == clip)
    return [5, 4, 3] if method == "Nearest frame" else [1, 2, 3]


def answer_clip(page: Any, key: StudyKey, *, reload: bool) -> None:
    """One clip by keyboard; with ``reload`` the page is opened anew before and after it is shown."""
    clip = page.evaluate("state.order[state.at.clip]")
    if reload:
        # A reload in the middle of loading aborts the clip's request, which open_page takes for a fault of the page.
        page.wait_for_function(
            "video.networkState === HTMLMediaElement.NETWORK_IDLE && video.readyState === "
            "HTMLMediaElement.HAVE_ENOUGH_DATA"
        )
        page.reload()
        assert page.evaluate("state.order[state.at.clip]") == clip
    page.keyboard.press("Space")
    page.locator("#questions").wait_for(state="visible")
    if reload:
        page.reload()
        assert page.locator("#questions").is_visible(), "a clip that was shown is not shown again"
    first, *rest = ratings_for(key, clip)
    page.keyboard.press("3" if first != 3 else "2")
    page.keyboard.press("Backspace")
    for rating in (first, *rest):
        assert page.locator("#next").is_disabled()
        page.keyboard.press(str(rating))
    page.keyboard.press("Enter")


def test_from_the_first_clip_to_the_scored_file(study: Path, open_page: OpenPage, tmp_path: Path) -> None:
    key = read_key(study)
    page = open_page(study / "study.html")
    page.locator("#participant").fill("anna b")
    page.keyboard.press("Enter")
    order = page.evaluate("state.order")
    assert sorted(order) == sorted([*(clip.id for clip in key.clips), key.checks[0].id])
    assert order[0] != key.checks[0].id
    for position in range(len(order)):
        assert page.locator("#count").inner_text() == f"Clip {position + 1} of 5"
        answer_clip(page, key, reload=position == 1)
    with page.expect_download() as saved:
        page.locator("#save").click()
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    assert file.name == f"answers-{key.study}-anna-b.json"
    assert page.locator("#text").input_value() == file.read_text()
    page.locator("#again").click()
    page.locator("#intro").wait_for(state="visible")
    (answers,) = read_answers([file], key)
    assert answers.order == tuple(order) and answers.finished_at is not None
    scores = score_study(key, [answers])
    means = {(opinion.method, opinion.statement): opinion.mean for opinion in scores.opinions}
    assert [means["Nearest frame", s.id] for s in key.statements] == [5, 4, 3]
    assert [means["Mean frame", s.id] for s in key.statements] == [1, 2, 3]


def test_orders_differ_between_participants_and_are_drawn_evenly(study: Path, open_page: OpenPage) -> None:
    page = open_page(study / "study.html")
    orders = page.evaluate("Array.from({ length: 600 }, (_, i) => drawOrder(`p${i}`))")
    checks = [check.id for check in read_key(study).checks]
    assert len({tuple(order) for order in orders}) > 60
    first = [order[0] for order in orders]
    assert not set(first) & set(checks)
    counts = np.array([first.count(clip) for clip in set(first)])
    assert len(counts) == 4 and np.all(np.abs(counts - 150) < 45), counts
    assert page.evaluate("drawOrder('p0')") == orders[0]


def test_a_phone_can_answer(study: Path, open_page: OpenPage) -> None:
    page = open_page(study / "study.html", 360, 640, is_mobile=True, has_touch=True)
    page.locator("#begin button").tap()
    page.locator("#show").tap()
    page.locator("#questions").wait_for(state="visible")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for field in page.locator("fieldset").all():
        target = field.locator("label").nth(3)
        box = target.bounding_box()
        assert box["width"] >= 44 and box["height"] >= 44
        target.tap()
    page.locator("#next").tap()
    assert page.locator("#count").inner_text() == "Clip 2 of 5"


def test_mean_opinions_and_agreement(study: Path, tmp_path: Path) -> None:
    key = read_key(study)
    rng = np.random.default_rng(0)
    people = [
        parsed(
            key,
            f"p{i}",
            lambda clip: [int(v) for v in rng.integers(*((4, 6) if clip.method == "Nearest frame" else (1, 3)), 3)],
        )
        for i in range(6)
    ]  # fmt: skip
    scores = score_study(key, people)
    table = scores.ratings
    for opinion in scores.opinions:
        own = table[(table["method"] == opinion.method) & (table["statement"] == opinion.statement)]["rating"]
        assert opinion.mean == pytest.approx(own.mean())
        assert opinion.low <= opinion.mean <= opinion.high and opinion.ratings == len(own) == 12
    assert all(alpha > 0.4 for alpha in scores.alpha.values())
    text = study_markdown(key, scores)
    best = next(line for line in text.splitlines() if line.startswith("| Nearest frame"))
    assert best.count("**") == 6
    assert "| TokenFlow | 4.03 | 3.22 | 3.86 [2] |" in text and "not ranked with ours" in text
    assert study_latex(key, scores).count(r"\textbf") == 3
    files = write_scores(key, scores, tmp_path)
    assert all(file.stat().st_size for file in files) and len(files) == 5
    assert json.loads((tmp_path / "mos.json").read_text())["participants"] == [f"p{i}" for i in range(6)]


def test_who_fails_a_check_does_not_count(study: Path) -> None:
    key = read_key(study)
    good = parsed(key, "good", lambda clip: [4, 4, 4])
    (check,) = key.checks
    wrong = file_of(key, "hasty", lambda clip: [1, 1, 1])
    wrong["answers"][check.id]["ratings"] = [check.answer, check.answer, check.answer % 5 + 1]
    hasty = Answers.model_validate_json(json.dumps(wrong))
    scores = score_study(key, [good, hasty])
    assert scores.participants == ("good",) and list(scores.excluded) == ["hasty"]
    assert {opinion.mean for opinion in scores.opinions} == {4.0}
    kept = score_study(key, [good, hasty], keep_failed=True)
    assert {opinion.mean for opinion in kept.opinions} == {2.5} and kept.excluded == {}
    assert any("hasty counts though" in note for note in kept.notes)
    with pytest.raises(UserError, match="no participant passed"):
        score_study(key, [hasty])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "other"}, "answers to study other"),
        ({"order": ["x"]}, "other clips"),
        ({"surprise": 1}, "not a file of answers"),
        ({"answers": {"x": {"ratings": [6, 1, 1], "seconds": 1, "starts": 1}}}, "not a file of answers"),
    ],
)
def test_files_that_do_not_belong_are_refused(
    study: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    key = read_key(study)
    file = tmp_path / "a.json"
    file.write_text(json.dumps(file_of(key, "p", lambda clip: [3, 3, 3]) | change))
    with pytest.raises(UserError, match=message):
        read_answers([file], key)


def test_one_participant_counts_once(study: Path, tmp_path: Path) -> None:
    key = read_key(study)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(file_of(key, "p", lambda clip: [3, 3, 3])))
    with pytest.raises(UserError, match="both of participant p"):
        read_answers([tmp_path], key)
    with pytest.raises(UserError, match="holds no answers"):
        read_answers([study], key)


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    """Participants and clips each add their own leaning; 95 % intervals of 12 by 25 hold the truth about that often."""
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(120):
        ratings = 3 + 0.5 * rng.normal(size=(12, 1)) + 0.3 * rng.normal(size=(1, 25)) + 0.5 * rng.normal(size=(12, 25))
        low, high = mean_opinion_interval(ratings, seed=trial)
        hits += low <= 3 <= high
    assert 0.88 <= hits / 120 <= 1.0
    assert np.isnan(mean_opinion_interval(np.ones((1, 5)))).all()
