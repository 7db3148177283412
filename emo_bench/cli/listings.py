"""``emo-bench methods``, ``metrics`` and ``protocols``: list and describe the choices."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from emo_bench.cli.options import Json, examples
from emo_bench.cli.output import group, print_columns, print_fields, print_json
from emo_bench.text.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emo_bench.metrics import MetricState
    from emo_bench.plug_ins.check import Check

# Number of frames on which a metric is tried: enough for several batches, and enough for every built-in metric.
CHECK_FRAMES, CHECK_PX = 6, 192

methods = group("List, describe and check methods.")
metrics = group("List the metrics and the scoring conventions.")
protocols = group("List and show protocols: splits and metrics.")


@methods.command("list", epilog=examples("methods list"))
def list_methods(as_json: Json = False) -> None:
    """List the methods, their kinds and their classes.

    An avatar fits a person and renders from the track; a video editor edits the recorded video. No file of a method is
    executed, so the kind of a plug-in is shown by methods show only.
    """
    from emo_bench.methods.registry import known_methods, listed_kind

    places = known_methods()
    if as_json:
        print_json(places)
    else:
        print_columns(("method", "kind", "class"), [(name, listed_kind(name), place) for name, place in places.items()])


@methods.command("show", epilog=examples("methods show emo-avatar"))
def show_method(
    name: Annotated[str, typer.Argument(help="Method: a name, path/to/file.py:Class or path/to/file.toml.")],
    as_json: Json = False,
) -> None:
    """Describe a method: paper, licence, profiles and settings."""
    from emo_bench.methods.clip_method import AVATAR, HOW, VIDEO_EDITOR, is_video_editor
    from emo_bench.methods.described import profile_configs, settings_of
    from emo_bench.methods.registry import method_class

    cls = method_class(name)
    configs, problems = profile_configs(cls)
    kind = VIDEO_EDITOR if is_video_editor(cls) else AVATAR
    if as_json:
        print_json({"kind": kind, "info": cls.info, "profiles": configs, "problems": problems})
        return
    info = cls.info
    print_fields(
        [
            ("method", info.name),
            ("title", info.title),
            ("kind", f"{kind} ({HOW[kind]})"),
            ("paper", info.paper),
            ("fidelity", info.fidelity),
            ("licence", info.licence),
            ("can", ", ".join(sorted(info.capabilities))),
            ("needs", ", ".join(info.requirements)),
            *((f"{profile}:", problem) for profile, problem in problems.items()),
        ]
    )
    # A command method's configuration holds more than the settings of --set.
    reached = {profile: settings_of(config) for profile, config in configs.items()}
    settings = list(dict.fromkeys(key for config in reached.values() for key in config))
    if settings:
        print()
        rows = [[key, *(reached[profile].get(key, "") for profile in reached)] for key in settings]
        print_columns(("--set", *reached), rows)


@methods.command("check", epilog=examples("methods check mean-frame"))
def check_method(
    name: Annotated[str, typer.Argument(help="Method: a name, path/to/file.py:Class or path/to/file.toml.")],
    actor: Annotated[str, typer.Option(help="Name of the actor. Its first frames are used.")] = "1",
) -> None:
    """Check on a few frames that a method works as methods must.

    The command prints one line per check. Exit codes: 0: all checks passed; 1: a check failed; 2: wrong input.
    """
    from emo_bench.methods.contract.checks import check_method as check

    _print_checks(check(name, actor))


@metrics.command("list", epilog=examples("metrics list"))
def list_metrics(as_json: Json = False) -> None:
    """List the metrics, and what is missing for each.

    "ready" means that the metric can be computed on this machine. If the package pyiqa is installed, the list shows
    those of its metrics that need no weights or whose weights are known assets; any other is named pyiqa:NAME too.
    """
    from emo_bench.metrics import list_metrics as states
    from emo_bench.metrics.registry import list_pyiqa

    found = [*states(with_backends=True), *list_pyiqa()]
    if as_json:
        print_json(found)
        return
    rows = [(*_described(state), state.missing or "ready", state.info.title if state.info else "") for state in found]
    headers = ("metric", "version", "better", "unit", "needs", "backend", "state", "title")
    print_columns(headers, rows, spare=("version", "needs", "unit", "backend"))


@metrics.command("check", epilog=examples("metrics check psnr", "metrics check contrast.py:ContrastError"))
def check_metric(
    name: Annotated[str, typer.Argument(help="A metric's id, or path/to/file.py:Class.")],
    actor: Annotated[str, typer.Option(help="Name of the actor. Its first frames are used.")] = "1",
) -> None:
    """Check on a few frames what every metric must do.

    Each check prints one line. The exit code is 1 if a check fails, and 2 if the metric cannot run on this machine.
    """
    import numpy as np

    from emo_bench import actors
    from emo_bench.metrics.contract import check_metric as check
    from emo_bench.metrics.registry import metric_class

    # A wrong name is reported before a video is decoded.
    metric_class(name)
    frames = np.stack(list(actors.load(actor).frames(range(CHECK_FRAMES), size=CHECK_PX)))
    _print_checks(check(name, frames))


@metrics.command("conventions", epilog=examples("metrics conventions"))
def list_conventions(as_json: Json = False) -> None:
    """List the scoring conventions of other projects.

    Use one with the option --convention of the command score. The list also shows the known quirks of each.
    """
    from emo_bench.metrics.conventions import CONVENTIONS

    if as_json:
        print_json(CONVENTIONS)
        return
    for convention in CONVENTIONS:
        print(f"{convention.name}: {convention.source}")
        print(f"  scores {', '.join(convention.metrics)}; background {convention.background_label}")
        for quirk in convention.quirks:
            print(f"  - {quirk}")
        for metric, theirs in convention.stands_for.items():
            print(f"  - {metric} stands for {theirs}.")


@protocols.command("list", epilog=examples("protocols list"))
def list_protocols(as_json: Json = False) -> None:
    """List the protocols and their splits.

    A star marks the default split.
    """
    from protocols import list_protocols as known

    found = known()
    if as_json:
        print_json([{"name": p.name, "version": p.version, "hash": p.hash(), "title": p.title} for p in found])
        return
    rows = [
        (p.name, p.version, p.hash()[:12], " ".join(_starred(s, p.default_split) for s in p.splits), p.title)
        for p in found
    ]
    print_columns(("protocol", "version", "hash", "splits", "title"), rows)


@protocols.command("show", epilog=examples("protocols show self_reenactment"))
def show_protocol(
    name: Annotated[str, typer.Argument(help="Name or TOML file of the protocol.")], as_json: Json = False
) -> None:
    """Show all fields of a protocol and its hash."""
    from protocols import load_protocol

    protocol = load_protocol(name)
    fields = protocol.model_dump(mode="json")
    if as_json:
        print_json({"hash": protocol.hash(), **fields})
    else:
        print_fields([("hash", protocol.hash()), *_flat(fields)])


def _print_checks(checks: "Iterable[Check]") -> None:
    """Print one line per check while the checks run; exit with code 1 if one fails."""
    failed = False
    for check in checks:
        failed |= check.ok is False
        mark = {True: "ok", False: "FAILED", None: "-"}[check.ok]
        print(printable(f"{mark:<7} {check.name}{f': {check.detail}' if check.detail else ''}"), flush=True)
    if failed:
        raise typer.Exit(1)


def _described(state: "MetricState") -> tuple[str, str, str, str, str, str]:
    """Return id, version, direction, unit, requirements and backend; only the id if a plug-in cannot be loaded."""
    info = state.info
    if info is None:
        return (state.id, "-", "-", "-", "-", "-")
    needs = info.needs or ("a reference" if info.needs_reference else "-")
    return (info.id, info.version, info.direction, info.unit, needs, state.backend.name if state.backend else "-")


def _flat(fields: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    flat: list[tuple[str, object]] = []
    for key, value in fields.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", ", ".join(map(_shown, value)) if isinstance(value, list) else value))
    return flat


def _shown(entry: object) -> str:
    """Return an entry of a list as text; of a table, its values, as in ``1 2 1000-1199`` for a pair."""
    return " ".join(map(str, entry.values())) if isinstance(entry, dict) else str(entry)


def _starred(name: str, default: str) -> str:
    return f"{name}*" if name == default else name
