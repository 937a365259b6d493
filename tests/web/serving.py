"""Servers on loopback for browser tests: the instance itself, and an app that waits for its answer."""

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # a browser that goes away in the middle of an answer is no failure
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


@contextlib.contextmanager
def serving(application: Callable[..., Any]) -> Iterator[str]:
    """``application`` on a free port; gives its address."""
    server = _Server(("127.0.0.1", 0), _Quiet)
    server.set_app(application)
    with _running(server):
        yield f"http://localhost:{server.server_port}"


class Landing:
    """The page of an app that a browser comes back to; ``visits`` are the paths asked for."""

    def __init__(self, server: HTTPServer) -> None:
        self.address = f"http://127.0.0.1:{server.server_port}"
        self.visits: list[str] = []


@contextlib.contextmanager
def landing(host: str = "127.0.0.1") -> Iterator[Landing]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/favicon.ico":
                landed.visits.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"Thank you")

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = HTTPServer((host, 0), Handler)
    landed = Landing(server)
    with _running(server):
        yield landed


@contextlib.contextmanager
def _running(server: HTTPServer) -> Iterator[None]:
    # polls for its end; half a second by default would be added to every test
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
