"""Every setting that an operator can make, with its type, range and form; docs/settings.md explains them.

Importing this module ends the process if any setting cannot be used, with one line for each such setting: its
name, its value (unless that may be secret) and what it must be. Blank counts as unset. Where the environment
does not set a value, that of the last ``make run`` on this BALADOS_HOME applies.
"""

import os
import re
import sys
from collections.abc import Callable
from email.utils import parseaddr
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import idna
import msgspec
from msgspec import Meta

from balados import databases, home, machine, mail

T = TypeVar("T")
BASE_DIR = Path(__file__).resolve().parent.parent
FOR_EVER = 36_500  # days
SMALL_BELOW = 2 * 1024**3  # bytes of memory
WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
DEFAULT_PORTS = {"http": 80, "https": 443}
_faults: list[str] = []
given = {name: value.strip() for name, value in os.environ.items() if value.strip()}


def _read(name: str, default: T, parse: Callable[[str], T], right: str, *, secret: bool = False) -> T:
    if name not in given:
        return default
    try:
        return parse(given[name])
    except ValueError:
        is_shown = not secret and not _has_password(given[name])
        _faults.append(f"{name} must be {right}" + (f", not {given[name]!r}" if is_shown else ""))
        return default


def _has_password(text: str) -> bool:
    """Whether a text may be like ``https://user:password@host``, with or without the scheme."""
    return re.search(":.*@", re.sub(r"^\w+://", "", text)) is not None


def _text(name: str, pattern: str, right: str) -> str:
    kind = Annotated[str, Meta(pattern=f"^{pattern}$")]
    return _read(name, "", partial(_read_as, kind), right, secret=True)


def _path(name: str, default: Path) -> Path:
    return _read(name, default, lambda text: Path(text).absolute(), "a path")


def _whole(name: str, default: int, low: int, high: int = 2**31 - 1, also: str = "") -> int:
    number = Annotated[int, Meta(ge=low, le=high)]
    return _read(name, default, partial(_read_as, number), f"a number from {low} to {high}{also}")


def _seconds(name: str, default: float, low: float = 0.001, high: float = 86_400.0) -> float:
    number = Annotated[float, Meta(ge=low, le=high)]
    return _read(name, default, partial(_read_as, number), f"a number of seconds from {low:g} to {high:g}")


def _switch(name: str, default: bool) -> bool:
    return _read(name, default, lambda text: _one_of(WORDS, text.lower()), "true or false")


def _choice(name: str, default: str, *words: str) -> str:
    chosen = {word.lower(): word for word in words}
    return _read(name, default, lambda text: _one_of(chosen, text.lower()), f"one of {', '.join(words)}")


def _list(
    name: str, default: list[T], parse: Callable[[str], T], right: str, *, secret: bool = False
) -> list[T]:
    def parse_all(text: str) -> list[T]:
        return [parse(part.strip()) for part in text.split(",") if part.strip()]

    return _read(name, default, parse_all, f"{right}, separated by commas", secret=secret)


def _store(name: str, default: str) -> str:
    return _read(name, default, databases.check_url, databases.FORM, secret=True)


def _read_as(kind: Any, text: str) -> Any:
    return msgspec.convert(text, kind, strict=False)


def _one_of(chosen: dict[str, T], word: str) -> T:
    if word not in chosen:
        raise ValueError
    return chosen[word]


def public_url(text: str) -> str:
    """Return ``text`` as browsers send it: lower case, IDN hosts in ASCII, no default port, no slash at the
    end.

    Raises ``ValueError`` for anything but a scheme, a host and a port.
    """
    parts = urlsplit(text)
    if parts.scheme not in DEFAULT_PORTS or parts.username is not None or parts.path.strip("/"):
        raise ValueError
    if not parts.hostname or "?" in text or "#" in text or parts.port == 0:
        raise ValueError
    port = "" if parts.port in (None, DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{_host(parts.hostname)}{port}"


def _live_address(text: str) -> str:
    """Return ``text`` in the form of ``public_url``, for WebSockets. Raises ``ValueError``."""
    if not re.match("wss?://", text, re.IGNORECASE):
        raise ValueError
    return f"ws{public_url(f'http{text[2:]}')[4:]}"


def _live_url(url: str, port: int, live_port: int) -> str:
    parts = urlsplit(url)
    reached_directly = parts.scheme == "http" and (parts.port or DEFAULT_PORTS["http"]) == port
    host = parts.netloc if not reached_directly else f"{parts.netloc.removesuffix(f':{port}')}:{live_port}"
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{host}"


def _host(name: str) -> str:
    """Return an IP address or a host name in the form that URLs use."""
    if ":" in name or re.fullmatch(r"[\d.]+", name):
        address = ip_address(name.strip("[]"))
        return f"[{address}]" if address.version == 6 else str(address)
    return idna.encode(name.rstrip("."), uts46=True, std3_rules=True).decode()


def _is_reachable(url: str) -> bool:
    """Whether a server elsewhere can reach this public URL by HTTPS."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host or re.fullmatch(r"[\d.]+", host):
        return parts.scheme == "https" and ip_address(host).is_global
    private = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
    return parts.scheme == "https" and "." in host and not host.endswith(private)


def _domain(text: str) -> str:
    if re.search(r"[:/@]|^[\d.]+$", text):
        raise ValueError
    return _host(text)


def _allowed_host(text: str) -> str:
    dot = "." if text.startswith(".") else ""
    return text if text == "*" else dot + _host(text.removeprefix("."))


def _redis(text: str) -> str:
    import redis  # 15 MB that `make run` does without when it starts a Redis itself

    redis.Redis.from_url(text).close()  # does not connect yet
    return text


def _sender(text: str) -> str:
    address = parseaddr(text)[1]
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", address) or not text.isprintable():
        raise ValueError
    return text


def _port(text: str) -> int:
    port: int = _read_as(Annotated[int, Meta(ge=1, le=65_535)], text)
    return port


def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)


# the directory with an instance's data on this machine
BALADOS_HOME = _path("BALADOS_HOME", BASE_DIR / ".balados")
# Set for one `make run` to confirm that its URLs differ from those of the last start on purpose.
STORES_MOVED = _switch("STORES_MOVED", False)
remembered = home.variables(BALADOS_HOME)
given = {
    **{name: value for name, value in remembered.items() if name in ("SECRET_KEY", *home.URLS)},
    **given,
}

# "normal" runs more than the minimum of processes, threads and caches, for which a machine needs enough
# memory.
PROFILE = _choice("PROFILE", "small" if machine.memory() < SMALL_BELOW else "normal", "small", "normal")
SMALL = PROFILE == "small"
DEBUG = _switch("DEBUG", False)
# Whether db_reset may delete data that cannot be rebuilt while DEBUG is off; to be set for that one command.
ALLOW_DESTRUCTIVE_RESET = _switch("ALLOW_DESTRUCTIVE_RESET", False)
# There is no default: Django refuses to sign anything without it.
SECRET_KEY = _text(
    "SECRET_KEY",
    r".{50,}",
    "50 random characters or more: python3 -c 'import secrets; print(secrets.token_urlsafe(50))' makes one",
)
LISTEN_HOST = _read(
    "LISTEN_HOST",
    "127.0.0.1",
    lambda text: str(ip_address(text)),
    "an IP address, as 127.0.0.1, 0.0.0.0 or ::1",
)
PORT = _whole("PORT", 8000, 1, 65_535)
# whether there is a process for live connections (balados/live.py), and the port that it listens on
LIVE = _switch("LIVE", True)
# Far from PORT, because the next port may be another instance's, and browsers refuse to use some ports.
LIVE_PORT = _whole("LIVE_PORT", PORT + 20_000 if PORT <= 45_535 else PORT - 20_000, 1, 65_535)
if LIVE_PORT == PORT:
    _faults.append("LIVE_PORT must be another port than PORT")
# limits of one process: in total, and per listener
LIVE_CONNECTIONS = _whole("LIVE_CONNECTIONS", 2_000, 1, 1_000_000)
LIVE_CONNECTIONS_PER_USER = _whole("LIVE_CONNECTIONS_PER_USER", 20, 1, 100_000)
# number of processes that answer requests (balados/serve.py)
WEB_CONCURRENCY = _whole("WEB_CONCURRENCY", 1 if SMALL else min(os.cpu_count() or 1, 4), 1, 256)
# The address at which the instance is reached from outside; links, `aud` and the Host check use it alone.
PUBLIC_URL = _read(
    "PUBLIC_URL",
    public_url(f"http://localhost:{PORT}"),
    public_url,
    "http:// or https:// and a host, with or without a port, and no path: an instance has a host of its own",
)
# The address at which browsers and apps reach the live process. A proxy forwards to it under PUBLIC_URL;
# without a proxy, it has a port of its own.
LIVE_URL = _read(
    "LIVE_URL",
    _live_url(PUBLIC_URL, PORT, LIVE_PORT),
    _live_address,
    "ws:// or wss:// and a host, with or without a port, and no path",
)
# A separate host for the files of episodes; its scheme and port are those of PUBLIC_URL.
PLAY_DOMAIN = _read("PLAY_DOMAIN", "", _domain, "a host name other than that of PUBLIC_URL, without a port")
if PLAY_DOMAIN and urlsplit(PUBLIC_URL).hostname == PLAY_DOMAIN:
    _faults.append("PLAY_DOMAIN must be another host than that of PUBLIC_URL")
ALLOWED_HOSTS = _list("ALLOWED_HOSTS", [], _allowed_host, "host names without scheme and port")
TRUSTED_PROXIES = _whole("TRUSTED_PROXIES", 0, 0, 100)
SETUP_TOKEN = _text(
    "SETUP_TOKEN", r"[A-Za-z0-9_.~-]{8,}", "8 characters or more, letters, digits and - . _ ~"
)
REGISTRATION_OPEN = _switch("REGISTRATION_OPEN", True)
# what others see of a listener who has not chosen
DEFAULT_PRIVACY = _choice("DEFAULT_PRIVACY", "private", "public", "anonymous", "private")

# One URL is enough: the other two default to it. All are blank if BALADOS_HOME holds no server either.
DATABASE_URL = _store("DATABASE_URL", "")
EMBEDDED_POSTGRES, EMBEDDED_REDIS = not given.get("DATABASE_URL"), not given.get("REDIS_URL")
if EMBEDDED_POSTGRES and (BALADOS_HOME / "postgres").is_dir():
    DATABASE_URL = home.postgres_url(BALADOS_HOME)
NO_STORE = (
    f"no database: DATABASE_URL is not set, and BALADOS_HOME ({BALADOS_HOME}) holds no instance. Set"
    " DATABASE_URL, or start an instance with `make run` (another BALADOS_HOME names another)"
)
# for commands of Django that have no --database
NO_DEFAULT = "this command uses Django's default database, which no store is, so it cannot be used here"
PROJECTIONS_URL = _store("PROJECTIONS_URL", DATABASE_URL)
EVENT_STORE_URL = _store("EVENT_STORE_URL", DATABASE_URL)
# Streaming replicas of the projections (projections/replicas.py). They are read while they lag by at most
# this many seconds.
PROJECTIONS_REPLICA_URLS = _list(
    "PROJECTIONS_REPLICA_URLS", [], databases.check_url, databases.FORM, secret=True
)
PROJECTIONS_REPLICA_MAX_LAG_SECONDS = _seconds("PROJECTIONS_REPLICA_MAX_LAG_SECONDS", 10.0)
DATABASE_POOL_SIZE = _whole("DATABASE_POOL_SIZE", 8 if SMALL else 16, 1, 10_000)
DATABASE_POOL_TIMEOUT = _seconds("DATABASE_POOL_TIMEOUT", 5.0)
# Seconds that a migration waits for a lock on a table; every other access to the table waits behind it
# meanwhile.
MIGRATION_LOCK_TIMEOUT = _seconds("MIGRATION_LOCK_TIMEOUT", 1.0)
if MIGRATION_LOCK_TIMEOUT >= DATABASE_POOL_TIMEOUT:
    _faults.append(
        f"MIGRATION_LOCK_TIMEOUT ({MIGRATION_LOCK_TIMEOUT:g}) must be less than DATABASE_POOL_TIMEOUT"
        f" ({DATABASE_POOL_TIMEOUT:g}): requests that wait for a migration would fail"
    )
REDIS_URL = _read(
    "REDIS_URL",
    home.redis_url(BALADOS_HOME) if (BALADOS_HOME / "redis").is_dir() else "redis://localhost:6379/0",
    _redis,
    "of the form redis://:password@host:port/number, rediss:// or unix:///path",
    secret=True,
)

# Events older than this many days are deleted once a checkpoint covers them (jobs/retention.py).
RETENTION_DAYS = _whole("RETENTION_DAYS", 45, 1, FOR_EVER, also=" (for ever)")
# A sync takes a checkpoint of its stream when the stream has more events than this since its last one.
CHECKPOINT_EVERY = _whole("CHECKPOINT_EVERY", 2000, 1)
# directory of pg_dump and pg_restore, searched before PATH and the embedded PostgreSQL (operations/dump.py)
POSTGRES_BIN = _read("POSTGRES_BIN", "", str, "a directory")
# directory with digests of erased accounts, for restores (accounts/ledger.py)
ERASURE_LEDGER = _path("ERASURE_LEDGER", BALADOS_HOME / "erasures")

# Limits per app and user; of failed authentications per address; of reads of public pages per address. 0
# means no limit.
API_REQUESTS_PER_MINUTE = _whole("API_REQUESTS_PER_MINUTE", 1200, 0)
API_FAILURES_PER_MINUTE = _whole("API_FAILURES_PER_MINUTE", 120, 0)
PUBLIC_REQUESTS_PER_MINUTE = _whole("PUBLIC_REQUESTS_PER_MINUTE", 120, 0)

# What the feed client may access besides the public internet: private networks; which ports; and whether a
# redirect may lead from https to http (feeds/addresses.py).
FEED_ALLOW_NETWORKS = _list("FEED_ALLOW_NETWORKS", [], _network, "networks, as 10.0.0.0/8")
FEED_PORTS = _list("FEED_PORTS", [80, 443, 8080, 8443], _port, "ports from 1 to 65535")
# Number of pumps that share the hosts of feeds: one for each processor that is to fetch feeds
# (feeds/pump.py).
FEED_PUMPS = _whole("FEED_PUMPS", 1 if SMALL else 2, 1, 64)
# Whether podcast apps may sign in with the account's own password, and not only with app passwords.
APP_LOGIN_WITH_ACCOUNT_PASSWORD = _switch("APP_LOGIN_WITH_ACCOUNT_PASSWORD", True)
FEED_ALLOW_DOWNGRADE = _switch("FEED_ALLOW_DOWNGRADE", False)
# Whether hubs are asked to announce new episodes (feeds/hubs.py). They must be able to reach PUBLIC_URL.
WEBSUB = _switch("WEBSUB", False)
if WEBSUB and not _is_reachable(PUBLIC_URL if "PUBLIC_URL" in given else remembered.get("PUBLIC_URL", "")):
    _faults.append("WEBSUB must be off, unless PUBLIC_URL begins with https:// and is of the public internet")
# Size limit of the covers in BALADOS_HOME; those not shown for longest are deleted first (feeds/covers.py).
COVERS_MAX_MB = _whole("COVERS_MAX_MB", 2048, 1)

# How mails are sent (none are while it is not set), and their sender.
EMAIL_URL = _read("EMAIL_URL", mail.MailServer(), mail.parse, mail.FORM, secret=True)
EMAIL_FROM = _read(
    "EMAIL_FROM",
    f"Balados <balados@{urlsplit(PUBLIC_URL).hostname}>",
    _sender,
    "an e-mail address, as balados@example.org or Balados <balados@example.org>",
)

LOG_LEVEL = _choice("LOG_LEVEL", "INFO", "DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMAT = _choice("LOG_FORMAT", "console", "console", "json")
# who may read /metrics: clients in these networks, and clients with the token (while it is not set, nobody by
# token)
METRICS_NETWORKS = _list(
    "METRICS_NETWORKS", [_network("127.0.0.0/8"), _network("::1/128")], _network, "networks, as 10.0.0.0/8"
)
METRICS_TOKEN = _text("METRICS_TOKEN", r"[!-~]+", "printable ASCII without blanks")
# /health/ready answers 503 when a projector is further behind than this
READY_MAX_LAG_SECONDS = _seconds("READY_MAX_LAG_SECONDS", 60.0)
READY_MAX_LAG_EVENTS = _whole("READY_MAX_LAG_EVENTS", 50_000, 1)

if _faults:
    sys.exit("\n".join(f"balados: {fault}" for fault in _faults))
