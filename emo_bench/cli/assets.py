"""``emo-bench assets``: weights and data files, our own and those of other projects."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.cli.options import Json, examples
from emo_bench.cli.output import group, print_columns, print_json, say
from emo_bench.text.plain_text import printable

if TYPE_CHECKING:
    from emo_bench.assets import Asset, AssetFile

PIPE_COLUMNS = 160

app = group("List, fetch and add weights and data files.")


@app.command("list", epilog=examples("assets list"))
def list_all(as_json: Json = False) -> None:
    """List the assets with their size, state, licence and source.

    State "bundled": the file is part of the installation. State "cached": it was fetched or added. "unverified": its
    publisher gives no SHA-256, so it could not be checked. With --json the list also has the path of each file.
    """
    from emo_bench.assets import MISSING, broken_plug_ins, list_assets, locate

    found = [(asset, locate(asset.name)) for asset in list_assets()]
    for problem in broken_plug_ins():
        print(f"note: left out: {printable(problem)}", file=sys.stderr)
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


@app.command(epilog=examples("assets fetch lpips-alex"))
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names of assets, as the list shows them.")],
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not use the network. Only check which assets are on this machine.")
    ] = False,
) -> None:
    """Download assets into the cache.

    An interrupted download continues. Assets that are already on this machine are not downloaded again. The SHA-256 is
    checked if the publisher gives one; otherwise it is recorded.
    """
    from emo_bench.assets import fetch as fetch_asset

    for name in names:
        file = fetch_asset(name, offline=offline)
        say(f"{name}  {file.state}: {file.path}")


@app.command(epilog=examples("assets add clip-vit-b-32 ~/Downloads/ViT-B-32.pt"))
def add(
    name: Annotated[str, typer.Argument(help="Name of the asset, as the list shows it.")],
    path: Annotated[Path, typer.Argument(help="File or folder that you have. A file may have any name.")],
) -> None:
    """Copy a file or folder that you already have into the cache.

    The file must be the one that the catalogue describes: its SHA-256 is checked.
    """
    from emo_bench.assets import add as add_asset

    file = add_asset(name, path)
    say(f"{name}  {file.state}: {file.path}")


@app.command(epilog=examples("assets licences"))
def licences(as_json: Json = False) -> None:
    """List all weights, data sets and packages with licences.

    The list has everything that a run may use. NC marks licences that forbid commercial use.
    """
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
        cells = (asset.name, _size(asset, file), state, asset.licence, ", ".join(asset.needed_by), _source(asset))
        table.add_row(*map(escape, cells), style=None if file else "dim")
    Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(table)


def _source(asset: "Asset") -> str:
    return f"{asset.source} (plug-in {asset.plug_in})" if asset.plug_in else asset.source


def _size(asset: "Asset", file: "AssetFile | None") -> str:
    size_bytes = file.size_bytes if file else asset.size_bytes
    if size_bytes is None:
        return asset.size_about or "?"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.0f} kB"
