"""``emo-bench assets``: weights and data files, ours and from elsewhere."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.cli.output import Json, group, print_columns, print_json, say

if TYPE_CHECKING:
    from emo_bench.assets import Asset, AssetFile

PIPE_COLUMNS = 160

app = group("Weights and data files, ours and from elsewhere: where each is, and how to get it.")


@app.command("list", epilog="Example: emo-bench assets list")
def list_all(as_json: Json = False) -> None:
    """List the assets: size, state, licence, what needs each, and whose it is; --json also has their paths.

    "bundled" lies in our own packages, "cached" was fetched or added; "unverified" has no published SHA-256.
    """
    from emo_bench.assets import MISSING, list_assets, locate

    found = [(asset, locate(asset.name)) for asset in list_assets()]
    if as_json:
        print_json(
            [
                {
                    "asset": asset,
                    "state": file.source if file else MISSING,
                    "size_bytes": file.size_bytes if file else asset.size_bytes,
                    "verified": file.verified if file else None,
                    "path": file.path if file else None,
                    "remedy": asset.remedy(),
                }
                for asset, file in found
            ]
        )
        return
    _print_table(found)


@app.command(epilog="Example: emo-bench assets fetch lpips-alex")
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Assets; see: emo-bench assets list.")],
    offline: Annotated[bool, typer.Option("--offline", help="Open no connection: only say what is here.")] = False,
) -> None:
    """Download assets into the cache; a cut download goes on where it stopped, what is here is left alone.

    The SHA-256 is checked where one is published, and recorded where none is.
    """
    from emo_bench.assets import fetch as fetch_asset

    for name in names:
        file = fetch_asset(name, offline=offline)
        say(f"{name}  {file.state}: {file.path}")


@app.command(epilog="Example: emo-bench assets add clip-vit-b-32 ~/Downloads/ViT-B-32.pt")
def add(
    name: Annotated[str, typer.Argument(help="An asset; see: emo-bench assets list.")],
    path: Annotated[Path, typer.Argument(help="The file, under any name, or the folder.")],
) -> None:
    """Take a file or folder that you already have into the cache; it must be the catalogued one."""
    from emo_bench.assets import add as add_asset

    file = add_asset(name, path)
    say(f"{name}  {file.state}: {file.path}")


@app.command(epilog="Example: emo-bench assets licences")
def licences(as_json: Json = False) -> None:
    """List every weight, data set and package that a run may touch, with its licence; NC marks non-commercial."""
    from emo_bench.assets.licences import ledger

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


def _print_table(found: "list[tuple[Asset, AssetFile | None]]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from emo_bench.assets import MISSING

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("asset", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for title, share in (("state", 2), ("licence", 3), ("needed by", 3), ("source", 4)):
        table.add_column(title, ratio=share, overflow="fold")
    for asset, file in found:
        state = file.state if file else f"{MISSING}; run: {asset.remedy()}"
        cells = (asset.name, _size(asset, file), state, asset.licence, ", ".join(asset.needed_by), asset.source)
        table.add_row(*map(escape, cells), style=None if file else "dim")
    Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(table)


def _size(asset: "Asset", file: "AssetFile | None") -> str:
    size_bytes = file.size_bytes if file else asset.size_bytes
    if size_bytes is None:
        return asset.size_about or "?"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.0f} kB"
