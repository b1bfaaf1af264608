"""Downloads against a server of our own that behaves badly on purpose."""

import hashlib
import json
import random
import re
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spd.data.download import DownloadError, download, fetch
from spd.data.options import ArchiveOptions

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers the i-th request with `script[i]`, later ones with its last, and records each one's headers."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.requests = [], []
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.tar"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        number = len(self.server.requests)
        self.server.requests.append(dict(self.headers))
        self.server.script[min(number, len(self.server.script) - 1)](self)
        self.close_connection = True

    def answer(self, body, status=200, *, sent=None, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:sent])
        self.wfile.flush()

    def offset(self):
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else 0


def whole(content=CONTENT, **headers):
    """A proper server: ranges, ETag and If-Range."""

    def respond(handler):
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        first = handler.offset()
        if handler.headers.get("If-Range", tag) != tag:
            first = 0
        if first >= len(content):
            return handler.answer(b"", 416)
        if first:
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            return handler.answer(content[first:], 206, Content_Range=span, ETag=tag, **headers)
        return handler.answer(content, ETag=tag, **headers)

    return respond


def cut(n, content=CONTENT, **headers):
    """Sends the first n bytes of what was asked for, then closes the connection in good order."""

    def respond(handler):
        first = handler.offset()
        body = content[first:]
        if first:
            headers_ = {"Content_Range": f"bytes {first}-{len(content) - 1}/{len(content)}", **headers}
            handler.answer(body, 206, sent=n, **headers_)
        else:
            handler.answer(body, sent=n, **headers)

    return respond


def reset(n):
    """Sends n bytes, then resets the connection."""

    def respond(handler):
        cut(n)(handler)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return respond


def stall(n):
    """Sends n bytes, then nothing more until the test has ended."""

    def respond(handler):
        cut(n)(handler)
        handler.server.released.wait(20)

    return respond


def status(code, **headers):
    return lambda handler: handler.answer(b"no", code, **headers)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.released.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def get(server, tmp_path):
    path = tmp_path / "archives" / "file.tar"

    def run(*script, **options):
        server.script = list(script)
        defaults = {"sha256": SHA256, "size": len(CONTENT), "attempts": 3, "timeout": 0.3, "backoff": 0.001}
        return fetch(path, **{"url": server.url, **defaults, **options})

    run.path = path
    return run


def left(get):
    return sorted(p.name for p in get.path.parent.iterdir() if not p.name.startswith("."))


ENDS_WELL = {
    "plain": [whole()],
    "cut": [cut(100_000), whole()],
    "reset": [reset(100_000), reset(50_000), whole()],
    "stall": [stall(120_000), whole()],
    "empty": [cut(0), whole()],
    "5xx": [status(503), status(500), whole()],
    "429": [status(429, Retry_After="0"), whole()],
    # The whole file again, from its first byte.
    "range ignored": [cut(100_000), lambda handler: handler.answer(CONTENT)],
    "changed": [cut(100_000, OTHER, ETag='"other"'), whole()],
    # Without a validator to tell: only the hash shows it.
    "changed silently": [cut(100_000, OTHER), whole()],
    "wrong range": [
        cut(9),
        lambda handler: handler.answer(CONTENT[5:], 206, Content_Range="bytes 5-299999/300000"),
        whole(),
    ],
    "weak tag": [lambda handler: handler.answer(CONTENT, ETag='W/"weak"', sent=70_000), whole()],
}


@pytest.mark.parametrize("script", ENDS_WELL.values(), ids=ENDS_WELL)
def test_ends_in_the_right_file(get, script):
    assert get(*script).read_bytes() == CONTENT
    assert left(get) == ["file.tar"]


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size known", "size unknown"])
def test_a_later_run_continues_where_the_first_stopped(get, server, size):
    with pytest.raises(DownloadError):
        get(cut(40_000, ETag=f'"{hashlib.md5(CONTENT).hexdigest()}"'), cut(0), size=size)
    assert (get.path.parent / "file.tar.part").read_bytes() == CONTENT[:40_000]
    server.requests.clear()
    assert get(whole(), size=size).read_bytes() == CONTENT
    assert [r.get("Range") for r in server.requests] == ["bytes=40000-"]
    assert server.requests[0]["If-Range"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'


def test_a_server_may_not_ask_for_hours_of_waiting(get, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    assert get(status(429, Retry_After="7200"), whole()).read_bytes() == CONTENT
    assert waits and max(waits) == 60


def test_a_weak_tag_is_not_used_for_resuming(get, server):
    get(lambda h: h.answer(CONTENT, ETag='W/"weak"', sent=70_000), whole())
    assert "If-Range" not in server.requests[1]


def test_a_complete_part_needs_no_server(get, server):
    get.path.parent.mkdir()
    (get.path.parent / "file.tar.part").write_bytes(CONTENT)
    (get.path.parent / "file.tar.part.json").write_text(json.dumps({"url": server.url, "validator": None}))
    assert get(status(404)).read_bytes() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/elsewhere", None], ids=["other address", "no state"])
def test_a_part_of_something_else_is_not_continued(get, server, url):
    get.path.parent.mkdir()
    (get.path.parent / "file.tar.part").write_bytes(OTHER[:1000])
    if url:
        (get.path.parent / "file.tar.part.json").write_text(json.dumps({"url": url, "validator": None}))
    get(whole())
    assert "Range" not in server.requests[0]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([status(404)], "answers 404"),
        ([status(403)], "answers 403"),
        ([status(503)], "answers 503"),
        ([stall(0)], "timed out"),
        ([cut(0)], "0 bytes read"),
        ([whole(OTHER[:-1])], "the server's file has 299,999 bytes"),
        ([whole(OTHER)], f"another file now: its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}"),
        ([cut(100_000), whole(OTHER)], "another file now"),
        ([cut(100_000), whole(OTHER[:-1])], "the server's file has 299,999 bytes"),
        ([lambda h: h.answer(b"<html>moved</html>", Content_Type="text/html; charset=utf-8")], "a web page"),
        ([status(302, Location="file:///etc/hostname")], "neither http nor https"),
        ([status(302, Location="ftp://127.0.0.1/file")], "neither http nor https"),
        ([status(302, Location="/file.tar")], "redirects"),
        ([lambda h: h.answer(CONTENT, Content_Encoding="gzip")], "Content-Encoding gzip"),
        ([lambda h: h.answer(CONTENT[:7], 206, Content_Range="bytes 0-6/7")], "was not asked for"),
    ],
)
def test_ends_in_a_clear_error(get, server, script, message):
    with pytest.raises(DownloadError, match=re.escape(message)) as caught:
        get(*script)
    for stated in (server.url, SHA256, "300,000 bytes", f"put it at {get.path}"):
        assert stated in str(caught.value)
    assert not get.path.exists()


def test_the_wrong_file_is_not_fetched_twice_unless_it_was_put_together(get, server):
    for script, expected in (([whole(OTHER)], 1), ([cut(100_000, OTHER), whole(OTHER)], 3)):
        server.requests.clear()
        with pytest.raises(DownloadError):
            get(*script)
        assert len(server.requests) == expected


def test_an_unknown_length_that_never_ends_is_cut_off(get):
    def endless(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while not handler.server.released.is_set():
                handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        except OSError:
            pass

    with pytest.raises(DownloadError, match="more than the expected 300,000 bytes"):
        get(endless)


def test_redirects_to_another_host_are_followed(get, server):
    other = Server()
    other.script = [whole()]
    threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    target = other.url.replace("127.0.0.1", "localhost")
    assert get(status(302, Location=target)).read_bytes() == CONTENT
    assert len(other.requests) == 1
    other.shutdown()
    other.server_close()


def test_a_file_placed_by_hand_is_accepted_and_never_overwritten(get, server):
    get.path.parent.mkdir()
    get.path.write_bytes(CONTENT)
    assert get(status(404)) == get.path
    assert get(status(404), url=None) == get.path
    get.path.write_bytes(OTHER)
    with pytest.raises(DownloadError, match="its SHA-256 is"):
        get(whole())
    get.path.write_bytes(OTHER[:10])
    with pytest.raises(DownloadError, match="has 10 bytes, expected 300,000"):
        get(whole())
    assert get.path.read_bytes() == OTHER[:10]
    assert get(whole(), sha256=None, size=None) == get.path  # nothing to check it by
    assert server.requests == []


def test_no_address_and_no_hash_are_named(get):
    with pytest.raises(DownloadError, match=f"no address to fetch it from; put the file there .*{SHA256}"):
        get(whole(), url=None)
    with pytest.raises(DownloadError, match="not fetched without a SHA-256"):
        get(whole(), sha256=None)


def test_no_server(get, server):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.tar"
        with pytest.raises(DownloadError, match="could not be fetched"):
            get(whole(), url=url)


def test_an_archive_of_the_config(server, tmp_path):
    server.script = [whole()]
    archive = ArchiveOptions(file="unused", url=server.url, bytes=len(CONTENT), sha256=SHA256)
    assert download(archive, tmp_path / "file.tar").read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="has 300,000 bytes, expected 5"):
        download(archive.model_copy(update={"bytes": 5}), tmp_path / "file.tar")
