"""What an operator may set, and what is refused: every fault is reported at once, before any change."""

import os
import runpy
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from balados import home, machine

ROOT = Path(__file__).resolve().parents[2]
BLANK = dict.fromkeys(("PORT", "BALADOS_HOME", "LISTEN_HOST", "PUBLIC_URL", "DATABASE_URL", "REDIS_URL"), "")
KEY = "k" * 50
NUMBERS = {
    "PORT": ("http", "0", "65536", "-1", "８０００", "8_000", "80.5"),
    "WEB_CONCURRENCY": ("0", "-1", "many"),
    "LIVE_PORT": ("0", "65536", "http"),
    "LIVE_CONNECTIONS": ("0", "many"),
    "LIVE_CONNECTIONS_PER_USER": ("0", "-1"),
    "TRUSTED_PROXIES": ("-1", "yes"),
    "DATABASE_POOL_SIZE": ("0", "-3", "1e9"),
    "DATABASE_POOL_TIMEOUT": ("0", "-1", "nan", "inf", "5s"),
    "MIGRATION_LOCK_TIMEOUT": ("0", "-1", "5", "soon"),
    "PROJECTIONS_REPLICA_MAX_LAG_SECONDS": ("-1", "x"),
    "RETENTION_DAYS": ("-3", "0", "36501", "for ever", "4.5"),
    "CHECKPOINT_EVERY": ("0", "-1"),
    "API_REQUESTS_PER_MINUTE": ("-1", "none"),
    "API_FAILURES_PER_MINUTE": ("-1", "none"),
    "PUBLIC_REQUESTS_PER_MINUTE": ("-1", "none"),
    "READY_MAX_LAG_SECONDS": ("-1", "0", "nan"),
    "READY_MAX_LAG_EVENTS": ("-1", "0"),
}
WORDS = {
    "DEBUG": ("maybe", "2"),
    "ALLOW_DESTRUCTIVE_RESET": ("si",),
    "STORES_MOVED": ("perhaps",),
    "REGISTRATION_OPEN": ("-",),
    "DEFAULT_PRIVACY": ("secret",),
    "WEBSUB": ("perhaps",),
    "LIVE": ("perhaps",),
    "PROFILE": ("tiny", "1"),
    "LOG_LEVEL": ("LOUD", "10"),
    "LOG_FORMAT": ("xml",),
    "LISTEN_HOST": ("localhost", "127.0.0", "0.0.0.0:80", "::g"),
    "METRICS_NETWORKS": ("10.0.0.0/33", "intern", "10.0.0.0/8,x", "10.0.0.0/8;::1"),
    "ALLOWED_HOSTS": ("https://x.example", "x.example:80", "a b", "x.example,http://y"),
    "PUBLIC_URL": (
        "balados.example",
        "balados.example:8000",
        "//balados.example",
        "ftp://balados.example",
        "https://",
        "https://balados.example/podcasts",
        "https://balados.example?x=1",
        "https://balados.example#top",
        "https://me@balados.example",
        "https://balados.example:99999",
        "https://balados.example:0",
        "https://[::1",
        "https://1.2.3.4.5",
        "https://two words.example",
    ),
}
SECRET = {
    "SECRET_KEY": ("geheim",),
    "SETUP_TOKEN": ("geheim", "geheim geheim", "geheim/../x"),
    "METRICS_TOKEN": ("geheim geheim", "geheimé"),
    "DATABASE_URL": (
        "mysql://u:geheim@h/x",
        "postgresql://u:geheim@h:port/x",
        "postgresql://u:geheim@h:99999/x",
        "postgresql://u:geheim@h",
        "postgresql://u:geheim@[h/x",
        "postgresql://u:geheim@h/x?sslmod=geheim",
        "host=geheim dbname=x",
        "geheim",
    ),
    "PROJECTIONS_URL": ("geheim",),
    "EVENT_STORE_URL": ("geheim",),
    "PROJECTIONS_REPLICA_URLS": ("postgresql://u@h/x,geheim",),
    "REDIS_URL": ("geheim:6379/0", "http://:geheim@h/0", "redis://:geheim@h:port/0"),
}
EVERYTHING = {**NUMBERS, **WORDS, **SECRET}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    def read(**environment: str) -> Any:
        """Return the settings that result from this environment. Raises ``SystemExit``."""
        with monkeypatch.context() as patch:
            for name in (*EVERYTHING, "BALADOS_HOME", "ERASURE_LEDGER"):
                patch.delenv(name, raising=False)
            patch.setenv("BALADOS_HOME", str(tmp_path))
            for name, value in environment.items():
                patch.setenv(name, value)
            return runpy.run_path(str(ROOT / "balados" / "environment.py"))

    return read


def faults(read: Any, **environment: str) -> list[str]:
    with pytest.raises(SystemExit) as refused:
        read(**environment)
    return str(refused.value).splitlines()


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_setting_that_cannot_be_used_is_refused_by_name_with_what_would_be_right(
    read: Any, name: str
) -> None:
    for value in EVERYTHING[name]:
        (line,) = faults(read, **{name: value})
        assert line.startswith(f"balados: {name} ")
        assert " must be " in line
        assert (value in line) == (name not in SECRET)
        assert "geheim" not in line


def test_a_password_in_a_url_that_may_have_none_is_not_printed(read: Any) -> None:
    for name in ("PUBLIC_URL", "LIVE_URL", "PLAY_DOMAIN", "ALLOWED_HOSTS"):
        for login in ("https://me:geheim", "https://me:/geheim", "me:geheim"):
            (line,) = faults(read, **{name: f"{login}@balados.example"})
            assert line.startswith(f"balados: {name} must be ")
            assert "geheim" not in line


def test_all_faults_are_said_at_once(read: Any) -> None:
    wrong = {name: values[0] for name, values in EVERYTHING.items()}
    lines = faults(read, **wrong)
    assert sorted(line.split()[1] for line in lines) == sorted(wrong)


def test_hubs_need_an_instance_that_they_can_reach(read: Any) -> None:
    assert read()["WEBSUB"] is False
    assert read(WEBSUB="true", PUBLIC_URL="https://balados.example")["WEBSUB"] is True
    for unreachable in (
        "http://balados.example",
        "https://localhost",
        "https://nas.local",
        "https://192.168.1.7",
        "https://[::1]",
    ):
        (line,) = faults(read, WEBSUB="true", PUBLIC_URL=unreachable)
        assert line.startswith("balados: WEBSUB must be off")
    assert faults(read, WEBSUB="true")


def test_what_has_one_meaning_is_written_in_one_way(read: Any) -> None:
    for given, meant in {
        "HTTPS://Balados.EXAMPLE/": "https://balados.example",
        "https://balados.example:443": "https://balados.example",
        "http://balados.example:80/": "http://balados.example",
        "http://balados.example:443": "http://balados.example:443",
        "https://bücher.example": "https://xn--bcher-kva.example",
        "https://balados.example.": "https://balados.example",
        "http://[::0001]:8000": "http://[::1]:8000",
    }.items():
        assert read(PUBLIC_URL=given)["PUBLIC_URL"] == meant
    found = read(
        LOG_LEVEL="debug",
        DEBUG="On",
        ALLOWED_HOSTS="Other.Example, .bücher.example,*",
        METRICS_NETWORKS="10.1.2.3/8, ::1",
        PORT=" 80 ",
    )
    assert found["LOG_LEVEL"] == "DEBUG"
    assert found["DEBUG"] is True
    assert found["ALLOWED_HOSTS"] == ["other.example", ".xn--bcher-kva.example", "*"]
    assert found["METRICS_NETWORKS"] == [ip_network("10.0.0.0/8"), ip_network("::1/128")]
    assert found["PUBLIC_URL"] == "http://localhost"


def test_live_connections_are_where_a_proxy_leads_or_on_the_port_of_their_process(read: Any) -> None:
    for given, found in (
        ({}, "ws://localhost:28000"),
        ({"PORT": "60000"}, "ws://localhost:40000"),
        ({"PORT": "9000", "LIVE_PORT": "7000"}, "ws://localhost:7000"),
        ({"PUBLIC_URL": "http://192.168.1.5:8000"}, "ws://192.168.1.5:28000"),
        ({"PUBLIC_URL": "http://[::1]:8000"}, "ws://[::1]:28000"),
        ({"PUBLIC_URL": "http://balados.example"}, "ws://balados.example"),
        ({"PUBLIC_URL": "https://balados.example"}, "wss://balados.example"),
        ({"PUBLIC_URL": "https://balados.example:8443", "PORT": "8443"}, "wss://balados.example:8443"),
        ({"LIVE_URL": "WSS://Live.Example/"}, "wss://live.example"),
    ):
        assert read(**given)["LIVE_URL"] == found
    assert faults(read, LIVE_URL="https://live.example")
    assert faults(read, PORT="8000", LIVE_PORT="8000")


def test_a_machine_with_little_memory_is_small_unless_it_is_said_otherwise(
    read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for memory, profile in ((2 * 1024**3 - 1, "small"), (2 * 1024**3, "normal")):
        monkeypatch.setattr(machine, "memory", lambda memory=memory: memory)
        assert read()["PROFILE"] == profile
        assert (read()["WEB_CONCURRENCY"] == 1, read()["DATABASE_POOL_SIZE"]) == (
            (True, 8) if profile == "small" else (os.cpu_count() == 1, 16)
        )
    found = read(PROFILE="Small", WEB_CONCURRENCY="3")
    assert (found["SMALL"], found["WEB_CONCURRENCY"], found["DATABASE_POOL_SIZE"]) == (True, 3, 8)


def test_the_memory_of_a_container_or_a_unit_is_what_it_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    unit = tmp_path / "system.slice" / "balados.service"
    unit.mkdir(parents=True)
    (tmp_path / "group").write_text("0::/system.slice/balados.service\n")
    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "OUR_GROUP", tmp_path / "group")
    assert machine.memory() == installed
    (unit / "memory.max").write_text("max\n")
    assert machine.memory() == installed
    (tmp_path / "system.slice" / "memory.max").write_text("1048576\n")
    assert machine.memory() == 1048576
    monkeypatch.setattr(machine, "OUR_GROUP", tmp_path / "none")
    assert machine.memory() == installed


def test_blank_is_as_good_as_unset(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = read(**BLANK)
    assert (absent["LISTEN_HOST"], absent["PORT"]) == ("127.0.0.1", 8000)
    assert absent["PUBLIC_URL"] == "http://localhost:8000"
    assert absent["BALADOS_HOME"] == ROOT / ".balados"
    assert read(**dict.fromkeys(EVERYTHING, " "))["RETENTION_DAYS"] == 45


def test_a_password_may_hold_anything_that_a_url_can_say(read: Any) -> None:
    url = "postgresql://u:p%40%2F%3A$x@[::1]:5433/name?sslmode=require"
    found = read(DATABASE_URL=url)
    assert found["EVENT_STORE_URL"] == found["PROJECTIONS_URL"] == url


def test_the_last_start_of_this_home_counts_where_nothing_is_said(read: Any, tmp_path: Path) -> None:
    home.remember(tmp_path, {"SECRET_KEY": KEY, "DATABASE_URL": "postgresql://h/one"})
    assert read()["DATABASE_URL"] == read()["EVENT_STORE_URL"] == "postgresql://h/one"
    assert read()["SECRET_KEY"] == KEY
    assert read(DATABASE_URL="postgresql://h/two")["DATABASE_URL"] == "postgresql://h/two"


def test_the_servers_of_a_home_are_those_in_it_wherever_it_lies(read: Any, tmp_path: Path) -> None:
    for place in (tmp_path / "one", tmp_path / "copy"):
        (place / "postgres").mkdir(parents=True)
        (place / "redis").mkdir()
        found = read(BALADOS_HOME=str(place))
        assert found["DATABASE_URL"] == home.postgres_url(place)
        assert found["REDIS_URL"] == home.redis_url(place)
