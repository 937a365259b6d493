"""What the web server costs by itself: ``python -m benchmarks.hello`` serves it as balados.serve would."""

from collections.abc import Callable, Iterable

from balados import serve
from balados.buffering import Buffered

Start = Callable[[str, list[tuple[str, str]]], object]


def application(environ: dict[str, object], start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


buffered = Buffered(application)

if __name__ == "__main__":
    server = serve.server()
    server.target = "benchmarks.hello:buffered"
    server.serve()
