"""The direction of imports that docs/ARCHITECTURE.md draws, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEAVES = {
    "errors", "files", "leaving", "seeds", "progress", "paths", "assets", "perceptual", "lossless", "untrusted", "pictures",
    "regular_file", "video_file", "ffv1_checksums", "opencv", "system_libraries",
}  # fmt: skip
OPEN_TO_METHODS = {
    "method", "actors", "assets", "devices", "perceptual", "progress", "errors", "files", "regular_file", "lossless", "tracking",
    "reference_editors", "method_settings", "seeds", "untrusted", "opencv",
}  # fmt: skip
# Of the metrics only where CLIP is found.
CLIP = "emo_bench.metrics.clip_model"
# What each part of emo_bench may import of it; a part that is not listed may import all but the command line.
ALLOWED = {
    "console": set(),
    "waiting_threads": set(),
    "plain_text": set(),
    "csv_text": set(),
    "system_libraries": set(),
    "errors": {"console", "plain_text", "system_libraries"},
    "opencv": {"errors", "system_libraries"},
    "files": {"errors"},
    "toml_file": {"errors", "regular_file"},
    "devices": {"errors"},
    "progress": set(),
    "paths": set(),
    "assets": {"errors", "files", "paths", "progress"},
    "perceptual": {"assets", "errors", "untrusted"},
    "untrusted": {"errors"},
    "regular_file": {"errors"},
    "picture_bytes": set(),
    "pictures": {"errors", "picture_bytes", "regular_file"},
    "video_file": {"errors", "pictures"},
    "ffv1_checksums": set(),
    "lossless": {"errors", "files", "video_file"},
    "tracking": LEAVES,
    "actors": LEAVES | {"tracking", "plain_json"},
    "diffusion_pipelines": {"assets", "errors", "paths"},
    "reference_editors": {"diffusion_pipelines", "errors", "pictures"},
    "method": {"actors", "devices", "errors"},
    "plug_in_calls": {"errors", "plain_text", "system_libraries"},
    "seeds": {"errors"},
    "method_settings": {"errors", "perceptual"},
    "metrics": {
        "assets",
        "perceptual",
        "tracking",
        "errors",
        "opencv",
        "plug_in_calls",
        "untrusted",
        "plain_json",
    },
    "methods": {"assets", "method", "command_method", "errors", "plug_in_calls"},
    "watched_method": {"method", "methods", "actors", "errors", "plug_in_calls"},
    "exporters": {"actors", "tracking", "progress", "errors"},
    "frame_source": {"actors", "errors", "pictures", "regular_file"},
    "masks": {"frame_source", "errors", "pictures"},
    "numbered_frames": {"frame_source", "errors", "pictures"},
    "plain_json": {"errors", "regular_file"},
    "manifest": {"errors", "plain_json"},
    "store": {"errors", "files", "manifest", "plain_json"},
    "finished_runs": {"errors", "manifest", "plain_json", "regular_file", "store"},
}


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def part_of(name: str, package: str = "emo_bench") -> str | None:
    """`actors` of `emo_bench.actors.capture.Capture`; None for other packages and for `emo_bench.__version__`."""
    head, _, rest = name.partition(".")
    part = rest.partition(".")[0]
    known = (ROOT / package / part).is_dir() or (ROOT / package / f"{part}.py").is_file()
    return part if head == package and part and known else None


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_parts_import_only_what_is_below_them(part: str) -> None:
    folder = ROOT / "emo_bench" / part
    sources = files(f"emo_bench/{part}") if folder.is_dir() else [folder.with_suffix(".py")]
    for path in sources:
        for name in imports(path):
            imported = part_of(name)
            assert imported in {None, part, *ALLOWED[part]}, f"{path.relative_to(ROOT)} imports {name}"
            outside = name.partition(".")[0]
            assert outside not in {"emo_avatar", "baselines", "reports"}, f"{path} imports {name}"


@pytest.mark.parametrize("package", ["emo_avatar", "baselines"])
def test_methods_use_the_published_interface(package: str) -> None:
    for path in files(package):
        for name in imports(path):
            allowed = part_of(name) in {None, *OPEN_TO_METHODS} or name.startswith(f"{CLIP}.")
            assert allowed, f"{path.relative_to(ROOT)} imports {name}"
            assert name.partition(".")[0] not in {"protocols", "reports"}, f"{path} imports {name}"


def test_nothing_imports_the_command_line() -> None:
    for package in ("emo_bench", "emo_avatar", "baselines", "protocols", "reports"):
        for path in files(package):
            if "cli" not in path.parts and path.name != "__main__.py":
                assert "cli" not in {part_of(name) for name in imports(path)}, path


def test_opencv_is_loaded_by_one_module() -> None:
    """Where its libraries are missing, that module says so in one line."""
    for package in ("emo_bench", "emo_avatar", "baselines", "protocols", "reports"):
        for path in files(package):
            if path != ROOT / "emo_bench" / "opencv.py":
                assert "cv2" not in {name.partition(".")[0] for name in imports(path)}, path


def test_the_map_names_every_part() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    entries = [path for path in (ROOT / "emo_bench").iterdir() if path.suffix == ".py" or path.is_dir()]
    parts = {path.stem for path in entries} - {"__init__", "__main__", "__pycache__"}
    missing = {part for part in parts if f".{part}`" not in table}
    assert not missing
