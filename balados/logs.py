"""Structured logs: one line per event on stderr, as JSON or as text, with the request that it belongs to.

All of it uses the standard library's logging, as libraries do. Additional fields are given as
``logger.info("…", extra={"fields": {…}})``.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from django.http import HttpRequest

from accounts import pseudonyms
from balados import redaction
from balados.databases import SEARCH_PATHS
from projections.connect import ConnectionWithTimeout
from projections.failures import in_maintenance

Format = Literal["json", "console"]
Line = dict[str, Any]
FORMATS: Final[Sequence[Format]] = ("console", "json")
# Fields that this module sets itself. None of them is secret, so they are not redacted.
OWN = frozenset(("timestamp", "level", "logger", "request", "user", "app"))
# Django's own loggers write the path of a request after a colon
PATH_AFTER_COLON = ("django.request", "django.security", "django.server")

logger = logging.getLogger(__name__)
# the stores whose pools have failed to connect since they last answered, and since when (monotonic clock)
_away: dict[str, float] = {}
# the request that this thread is answering
request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


class Unexpected(logging.Filter):
    """Drops tracebacks caused by maintenance mode, which the operator has asked for, and records of 503
    responses, which have a line already (api/errors.py, web/errors.py): during an outage there are many."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "status_code", None) == 503:
            return False
        failure = record.exc_info[1] if record.exc_info else None
        return failure is None or not in_maintenance(failure)


def configuration(level: str, form: str) -> dict[str, Any]:
    """Return the LOGGING of Django's settings; ``form`` is one of ``FORMATS``."""
    # otherwise a line that cannot be formatted is printed with all its arguments, unredacted
    logging.raiseExceptions = False
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "balados.logs.formatter", "form": form}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # one line at the start of every process, and five for every log-in
            "axes": {"level": "WARNING"},
            # several lines for every task
            "celery": {"level": "WARNING"},
            "celery.beat": {"filters": ["stackless"]},
            # a warning for every 4xx, with its address: what a listener follows must not be logged
            "django.request": {"level": "ERROR", "filters": ["unexpected"]},
            # an error with a traceback for each request with a wrong Host; the request's own line already
            # says 400
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # two lines at INFO for every connection taken from a pool, which is several per request
            "psycopg.pool": {"level": "WARNING", "filters": ["stores"]},
        },
        "filters": {
            "stackless": {"()": "balados.logs.WithoutStacks"},
            "stores": {"()": "balados.logs.OncePerOutage"},
            "unexpected": {"()": "balados.logs.Unexpected"},
        },
    }


class WithoutStacks(logging.Filter):
    """Keeps one line of what the scheduler reports about a task that it cannot send. While Redis is away or
    full, that is several times a minute, and Celery adds two stacks each time."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.args, tuple):
            record.msg, record.args, record.exc_info = "%s", record.args[:1], None
        return True


class OncePerOutage(logging.Filter):
    """Keeps only a pool's first failure to connect to its store, until ``store_answers``.

    A pool logs a line for each connection that a restart of PostgreSQL closed, and for each later attempt. An
    unreachable replica already has a line of its own (projections/replicas.py). Where logging is configured
    twice, as in Celery's worker, the logger has two of these filters: the first to see a record decides.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        kept = record.__dict__
        if "is_news" not in kept:
            kept["is_news"] = self._is_news(record)
        return bool(kept["is_news"])

    @staticmethod
    def _is_news(record: logging.LogRecord) -> bool:
        about = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if not isinstance(about, str):
            return not (isinstance(about, ConnectionWithTimeout) or record.msg.startswith("discarding"))
        is_news = about in SEARCH_PATHS and about not in _away
        _away.setdefault(about, time.monotonic())
        return is_news


def store_answers(alias: str) -> None:
    """Note that the store has given a connection; logs a line if that ends an outage."""
    if _away.pop(alias, None) is not None:
        logger.warning("The %s store is back", alias)


def seconds_away(alias: str) -> float:
    """Return for how long the store has given no connection; 0 if it gave the last one that was asked
    for."""
    since = _away.get(alias)
    return 0.0 if since is None else time.monotonic() - since


class Lines(logging.Formatter):
    """Formats records as lines, without anything that must not appear in a log."""

    def __init__(self, render: Callable[[Line], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        try:
            return self._render(redacted(self._describe(record)))
        except Exception as failure:
            # the standard library would print the record's arguments unredacted
            words = {"event": "a line that cannot be written", "failure": type(failure).__name__}
            return self._render(head_of(record) | words)

    def _describe(self, record: logging.LogRecord) -> Line:
        event = record.getMessage()
        if record.name.startswith(PATH_AFTER_COLON):
            event = event.partition(": ")[0]
        line = head_of(record) | {"event": event} | of_request() | getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return line


def formatter(form: Format = "console") -> logging.Formatter:
    """Return the formatter for records of the standard library."""
    return Lines(to_json if form == "json" else to_text)


def head_of(record: logging.LogRecord) -> Line:
    return {
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }


def of_request() -> Line:
    """Return the id of the request that this thread is answering, and its user and app if they are already
    known: nothing is looked up for a log line. Empty outside of requests."""
    current: Any = request.get()
    if current is None:
        return {}
    found = {"request": current.request_id}
    caller, user = getattr(current, "auth", None), getattr(current, "_cached_user", None)
    if caller is not None:
        found |= of_caller(caller.user_id, caller.app_id)
    elif user is not None and user.is_authenticated:
        found["user"] = pseudonyms.of(user.pk)
    return found


def of_caller(user_id: UUID, app_id: str) -> Line:
    """Return what a line says of a user and an app."""
    return {"user": pseudonyms.of(user_id), "app": _redacted_app(app_id)}


# redacted because an app chooses its own id
_redacted_app = lru_cache(maxsize=1_024)(redaction.text)


def redacted(line: Line) -> Line:
    return {name: found if name in OWN else redaction.value(name, found) for name, found in line.items()}


def to_json(line: Line) -> str:
    return msgspec.json.encode(line).decode()


def to_text(line: Line) -> str:
    """Return the fields as text: time, level, logger and event first, then the other fields, and a traceback
    below."""
    traceback = line.pop("exception", None)
    words = [line.pop(field) for field in ("timestamp", "level", "logger", "event")]
    text = " ".join([*words, *(f"{field}={found}" for field, found in line.items())])
    return f"{text}\n{traceback}" if traceback else text
