"""Run an ablation and write its report."""

from __future__ import annotations

import shlex
from pathlib import Path

from emo_bench.ablation.figures import draw_figures
from emo_bench.ablation.runs import AblationRequest, VariantResult, ablation_folder, run_ablation
from protocols.ablation import Ablation
from reports.ablation.tables import AblationReport
from reports.ablation.writing import write_ablation


def make_ablation(ablation: Ablation, request: AblationRequest, config: Path | None) -> tuple[AblationReport, Path]:
    """Run the variants, and write the report and the figures.

    The report is written again after each variant, so that it can be read while the others run.

    Args:
        ablation: the variants and tables.
        request: what the user asks for.
        config: the file that ``ablation`` was read from; None for the default file.

    Returns:
        The report, and the path of ablation.md.

    Raises:
        UserError: a variant or style does not exist, or the reference variant cannot be run.
    """
    out = ablation_folder(ablation, request)
    command = ablate_command(request, config)
    results: list[VariantResult] = []
    for result in run_ablation(ablation, request):
        results.append(result)
        report = AblationReport(ablation, results)
        write_ablation(report, out, command)
    draw_figures(ablation, results, out)
    return report, write_ablation(report, out, command)


def ablate_command(request: AblationRequest, config: Path | None) -> str:
    """The command line that makes the same ablation again."""
    base = request.base
    given = {
        "--actor": base.actor,
        "--profile": base.profile,
        "--protocol": base.protocol,
        "--split": base.split,
        "--style": request.style,
        "--config": config,
        "--runs": base.runs_dir,
        "--device": base.device,
    }
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    words += ["--seed", str(base.seed), *(word for name in request.only for word in ("--only", name))]
    pairs = [*base.settings.items(), *((f"edit.{key}", value) for key, value in request.edit_settings.items())]
    pairs += [] if base.clip == "auto" else [("clip", base.clip)]
    words += [word for key, value in pairs for word in ("--set", f"{key}={value}")]
    return shlex.join(["emo-bench", "ablate", *words, *([] if request.edits else ["--skip-edit"])])
