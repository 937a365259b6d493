"""The API against its own description: generated requests, good and bad, to every route.

No answer may be a 5xx or differ from the OpenAPI document; requests that do not fit the document, and those
without a valid token, must be refused. Boundary cases, a few thousand, take long to generate: an ordinary run
has those of a third of the operations, a different third each time.
"""

import random
from typing import Any, cast
from zlib import crc32

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import CHECKS, CheckFunction
from schemathesis.schemas import BaseSchema

from api.v1 import proxy
from balados.wsgi import application
from tests.api.devices import Device, b64

# valid values of our own formats, because few of the generator's other texts are feeds
URLS = st.from_regex(r"https://[a-z]{1,9}\.example/[a-z0-9?=~]{0,9}", fullmatch=True)
ITEMS = st.builds("{},{}".format, st.text("abc,:/ü", max_size=12), URLS)
schemathesis.openapi.format("feed-url", URLS)
schemathesis.openapi.format("rss-source-feed", URLS.map(b64))
schemathesis.openapi.format("rss-source-item", ITEMS.map(b64))

SHARES = 1 if settings().max_examples >= 100 else 3
SHARE = random.randrange(SHARES)
few = settings(
    max_examples=6, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def described(*, boundaries: bool) -> BaseSchema:
    schema = schemathesis.openapi.from_wsgi("/api/schema/", application)
    # the tests send their own token; a check of its own (ignored_auth) proves that it is required
    schema.config.generation.with_security_parameters = False
    # what is too long to be examined is refused as well
    schema.config.checks.negative_data_rejection.expected_statuses += ["413", "414"]
    schema.config.phases.coverage.enabled = boundaries
    return schema


def has_its_turn(context: Any) -> bool:
    return crc32(context.operation.label.encode()) % SHARES == SHARE


with_boundaries = described(boundaries=True).include(has_its_turn)
without = described(boundaries=False).exclude(has_its_turn)


@pytest.fixture(autouse=True)
def _no_worker_reads_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "PATIENCE", 0.0)


@with_boundaries.parametrize()
@few
def test_every_answer_is_one_that_is_described_and_at_the_boundaries(
    case: "Case[Any]", phone: Device
) -> None:
    check(case, phone)


if SHARES > 1:

    @without.parametrize()
    @few
    def test_every_answer_is_one_that_is_described(case: "Case[Any]", phone: Device) -> None:
        check(case, phone)


def check(case: "Case[Any]", phone: Device) -> None:
    response = case.call(headers=phone.headers)
    # To JSON Schema, 60.0 is an integer, any number is a position and any text a cursor: which values are
    # accepted is tested elsewhere.
    taken = cast(CheckFunction, CHECKS.get_one("positive_data_acceptance"))
    case.validate_response(response, excluded_checks=[taken], headers=phone.headers)
