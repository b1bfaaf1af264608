"""Fetches a file once: resumed, retried, checked, or put there by hand."""

import json
import time
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from spd.data.fingerprint import archive_fingerprint, remember_fingerprint
from spd.data.options import ArchiveOptions
from spd.files import file_sha256

CHUNK = 1 << 20  # bytes
PROGRESS = 1 << 20  # a broken transfer that brought this many bytes is no failed attempt
# Bounds how often a server may break off in all, even if each attempt brings something.
MOST_ATTEMPTS = 1000
LONGEST_WAIT = 60.0  # seconds between two attempts, whatever a server's Retry-After asks for


class DownloadError(ValueError):
    """A file could not be had; the message says where from, what was expected and where to put it by hand."""


class _Refused(Exception):
    """This attempt's answer can not become the file, and another attempt would not help."""


class _Retry(Retry):
    def parse_retry_after(self, retry_after: str) -> float:
        return min(LONGEST_WAIT, super().parse_retry_after(retry_after))


class _Changed(Exception):
    """What is there already does not fit what the server has now: begin again from the first byte."""


def fetch(
    path: str | Path,
    *,
    url: str | None,
    sha256: str | None,
    size: int | None = None,
    attempts: int = 6,
    timeout: float = 60.0,
    backoff: float = 1.0,
) -> Path:
    """Returns `path`, after downloading it where it is not there yet.

    A file that is there already, say put there by hand, is taken if its size and hash are right, and never
    overwritten. A download goes to `<path>.part`, which later runs continue, and is renamed when size and
    SHA-256 are right. `sha256` is needed for a download; None accepts any file that is there.

    attempts: failures in a row before giving up, with waits of backoff * 2**n seconds between them (at most
    a minute); timeout: seconds without a byte that count as a failure. Redirects are followed to http and
    https alone. Raises DownloadError.
    """
    path = Path(path)
    if path.exists():
        _require(path, sha256, size)
        return path
    expected = f"SHA-256 {sha256}" + (f", {size:,} bytes" if size is not None else "")
    if url is None:
        raise DownloadError(
            f"{path}: not there and no address to fetch it from; put the file there"
            + (f" ({expected})" if sha256 else "")
        )
    if sha256 is None:
        raise DownloadError(f"{path}: {url} is not fetched without a SHA-256 to check it by")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _Transfer(path, url, sha256, size, attempts, timeout, backoff).run()
    except (_Refused, requests.RequestException, HTTPError, OSError) as error:
        raise DownloadError(
            f"{url} could not be fetched: {error}\n"
            f"Fetch the file by other means and put it at {path} ({expected}); it is then accepted as it is."
        ) from error
    return path


def download(archive: ArchiveOptions, path: str | Path) -> Path:
    """`fetch` for an archive of the config: its address, size and hash, to `path`."""
    return fetch(path, url=archive.url, sha256=archive.sha256, size=archive.bytes)


def _require(path: Path, sha256: str | None, size: int | None) -> None:
    found = path.stat().st_size
    if size is not None and found != size:
        raise DownloadError(
            f"{path}: has {found:,} bytes, expected {size:,}; move it away to have it fetched"
        )
    if sha256 is not None and (digest := archive_fingerprint(path)) != sha256:
        raise DownloadError(
            f"{path}: its SHA-256 is {digest}, expected {sha256}; move it away to have it fetched"
        )


class _Transfer:
    """One download: `<name>.part` holds the bytes so far, `<name>.part.json` says of what."""

    def __init__(
        self,
        path: Path,
        url: str,
        sha256: str,
        size: int | None,
        attempts: int,
        timeout: float,
        backoff: float,
    ) -> None:
        self.path, self.url, self.sha256, self.size = path, url, sha256, size
        self.attempts, self.timeout, self.backoff = attempts, timeout, backoff
        self.part = path.with_name(f"{path.name}.part")
        self.state = path.with_name(f"{path.name}.part.json")
        self.joined = True  # until one answer has brought the whole file
        self.session = requests.Session()
        self.session.max_redirects = 5
        # Connections and busy servers are retried below us; what breaks within a body is resumed here.
        retry = _Retry(
            total=attempts, backoff_factor=backoff, status_forcelist=(408, 429, 500, 502, 503, 504),
            allowed_methods=("GET",), raise_on_status=False, backoff_max=LONGEST_WAIT,
        )  # fmt: skip
        self.session.mount("http://", HTTPAdapter(max_retries=retry))
        self.session.mount("https://", HTTPAdapter(max_retries=retry))

    def run(self) -> None:
        self._receive()
        if (digest := file_sha256(self.part)) != self.sha256 and self.joined:
            # Put together from several answers, which may have been of different files.
            self._restart()
            self._receive()
            digest = file_sha256(self.part)
        if digest != self.sha256:
            self._restart()
            raise _Refused(f"the server has another file now: its SHA-256 is {digest}")
        self.part.rename(self.path)
        self.state.unlink(missing_ok=True)
        remember_fingerprint(self.path, digest)

    def _receive(self) -> None:
        """Brings the part to its full length."""
        failures = 0
        for _ in range(MOST_ATTEMPTS):
            before = self._offset()
            try:
                self._attempt(before)
                return
            except _Changed:
                self._restart()
                failures += 1
                reason: Exception = _Refused("the file changes while it is fetched")
            except HTTPError as error:  # within the body; requests' own exceptions are final, after retries
                failures = 0 if self._offset() - before >= PROGRESS else failures + 1
                reason = error
            if failures >= self.attempts:
                raise reason
            time.sleep(min(LONGEST_WAIT, self.backoff * 2**failures))
        raise _Refused(f"the server broke off {MOST_ATTEMPTS} times")

    def _attempt(self, offset: int) -> None:
        if self.size is not None and offset == self.size:
            return
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator := self._state().get("validator"):
                headers["If-Range"] = validator
        try:
            response = self.session.get(self.url, headers=headers, stream=True, timeout=self.timeout)
        except requests.exceptions.InvalidSchema as error:
            raise _Refused(f"it redirects to what is neither http nor https ({error})") from None
        with response:
            offset = self._accept(response, offset)
            if not offset:
                self._write_state(response)
            self._receive_body(response, offset)

    def _accept(self, response: requests.Response, offset: int) -> int:
        """Where the body's first byte belongs in the file. Raises _Refused or _Changed."""
        status = response.status_code
        if status == 416 and offset:
            raise _Changed
        if status not in (200, 206):
            raise _Refused(f"the server answers {status} {response.reason}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise _Refused("the server answers with a web page in place of the file; the link may have moved")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _Refused(f"the server insists on Content-Encoding {response.headers['Content-Encoding']}")
        length = response.headers.get("Content-Length")
        if status == 206:
            first, total = _content_range(response.headers.get("Content-Range", ""))
            if first != offset or (self.size is not None and total not in (None, self.size)):
                raise _Changed if offset else _Refused("the server sends a part that was not asked for")
            self.joined = True
            return offset
        if self.size is not None and length is not None and int(length) != self.size:
            raise _Refused(f"the server's file has {int(length):,} bytes")
        self.joined = False
        return 0  # the whole file: Range was ignored, or the file is no longer the one begun

    def _receive_body(self, response: requests.Response, offset: int) -> None:
        name = f"download {self.path.name}"
        with (
            self.part.open("r+b" if offset else "wb") as out,
            tqdm(total=self.size, initial=offset, unit="B", unit_scale=True, desc=name) as bar,
        ):
            out.seek(offset)
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                out.write(chunk)
                bar.update(len(chunk))
                if self.size is not None and out.tell() > self.size:
                    raise _Refused(f"the server sends more than the expected {self.size:,} bytes")
            if self.size is not None and out.tell() < self.size:
                raise HTTPError(f"the connection ended after {out.tell():,} of {self.size:,} bytes")

    def _offset(self) -> int:
        if self._state().get("url") != self.url:
            self._restart()  # the beginning of something else
        size = self.part.stat().st_size if self.part.exists() else 0
        if self.size is not None and size > self.size:
            self._restart()
            return 0
        return size

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads(self.state.read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _write_state(self, response: requests.Response) -> None:
        tag = response.headers.get("ETag", "")
        # If-Range takes strong tags only.
        validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
        self.state.write_text(json.dumps({"url": self.url, "validator": validator}))

    def _restart(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)


def _content_range(header: str) -> tuple[int | None, int | None]:
    """(first byte, total length) of `bytes 5-9/10`; None for what is not stated."""
    try:
        span, total = header.removeprefix("bytes ").split("/")
        return int(span.split("-")[0]), None if total == "*" else int(total)
    except ValueError:
        return None, None
