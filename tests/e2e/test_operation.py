"""Monitoring an instance of several processes, queried as Prometheus and a load balancer do."""

import json
from collections.abc import Iterator

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from examples.two_devices import Device
from projections.projectors import PROJECTORS
from tests import leaks
from tests.e2e.instances import Instance, eventually, running
from tests.e2e.test_demo import device_of, live_for_a_while

WRITES = 60
POSTS = ("balados_requests_total", "POST")
ROUTES = {"/api/v1/subscriptions": WRITES // 2, "/api/v1/plays": WRITES // 2}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    home = tmp_path_factory.mktemp("watched")
    with running(
        home, WEB_CONCURRENCY="2", LOG_FORMAT="json", METRICS_TOKEN="for-prometheus-alone"
    ) as started:
        started.set_up()
        yield started


@pytest.fixture(scope="module")
def phone(watched: Instance) -> Device:
    device = device_of(watched, "dora")
    live_for_a_while(device)
    return device


def figures(instance: Instance) -> dict[tuple[str, ...], float]:
    answer = requests.get(f"{instance.url}/metrics", timeout=60)
    assert answer.status_code == 200
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.mark.usefixtures("phone")
def test_whichever_process_answers_it_counts_what_all_of_them_did(watched: Instance) -> None:
    assert len(watched.processes("balados.serve")) > 2

    def counted() -> bool:
        posts = {key[2:]: number for key, number in figures(watched).items() if key[:2] == POSTS}
        return {
            route: sum(number for (found, _), number in posts.items() if found == route) for route in ROUTES
        } == ROUTES

    eventually(counted)
    # the figures stay the same when they are requested repeatedly, whichever process answers
    assert all(counted() for _ in range(10))
    assert figures(watched)[("balados_events_recorded_total", "PlayRecorded")] == WRITES // 2


@pytest.mark.usefixtures("phone")
def test_the_projectors_of_another_process_are_seen_to_be_up_to_date(watched: Instance) -> None:
    def up_to_date() -> bool:
        found = figures(watched)
        return all(found[("balados_projector_lag_events", name)] == 0 for name in PROJECTORS)

    eventually(up_to_date)
    answer = requests.get(f"{watched.url}/health/ready", timeout=60)
    assert answer.status_code == 200
    assert set(answer.json()["checks"].values()) == {"ok"}


def test_what_came_through_a_proxy_is_not_let_in_but_by_token(watched: Instance) -> None:
    url = f"{watched.url}/metrics"
    assert requests.get(url, headers={"X-Forwarded-For": "192.0.2.1"}, timeout=60).status_code == 404
    headers = {"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer for-prometheus-alone"}
    assert requests.get(url, headers=headers, timeout=60).status_code == 200


def test_the_lines_of_its_programs_are_objects_that_tell_no_secret(watched: Instance, phone: Device) -> None:
    answer = phone.call("GET", "/api/v1/subscriptions")
    assert answer["subscriptions"]

    def lines() -> list[dict[str, object]]:
        found = [line.partition("| ")[2] for line in list(watched.lines) if "| {" in line]
        return [line for line in map(json.loads, found) if line["event"] == "request"]

    eventually(lambda: any(line["route"] == "/api/v1/subscriptions" for line in lines()))
    asked = [line for line in lines() if line.get("app") == "org.example.dora"]
    assert len({line["user"] for line in asked}) == 1
    assert len({line["request"] for line in asked}) == len(asked) > WRITES
    assert leaks.found_in(watched.output) == set()
