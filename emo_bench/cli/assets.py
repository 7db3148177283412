"""``emo-bench assets``: weights and data files from elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.output import Json, group, print_columns, print_json

app = group("Weights and data files from elsewhere: where each is, and how to get it.")


@app.command("list", epilog="Example: emo-bench assets list")
def list_all(as_json: Json = False) -> None:
    """List the assets, where each was found, and the command that gets a missing one."""
    from emo_bench.assets import list_assets, locate

    found = [(asset, locate(asset.name)) for asset in list_assets()]
    if as_json:
        print_json([{"asset": asset, "found": file, "remedy": asset.remedy()} for asset, file in found])
        return
    rows = [
        (
            asset.name,
            f"{asset.size_bytes / 2**20:.1f} MB",
            asset.licence,
            f"{file.source}: {file.path}" if file else f"not here; run: {asset.remedy()}",
        )
        for asset, file in found
    ]
    print_columns(("asset", "size", "licence", "where"), rows)


@app.command(epilog="Example: emo-bench assets fetch lpips-alex")
def fetch(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Assets; see: emo-bench assets list.")
    ],
) -> None:
    """Download assets into the cache; SHA-256 checked, what is here already is left alone."""
    from emo_bench.assets import fetch as fetch_asset

    for name in names:
        file = fetch_asset(name)
        print(f"{name}  {file.source}: {file.path}")


@app.command(epilog="Example: emo-bench assets add clip-vit-b-32 ~/Downloads/ViT-B-32.pt")
def add(
    name: Annotated[str, typer.Argument(help="An asset; see: emo-bench assets list.")],
    path: Annotated[Path, typer.Argument(help="The file, under any name.")],
) -> None:
    """Take a file that you already have into the cache; size and SHA-256 must be the catalogued ones."""
    from emo_bench.assets import add as add_asset

    file = add_asset(name, path)
    print(f"{name}  {file.path}")


@app.command(epilog="Example: emo-bench assets licences")
def licences(as_json: Json = False) -> None:
    """List every weight, data set and package that a run may touch, with its licence; NC marks non-commercial."""
    from emo_bench.licences import ledger

    lines = ledger()
    if as_json:
        print_json(lines)
        return
    rows = [
        (
            line.kind,
            line.name,
            "NC" if line.non_commercial else "",
            line.licence,
            "yes" if line.here else "no",
            line.note,
        )
        for line in lines
    ]
    print_columns(("kind", "name", "", "licence", "here", "note"), rows)
