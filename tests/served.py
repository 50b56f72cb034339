"""A built folder served to the tests: by http with or without byte ranges, all bytes counted."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Served(ThreadingHTTPServer):
    """`sent` is the number of bytes of files that went out, `requests` their first lines."""

    daemon_threads = True

    def __init__(self, folder: Path, ranges: bool = True, listing: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.ranges, self.listing = ranges, listing
        self.sent, self.requests = 0, []
        self.counting = threading.Lock()  # a request is a thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(SimpleHTTPRequestHandler):
    server: Served
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        self.server.requests.append(self.requestline)
        if path.is_dir() and self.server.listing:
            return super().do_GET()
        if not path.is_file():
            return self.send_error(404)
        data, status = path.read_bytes(), 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked and self.server.ranges:
            data, status = data[int(asked[1]) : int(asked[2]) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with self.server.counting:  # before the client has them, and may look
            self.server.sent += len(data)
        self.wfile.write(data)
        return None

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path, **options: bool) -> Iterator[Served]:
    """A server of the files below `folder`, until the end of the block."""
    server = Served(folder, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
