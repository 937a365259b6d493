"""The secrets that a test run uses, and the logs, in which none of them may appear.

Every function that creates a token or receives a password, an address or the name of a feed is wrapped for
the run, so that no test has to list its secrets. The run's own log is written to BALADOS_HOME, beside the
logs of its servers.
"""

import binascii
import functools
import logging
import logging.config
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

OURS = (
    "accounts",
    "api",
    "balados",
    "eventstore",
    "feeds",
    "jobs",
    "operations",
    "playgateway",
    "projections",
    "web",
)
# the parts of a token between dots, slashes and equal signs; shorter parts are too common to be searched for
PIECE = re.compile(r"[A-Za-z0-9_-]{12,}")
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>)\]}]+")
# the only line that is meant to contain a token: the set-up link, shown on the administrator's own terminal
MEANT = re.compile(r"its administrator: \S+")


class Kept(logging.FileHandler):
    """A log of the tests' own process."""


_pieces: set[str] = set()
_addresses: set[str] = set()
_texts: set[str] = set()
_outputs: list[tuple[str, str]] = []


def remember(secret: str) -> str:
    """Note a secret: a token, a password, an e-mail address, a private URL. Returns it."""
    if "://" in secret:
        if len(secret) >= 16:
            _addresses.add(secret)
        return secret
    if not _remember_pieces(secret) and len(secret) >= 8:
        _texts.add(secret)
    return secret


def keep(name: str, output: str) -> None:
    """Keep the output of a process, to be searched at the end."""
    _outputs.append((name, output))


def found_in(text: str) -> set[str]:
    """Return the secrets that appear in ``text``."""
    text = MEANT.sub("", text)
    pieces = _pieces.intersection(PIECE.findall(text))
    addresses = {found for found in set(ADDRESS.findall(text)) if found.startswith(tuple(_addresses))}
    return pieces | addresses | {secret for secret in _texts if secret in text}


def logs() -> Iterator[tuple[str, str]]:
    """Yield every log of this run, with its name: those of the tests, of their servers, and of instances."""
    for file in sorted(Path(os.environ["BALADOS_HOME"]).rglob("*.log")):
        yield str(file), file.read_text(errors="replace")
    yield from _outputs


def count() -> int:
    return len(_pieces) + len(_addresses) + len(_texts)


def begin() -> None:
    """Wrap the functions that secrets pass through, and start to keep what is logged. To be called after
    Django's set-up and before any test."""
    import jwt
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.sessions.backends.base import SessionBase
    from django.middleware import csrf

    from accounts.models import UserManager
    from accounts.recovery import Tokens
    from eventstore import log
    from examples import two_devices

    _remember_results(secrets, "token_urlsafe")
    _remember_results(jwt.PyJWS, "encode")
    _remember_results(SessionBase, "_get_new_session_key")
    _remember_results(csrf, "_get_new_csrf_string")
    _remember_results(Tokens, "token_of")
    _remember_results(two_devices, "feed")
    _remember_results(two_devices, "item")
    _wrap(AbstractBaseUser, "set_password", lambda user, raw=None, *_: [raw])
    _wrap(AbstractBaseUser, "check_password", lambda user, raw=None, *_: [raw])
    _wrap(UserManager, "create_user", lambda manager, username, email="", *_, **__: [email])
    _wrap(log, "append", lambda stream, expected, events, *_, **__: _remember_names(events))
    # Code that sets Django up again (a WSGI application, a command line) removes the handlers.
    configure = logging.config.dictConfig

    def configured(config: Any) -> None:
        configure(config)
        keep_logs()

    logging.config.dictConfig = configured
    keep_logs()


def keep_logs() -> None:
    """Start to write what is logged to files, unless that has been done."""
    from balados.logs import FORMATS, formatter

    home, root = Path(os.environ["BALADOS_HOME"]), logging.getLogger()
    if any(isinstance(handler, Kept) for handler in root.handlers):
        return
    for form in FORMATS:
        lines = Kept(home / f"tests-{form}.log", delay=True)
        lines.setFormatter(formatter(form))
        root.addHandler(lines)
    # what our own code logs, before redaction
    raw = Kept(home / "tests-raw.log", delay=True)
    raw.setFormatter(logging.Formatter("%(name)s %(message)s"))
    raw.addFilter(lambda record: record.name.startswith(OURS))
    root.addHandler(raw)


def _remember_pieces(secret: str) -> bool:
    found = {piece for piece in PIECE.findall(secret) if any(map(str.isdigit, piece))}
    _pieces.update(found)
    return bool(found)


def _remember_names(events: Sequence[Any]) -> Iterator[str]:
    """Note the feeds and items of events: their base64 names here, and the addresses in these by yielding
    them."""
    for event in events:
        for field in ("rss_source_feed", "rss_source_item"):
            name = getattr(event, field, None)
            if isinstance(name, str):
                _remember_pieces(name)
                with suppress(ValueError):
                    yield from ADDRESS.findall(binascii.a2b_base64(name).decode())


def _remember_results(owner: Any, name: str) -> None:
    made = getattr(owner, name)

    @functools.wraps(made)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = made(*args, **kwargs)
        remember(result if isinstance(result, str) else result.decode())
        return result

    setattr(owner, name, wrapped)


def _wrap(owner: Any, name: str, secrets_of: Callable[..., Iterable[str | None]]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for secret in secrets_of(*args, **kwargs):
            if isinstance(secret, str):
                remember(secret)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)
