from ipaddress import ip_network

from django.core.checks import run_checks
from pytest_django.fixtures import Settings


def test_an_opened_network_is_warned_of(settings: Settings) -> None:
    def warnings() -> list[str]:
        return [each.msg for each in run_checks(include_deployment_checks=True) if each.id == "feeds.W001"]

    assert warnings() == []
    settings.FEED_ALLOW_NETWORKS = [ip_network("192.168.1.0/24")]
    assert warnings() == ["FEED_ALLOW_NETWORKS opens 192.168.1.0/24 to the feed client."]
