"""Structured logs: one line per event on stderr, JSON or for the eye, with the request that it belongs to.

Everything goes through the standard library's logging, libraries included, and structlog's processors make
the line of it. Fields of our own are given as ``logger.info("…", extra={"fields": {…}})``.
"""

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
import structlog
from django.http import HttpRequest
from structlog.typing import EventDict, Processor, WrappedLogger

from accounts import pseudonyms
from balados import redaction

Format = Literal["json", "console"]
FORMATS: Final[Sequence[Format]] = ("console", "json")
# Fields that this module and balados/requests.py make themselves, out of things that are no secrets.
OWN = frozenset(("timestamp", "level", "logger", "request", "user", "method", "route", "status", "ms"))
# Django's own loggers put the path of a request behind a colon
PATHS = ("django.request", "django.security", "django.server")

# The request that this thread answers.
request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def configuration(level: str, form: str) -> dict[str, Any]:
    """The LOGGING of Django's settings. Raises ``ValueError`` for another format than ``FORMATS``."""
    if form not in FORMATS:
        raise ValueError(f"LOG_FORMAT is {form!r}; it is one of: {', '.join(FORMATS)}")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "balados.logs.formatter", "form": form}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # a line at the start of every process and five for every log-in
            "axes": {"level": "WARNING"},
            # lines for every task
            "celery": {"level": "WARNING"},
            # a warning for every 4xx, with its address: what a listener follows belongs in no log
            "django.request": {"level": "ERROR"},
            # an error with its traceback for whoever sends another host's name: its line says 400
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # two lines at INFO for every connection taken from a pool, so several per request
            "psycopg.pool": {"level": "WARNING"},
        },
    }


def formatter(form: Format = "console") -> logging.Formatter:
    """What makes lines of the standard library's records."""
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    renderer: Processor = to_json if form == "json" else to_text
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[describe],
        processors=[*last, add_failure, redact, renderer],
        # the traceback has become a field, which is redacted; the standard library would append it once more
        keep_exc_info=False,
        keep_stack_info=False,
    )


def describe(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """When, how bad, who says it; in a request also which one, and for whom."""
    record: logging.LogRecord = event["_record"]
    line: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }
    line.update(event)
    if record.name.startswith(PATHS):
        line["event"] = str(line["event"]).partition(": ")[0]
    current = request.get()
    if current is not None:
        line.update(of_request(current))
    fields = getattr(record, "fields", None)
    if fields:
        line.update(fields)
    return line


def of_request(current: HttpRequest) -> dict[str, str]:
    """Its id, and who sent it as far as somebody has asked: nothing is looked up for a line."""
    found: dict[str, str] = {"request": current.request_id}  # type: ignore[attr-defined]
    caller = getattr(current, "auth", None)
    if caller is not None:
        found["user"] = pseudonyms.in_logs(caller.user_id)
        found["app"] = caller.app_id
        return found
    user = getattr(current, "_cached_user", None)
    if user is not None and user.is_authenticated:
        found["user"] = pseudonyms.in_logs(user.pk)
    return found


def add_failure(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return event if not event.get("exc_info") else structlog.processors.format_exc_info(logger, name, event)


def redact(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    for field, found in event.items():
        if field not in OWN:
            event[field] = redaction.value(field, found)
    return event


def to_json(logger: WrappedLogger, name: str, event: EventDict) -> str:
    return msgspec.json.encode(event).decode()


def to_text(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """Time, level, source and words first, fields behind, a traceback below."""
    traceback = event.pop("exception", None) or event.pop("stack", None)
    words = [event.pop(field) for field in ("timestamp", "level", "logger", "event")]
    line = " ".join([*map(str, words), *(f"{field}={found}" for field, found in event.items())])
    return f"{line}\n{traceback}" if traceback else line
