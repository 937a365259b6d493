"""Web servers with the same application, by name only: docs/decisions/0006-web-server.md rests on it."""

import sys
from importlib.util import find_spec
from statistics import median

from benchmarks import environment, instance, wrk
from benchmarks.report import Section, number
from benchmarks.requests import LISTENERS, follow
from benchmarks.scale import Scale
from benchmarks.wrk import CONNECTIONS, Run

ROUNDS = 3
WSGI, ASGI = "balados.wsgi:application", "benchmarks.asgi:application"


def granian(interface: str, workers: int, threads: int) -> list[str]:
    command = [sys.executable, "-m", "granian", "--interface", interface, "--workers", str(workers)]
    command += ["--port", "{port}", "--http", "1", "--no-ws", "--log-level", "error"]
    if interface == "wsgi":
        return [*command, "--blocking-threads", str(threads), WSGI]
    return [*command, ASGI]


def gunicorn(workers: int, threads: int) -> list[str]:
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error"]
    command += ["--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads)]
    return [*command, "--keep-alive", "75", WSGI]


def uvicorn(workers: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "--port", "{port}", "--workers", str(workers)]
    return [*command, "--log-level", "error", "--lifespan", "off", "--ws", "none", ASGI]


def contenders() -> dict[str, list[str]]:
    found = {
        f"granian WSGI, {workers} × {threads} threads": granian("wsgi", workers, threads)
        for workers, threads in ((1, 2), (1, 4), (1, 8), (2, 1), (2, 2), (2, 4), (2, 8))
    }
    found["granian ASGI, 2 workers"] = granian("asgi", 2, 0)
    found["balados.serve, 2 × 8 threads"] = [sys.executable, "-m", "balados.serve"]
    if find_spec("gunicorn"):
        found |= {f"gunicorn gthread, 2 × {threads} threads": gunicorn(2, threads) for threads in (4, 8)}
    if find_spec("uvicorn"):
        found["uvicorn ASGI, 2 workers"] = uvicorn(2)
    return found


def run(scale: Scale) -> Section:
    columns = ["", "POST/s", "p50 ms", "p99 ms", "CPU ms", "GET/s", "p50 ms", "p99 ms", "CPU ms"]
    section = Section(f"Web servers, {CONNECTIONS} connections", columns)
    if wrk.PROGRAM is None:
        section.notes.append(wrk.MISSING)
        return section
    environment.empty()
    who = instance.listeners(LISTENERS)
    follow(who)
    environment.let_go()
    runs: dict[str, list[tuple[Run, Run]]] = {}
    with instance.projector():
        for _ in range(min(ROUNDS, scale.request_rounds)):
            for name, command in contenders().items():
                with instance.web(command, WEB_CONCURRENCY="2") as server:
                    wrk.run(server, "GET", "/api/v1/subscriptions", who, 1)
                    wrk.run(server, "POST", "/api/v1/plays", who, 1)
                    pair = (
                        wrk.run(server, "POST", "/api/v1/plays", who, scale.request_seconds),
                        wrk.run(server, "GET", "/api/v1/subscriptions", who, scale.request_seconds),
                    )
                runs.setdefault(name, []).append(pair)
    for name, pairs in runs.items():
        posts, gets = zip(*pairs, strict=True)
        section.rows.append([name, *_figures(posts), *_figures(gets)])
    return section


def _figures(runs: tuple[Run, ...]) -> list[str]:
    figures = zip(*((run.per_second, run.p50, run.p99, run.cpu) for run in runs), strict=True)
    return [number(median(values)) for values in figures]
