"""Servers on loopback for browser tests: the instance, an app that waits for its answer, and audio files."""

import contextlib
import io
import os
import socketserver
import threading
import time
import wave
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # handle_error ignores browsers that disconnect in the middle of an answer: that is no failure
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


@contextlib.contextmanager
def serving(application: Callable[..., Any]) -> Iterator[str]:
    """Serve ``application`` on a free port, and yield its address.

    ``BROWSER_DELAY=0.4`` delays each answer except static files by that many seconds: a test that reads what
    the previous page showed then fails every time, not only on a busy machine.
    """
    delay = float(os.environ.get("BROWSER_DELAY", "0"))

    def answer(environ: dict[str, Any], start: Any) -> Any:
        if not environ["PATH_INFO"].startswith("/static/"):
            time.sleep(delay)
        return application(environ, start)

    server = _Server(("127.0.0.1", 0), _Quiet)
    server.set_app(answer if delay else application)
    with _running(server):
        yield f"http://localhost:{server.server_port}"


class Landing:
    """An app's page to which the browser returns; ``visits`` has the paths that were requested."""

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
    # the interval at which it checks for shutdown; the default of half a second would be added to every test
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def silence(seconds: int) -> bytes:
    """Return a WAV file of silence of this many seconds."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8_000)
        sound.writeframes(b"\x80" * 8_000 * seconds)
    return file.getvalue()


@contextlib.contextmanager
def audio_files(files: dict[str, bytes]) -> Iterator[str]:
    """Run a publisher's server with these files by path, and yield its address. It answers range requests,
    which browsers need for seeking."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            if body is None:
                self.send_error(404)
                return
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            piece = body[int(first) : int(last) + 1 if last else len(body)]
            self.send_response(206)
            self.send_header("Content-Type", "audio/wav")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(piece) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(piece)))
            self.end_headers()
            with contextlib.suppress(OSError):  # browsers close a request when they have enough
                self.wfile.write(piece)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with _running(server):
        yield f"http://127.0.0.1:{server.server_port}"
