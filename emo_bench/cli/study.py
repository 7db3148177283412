"""``emo-bench study``: what people think of edits, as the paper's Table 3."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.output import Json, finite, group, print_json, say
from emo_bench.methods.seeds import GREATEST

app = group("User studies: a page that shows edits blind, and the scores of its answers.")

BUILD = "Example: emo-bench study build runs --out study"
SCORE = "Example: emo-bench study score answers/ --study study"
Folder = Path("study")


@app.command("build", epilog=BUILD)
def build(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUNS]...", help="Run folders, or folders above them.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the study goes.")] = Folder,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=60, callback=finite, help="Seconds of each edit to show.")
    ] = 3.0,
    seed: Annotated[int, typer.Option(min=0, max=GREATEST, help="Seed of the choice of segments and checks.")] = 0,
    title: Annotated[str, typer.Option(help="What participants read first.")] = "Edited portrait videos",
    as_json: Json = False,
) -> None:
    """Write study.html, a page for participants that needs no server, and study.json, its key.

    Every finished edit among RUNS (default the folder runs) is a clip: source and edit side by side, shown once, in an
    order of the participant's own, among attention checks. Participants save their answers as a file.
    """
    from emo_bench.runs.finished import find_runs
    from reports.study.building import KEY, PAGE, StudyRequest, build_study

    key = build_study(find_runs(runs or [Path("runs")]), out, StudyRequest(seconds, seed, title))
    if as_json:
        print_json({"page": out / PAGE, "key": out / KEY, "study": key.model_dump(mode="json")})
        return
    say(f"clips    {len(key.clips)}, and {len(key.checks)} attention checks")
    for note in key.notes:
        say(f"note     {note}")
    say(f"page     {out / PAGE} (for participants)")
    say(f"key      {out / KEY} (not for participants)")


@app.command("score", epilog=SCORE)
def score(
    answers: Annotated[
        list[Path], typer.Argument(metavar="ANSWERS...", help="Files that participants saved, or folders of them.")
    ],
    study: Annotated[Path, typer.Option(metavar="DIR", help="The folder that study build wrote.")] = Folder,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the scores go; default the study's folder.")
    ] = None,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Count those who failed an attention check too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score answers: mean opinions with 95 % intervals, agreement of the participants, the paper's Table 3."""
    import json

    from reports.study.building import read_key
    from reports.study.scoring import as_json as scores_json
    from reports.study.scoring import read_answers, score_study
    from reports.study.tables import study_markdown, write_scores

    key = read_key(study)
    scores = score_study(key, read_answers(answers, key), keep_failed=keep_failed)
    written = write_scores(key, scores, out or study)
    if as_json:
        print_json(json.loads(scores_json(key, scores)))
        return
    print(study_markdown(key, scores))
    for path in written:
        say(f"wrote    {path}")
