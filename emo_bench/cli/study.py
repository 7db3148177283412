"""``emo-bench study``: people's opinions of edits, as in the paper's Table 3."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.defaults import all_runs
from emo_bench.cli.options import Json, RunsToRead, examples, finite
from emo_bench.cli.output import group, print_json, say
from emo_bench.methods.seeds import GREATEST

app = group("Build and score user studies of edits.")

BUILD = examples("study build", "study build runs --method emo-avatar --method tokenflow")
SCORE = examples("study score answers/ --study study")
Folder = Path("study")


@app.command("build", epilog=BUILD)
def build(
    runs: RunsToRead = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the study.")] = Folder,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=60, callback=finite, help="Length of each clip, in seconds.")
    ] = 3.0,
    seed: Annotated[
        int, typer.Option(min=0, max=GREATEST, help="Random seed for the choice of segments and attention checks.")
    ] = 0,
    title: Annotated[str, typer.Option(help="Title of the page.")] = "Edited portrait videos",
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Show only the edits of this method; it may be a glob. May be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a page for participants from finished edits.

    The command writes study.html, the page, and study.json, its key. The page needs no server. Do not give the key to
    participants.

    Each finished edit is one clip. Participants see the source and the edit side by side, once each, in random order,
    mixed with attention checks. They save their answers as a file.
    """
    from emo_bench.runs.finished import find_runs
    from reports.study.building import KEY, PAGE, StudyRequest, build_study

    request = StudyRequest(seconds, seed, title, tuple(method or ()))
    key = build_study(find_runs(all_runs(runs, "using every finished edit")), out, request)
    if as_json:
        print_json({"page": out / PAGE, "key": out / KEY, "study": key.model_dump(mode="json")})
        return
    checks = "1 attention check" if len(key.checks) == 1 else f"{len(key.checks)} attention checks"
    say(f"clips    {len(key.clips)}, and {checks}")
    for note in key.notes:
        say(f"note     {note}")
    say(f"page     {out / PAGE} (for participants)")
    say(f"key      {out / KEY} (not for participants)")


@app.command("score", epilog=SCORE)
def score(
    answers: Annotated[
        list[Path], typer.Argument(metavar="ANSWERS", help="Files that participants saved, or folders with such files.")
    ],
    study: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the study, as the command study build wrote it.")
    ] = Folder,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the scores. Default: the folder of the study.")
    ] = None,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Also count participants who failed an attention check.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score the answers of participants.

    The scores are mean opinions with 95 % intervals, the agreement between participants, and the paper's Table 3.
    """
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
