from ipaddress import ip_network

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from feeds import checks
from tests.audit import vulnerabilities


def test_an_opened_network_is_warned_of(settings: Settings) -> None:
    def warnings() -> list[str]:
        return [each.msg for each in run_checks(include_deployment_checks=True) if each.id == "feeds.W001"]

    assert warnings() == []
    settings.FEED_ALLOW_NETWORKS = [ip_network("192.168.1.0/24")]
    assert warnings() == ["FEED_ALLOW_NETWORKS opens 192.168.1.0/24 to the feed client."]


def test_a_client_with_older_libraries_than_it_was_released_with_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert checks.libraries_are_recent(None) == []
    found = checks.versions("PycURL/7.45.2 libcurl/8.10.1 OpenSSL/3.6.5 zlib/1.3")
    assert found == {"libcurl": (8, 10, 1), "OpenSSL": (3, 6, 5)}
    monkeypatch.setattr("pycurl.version", "PycURL/7.45.2 libcurl/8.10.1 OpenSSL/3.6.5")
    (warning,) = checks.libraries_are_recent(None)
    assert warning.msg == "pycurl has libcurl 8.10.1, older than 8.23.0."


def test_a_known_vulnerability_of_the_very_version_is_told_unless_it_is_low() -> None:
    def entry(name: str, severity: str, *versions: str) -> dict[str, object]:
        affected = [{"ranges": [], "versions": list(versions)}]
        details = {"severity": severity}
        return {"id": name, "summary": "a fault", "affected": affected, "database_specific": details}

    listed = [
        entry("CURL-1", "High", "8.22.0", "8.23.0"),
        entry("CURL-2", "Low", "8.23.0"),
        entry("CURL-3", "Medium", "8.22.0"),
    ]
    assert vulnerabilities(listed, "8.23.0") == ["CURL-1: a fault (High)"]
