"""Finished runs to report on, and a browser to look with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emo_bench.runs import runner
from emo_bench.runs.manifest import write_manifest
from emo_bench.runs.plan import RunRequest


@pytest.fixture(scope="session")
def runs_dir(actor_home: Path, quick_protocol_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mean-frame and nearest-frame, at two resolutions; copy it before changing it."""
    folder = tmp_path_factory.mktemp("reported")
    protocol = folder / "quick.toml"
    protocol.write_text(quick_protocol_text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMO_BENCH_HOME", str(actor_home))
        for settings in ({}, {"resolution_px": "32"}):
            request = RunRequest(
                "mean-frame",
                "dot",
                str(protocol),
                profile="smoke",
                settings=settings,
                runs_dir=folder / "runs",
                device="cpu",
            )
            runner.run(request)
    return folder / "runs"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, from EMO_BENCH_CHROMIUM or PATH, driven by playwright; skips without either."""
    names = (os.environ.get("EMO_BENCH_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in EMO_BENCH_CHROMIUM")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a file from disk without a network; the test fails on any console error, exception or failed request."""
    contexts, trouble = [], []

    def open_one(path: Path, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height}, offline=True, accept_downloads=True, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("requestfailed", lambda request: trouble.append(f"request of {request.url[:80]}"))
        page.goto(path.resolve().as_uri())
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not trouble


@pytest.fixture(scope="session")
def edits_dir(runs_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods' edits of one actor in two styles: real runs of 64 px under the name of an edit."""
    folder = tmp_path_factory.mktemp("edited")
    for source in runs_dir.rglob("run.json"):
        if "resolution_px" in source.as_posix():
            continue
        for style in ("clay", "ink"):
            copied = folder / f"{source.parent.parent.name}-{style}"
            shutil.copytree(source.parent, copied)
            manifest = json.loads((copied / "run.json").read_text())
            manifest["identity"]["style"] = {
                "name": style,
                "source_caption": "a disc",
                "target_caption": f"a disc in {style}",
                "instruction": "",
                "editor": "file",
                "editor_settings": {"image": f"{style}.png"},
            }
            write_manifest(copied, manifest)
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A command in this process: exit code, stdout, stderr."""
    from emo_bench.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert isinstance(ended.value.code, int)
        return (ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def runs(runs_dir: Path, tmp_path: Path) -> Path:
    """A copy of `runs_dir` that a test may change."""
    return Path(shutil.copytree(runs_dir, tmp_path / "runs"))


@pytest.fixture
def derived() -> Callable[..., Path]:
    """Copy a run, changing its identity and its scores in place."""
    return derive


def forget(manifest: dict[str, Any], name: str) -> None:
    """Take a file's checksum out of a manifest, so that a test may write other content."""
    for stage in manifest["stages"].values():
        stage.get("files", {}).pop(name, None)
        stage.get("other_files", {}).pop(name, None)


def derive(
    source: Path,
    target: Path,
    identity: Callable[[dict[str, Any]], Any] | None = None,
    scores: Callable[[Any], None] | None = None,
) -> Path:
    """A copy of a run at `target`; `identity` changes the manifest's entry, `scores` the table."""
    import pandas

    shutil.copytree(source, target)
    manifest = json.loads((target / "run.json").read_text())
    table = pandas.read_parquet(target / "frames.parquet")
    if identity is not None:
        identity(manifest["identity"])
    if scores is not None:
        scores(table)
    forget(manifest, "frames.parquet")
    write_manifest(target, manifest)
    table.to_parquet(target / "frames.parquet")
    return target
