"""Structured logs: one line per event on stderr, JSON or for the eye, with the request that it belongs to.

Everything goes through the standard library's logging, libraries included, and structlog's processors make
the line of it. Fields of our own are given as ``logger.info("…", extra={"fields": {…}})``.
"""

import logging
import time
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
import structlog
from django.http import HttpRequest
from structlog.typing import EventDict, Processor, WrappedLogger

from accounts import pseudonyms
from balados import redaction
from projections.failures import in_maintenance
from projections.patience import Impatient

Format = Literal["json", "console"]
FORMATS: Final[Sequence[Format]] = ("console", "json")
# Fields that this module makes itself, out of things that are no secrets.
OWN = frozenset(("timestamp", "level", "logger", "request", "user", "app"))
# Django's own loggers put the path of a request behind a colon
PATHS = ("django.request", "django.security", "django.server")

# The request that this thread answers.
request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


class Unexpected(logging.Filter):
    """Lets through what is worth a traceback: not the operator's own doing, whose 503 has its line."""

    def filter(self, record: logging.LogRecord) -> bool:
        failure = record.exc_info[1] if record.exc_info else None
        return failure is None or not in_maintenance(failure)


def configuration(level: str, form: str) -> dict[str, Any]:
    """The LOGGING of Django's settings. Raises ``ValueError`` for another format than ``FORMATS``."""
    if form not in FORMATS:
        raise ValueError(f"LOG_FORMAT is {form!r}; it is one of: {', '.join(FORMATS)}")
    # a line that cannot be written would be printed with all that it was given
    logging.raiseExceptions = False
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
            "django.request": {"level": "ERROR", "filters": ["unexpected"]},
            # an error with its traceback for whoever sends another host's name: its line says 400
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # two lines at INFO for every connection taken from a pool, so several per request
            "psycopg.pool": {"level": "WARNING", "filters": ["stores"]},
        },
        "filters": {
            "stores": {"()": "balados.logs.OfStores"},
            "unexpected": {"()": "balados.logs.Unexpected"},
        },
    }


class OfStores(logging.Filter):
    """A replica that is away has its one line (projections/replicas.py): its pool's attempts get none."""

    def filter(self, record: logging.LogRecord) -> bool:
        about = record.args[0] if isinstance(record.args, tuple) and record.args else None
        return not (isinstance(about, Impatient) or str(about).startswith("projections_replica_"))


class RequestLine(logging.LogRecord):
    """What became of a request. Without all that nobody reads of a record: where in the code, which thread.

    A line for every request: by the usual way, over structlog's processors, it cost 180 µs of the processor
    where other work has the caches, a sixth of a whole request.
    """

    pathname = filename = module = funcName = ""
    lineno = 0
    args = exc_info = exc_text = stack_info = None
    thread = threadName = process = processName = taskName = None
    msecs = relativeCreated = 0.0
    name = "balados.requests"
    msg = "request"

    def __init__(self, level: int, fields: dict[str, Any]) -> None:
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.created = time.time()
        self.fields = fields


class Lines(structlog.stdlib.ProcessorFormatter):
    """Records to lines."""

    def __init__(self, renderer: Processor) -> None:
        self._render = renderer
        own: list[Processor] = [self.remove_processors_meta, add_failure, redact, renderer]
        # the traceback becomes a field, which is redacted; the standard library would append it once more
        super().__init__(
            processors=own, foreign_pre_chain=[describe], keep_exc_info=False, keep_stack_info=False
        )

    def format(self, record: logging.LogRecord) -> str:
        if type(record) is RequestLine:
            # its fields are made of routes and figures: there is nothing to take out
            return str(self._render(None, "", head_of(record) | {"event": record.msg} | about(record)))
        try:
            return super().format(record)
        except Exception as failure:
            # the standard library would print what the line was given, as it is
            words = {"event": "a line that cannot be written", "failure": type(failure).__name__}
            return str(self._render(None, "", head_of(record) | words))


def formatter(form: Format = "console") -> logging.Formatter:
    """What makes lines of the standard library's records."""
    return Lines(to_json if form == "json" else to_text)


def head_of(record: logging.LogRecord) -> dict[str, Any]:
    """When, how bad, who says it."""
    return {
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }


def about(record: logging.LogRecord) -> dict[str, Any]:
    """Within a request which one, and for whom; and the record's own fields."""
    current = request.get()
    found = {} if current is None else of_request(current)
    return found | getattr(record, "fields", {})


def describe(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    line = head_of(record)
    line.update(event)
    if record.name.startswith(PATHS):
        line["event"] = str(line["event"]).partition(": ")[0]
    line.update(about(record))
    return line


def of_request(current: HttpRequest) -> dict[str, str]:
    """Its id, and who sent it as far as somebody has asked: nothing is looked up for a line."""
    found: dict[str, str] = {"request": current.request_id}  # type: ignore[attr-defined]
    caller = getattr(current, "auth", None)
    if caller is not None:
        found["user"] = pseudonyms.of(caller.user_id)
        found["app"] = _shown(caller.app_id)
        return found
    user = getattr(current, "_cached_user", None)
    if user is not None and user.is_authenticated:
        found["user"] = pseudonyms.of(user.pk)
    return found


# an app chooses its id
_shown = lru_cache(maxsize=1_024)(redaction.text)


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
