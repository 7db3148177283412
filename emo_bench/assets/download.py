"""Download one file over HTTP: fail early, resume after an interruption, and keep only a complete and correct file."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from emo_bench.assets.checksums import sha256_of
from emo_bench.files import try_lock

if TYPE_CHECKING:
    import requests

ATTEMPTS = 4
PAUSE_S = 1.0
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 14


class DownloadError(Exception):
    """The reason in one line why a file could not be downloaded."""


@dataclass(frozen=True)
class Wanted:
    """A file to download: its target path, and its size and SHA-256 if they are known."""

    label: str
    target: Path
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def part(self) -> Path:
        """The path of the incomplete file."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def origin(self) -> Path:
        """The path of the record of the incomplete file's URL and version mark (ETag or date)."""
        return self.target.with_name(f".{self.target.name}.part.json")

    def forget(self) -> None:
        """Remove what has been downloaded so far."""
        self.part.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)


def download(url: str, wanted: Wanted, answer_within_s: float) -> None:
    """Download a file to ``wanted.target``; resume if an earlier call left an incomplete file.

    The server must answer first within ``answer_within_s``. An interrupted connection is resumed at most three times;
    the received part is kept for the next call. A file that is not the wanted one is removed.

    Raises:
        DownloadError: the reason in one line.
    """
    import requests

    wanted.target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(wanted):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                resumed = _receive(url, wanted, answer_within_s)
            except requests.RequestException as error:
                done = wanted.part.stat().st_size if wanted.part.exists() else 0
                if not done and not isinstance(error, requests.exceptions.ChunkedEncodingError):
                    wanted.forget()
                    raise DownloadError(_in_words(error)) from error
                if attempt == ATTEMPTS:
                    raise DownloadError(
                        f"cut after {done} bytes ({_in_words(error)}); the same command goes on from there"
                    ) from error
                time.sleep(PAUSE_S)
                continue
            wrong = _wrong(wanted)
            if wrong is None:
                os.replace(wanted.part, wanted.target)
                wanted.origin.unlink(missing_ok=True)
                return
            wanted.forget()
            if not resumed:
                raise DownloadError(wrong)
        raise DownloadError("the server sends parts that do not form one file")


def _receive(url: str, wanted: Wanted, answer_within_s: float) -> bool:
    """Receive the rest of the file; return whether it was appended to an earlier part."""
    import requests

    have, headers = _beginning(url, wanted)
    with _answer(url, headers, answer_within_s) as response:
        code = response.status_code
        if code == requests.codes.requested_range_not_satisfiable:
            # The part is either the whole file or belongs to another file; the checks decide.
            if f"bytes */{have}" == response.headers.get("Content-Range"):
                return True
            wanted.forget()
            raise requests.exceptions.ChunkedEncodingError("the file has changed on the server")
        if code not in (requests.codes.ok, requests.codes.partial_content):
            wanted.forget()
            raise DownloadError(f"HTTP {code}")
        if code == requests.codes.ok or _range_start(response) != have:
            if code == requests.codes.partial_content:
                wanted.forget()
                raise requests.exceptions.ChunkedEncodingError(
                    "the server sends another part of the file than asked for"
                )
            have = 0
        total = _total(response, have)
        _refuse_early(response, wanted, total)
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        wanted.origin.write_text(json.dumps({"url": url, "tag": tag}), encoding="utf-8")
        with wanted.part.open("ab") as file:
            file.truncate(have)
            _write(response, file, wanted, have, total)
        if total is not None and wanted.part.stat().st_size < total:
            raise requests.exceptions.ChunkedEncodingError("connection closed early")
    return have > 0


def _write(response: requests.Response, file: IO[bytes], wanted: Wanted, have: int, total: int | None) -> None:
    from emo_bench.progress import track_progress

    with track_progress(total or 0, f"fetch {wanted.label} (bytes)") as advance:
        advance(have)
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            advance(len(chunk))


def _beginning(url: str, wanted: Wanted) -> tuple[int, dict[str, str]]:
    """Return the number of bytes received before, and the headers that request the rest of the same version."""
    headers = {"Accept-Encoding": "identity"}
    if not wanted.part.exists() or not wanted.origin.exists():
        return 0, headers
    have, origin = wanted.part.stat().st_size, json.loads(wanted.origin.read_text(encoding="utf-8"))
    known = wanted.sha256 is not None
    if not have or not (known or (origin["url"] == url and origin["tag"])):
        return 0, headers
    headers["Range"] = f"bytes={have}-"
    # A weak ETag does not guarantee equal bytes, so servers ignore it here.
    if origin["url"] == url and origin["tag"] and not origin["tag"].startswith("W/"):
        headers["If-Range"] = origin["tag"]
    return have, headers


def _answer(url: str, headers: dict[str, str], within_s: float) -> requests.Response:
    """Return the server's answer without its body; in a thread, because a name look-up has no timeout of its own."""
    import requests

    outcome: list[requests.Response | requests.RequestException] = []

    def ask() -> None:
        try:
            timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
            outcome.append(requests.get(url, headers=headers, stream=True, timeout=timeout))
        except requests.RequestException as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max(within_s, 0.1))
    if not outcome:
        raise requests.ConnectTimeout("no answer")
    if isinstance(outcome[0], requests.RequestException):
        raise outcome[0]
    return outcome[0]


def _refuse_early(response: requests.Response, wanted: Wanted, total: int | None) -> None:
    """Refuse, before the body is received, an answer that must be another file."""
    if wanted.size_bytes is not None and total is not None and total != wanted.size_bytes:
        wanted.forget()
        raise DownloadError(f"it has {total} bytes instead of {wanted.size_bytes}")
    if wanted.sha256 is None and response.headers.get("Content-Type", "").startswith("text/html"):
        wanted.forget()
        raise DownloadError("the server answers with a web page")


def _wrong(wanted: Wanted) -> str | None:
    """Return what is wrong with the complete file, or None."""
    size = wanted.part.stat().st_size if wanted.part.exists() else 0
    if wanted.size_bytes is not None and size != wanted.size_bytes:
        return f"it has {size} bytes instead of {wanted.size_bytes}"
    if size == 0:
        return "it is empty"
    if wanted.sha256 is None:
        return None
    found = sha256_of(wanted.part)
    return None if found == wanted.sha256 else f"its SHA-256 is {found[:12]}, not {wanted.sha256[:12]}"


def _total(response: requests.Response, have: int) -> int | None:
    length = response.headers.get("Content-Length")
    return None if length is None or not length.isdigit() else have + int(length)


def _range_start(response: requests.Response) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _in_words(error: requests.RequestException) -> str:
    """Return a few words instead of urllib3's sentences, which are full of addresses and object names."""
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer"
    cause: Any = error.args[0] if error.args else error
    reason = getattr(cause, "reason", cause)
    if type(reason).__name__ == "NameResolutionError":
        return "the host's name cannot be resolved"
    if type(reason).__name__ == "NewConnectionError":
        return "no connection"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "connection cut"
    text = str(error).splitlines()
    return text[0] if text and "object at" not in text[0] else type(error).__name__


@contextmanager
def _alone(wanted: Wanted) -> Iterator[Any]:
    """Prevent a second process from writing the same file."""
    lock = wanted.target.with_name(f".{wanted.target.name}.lock")
    with lock.open("w", encoding="utf-8") as file:
        if not try_lock(file):
            raise DownloadError("another command is fetching it")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
