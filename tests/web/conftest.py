"""Chromium for the tests marked ``browser``; without it they are deselected, and the summary says so."""

import os
import shutil
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.fixtures import Settings

from accounts.models import User
from tests.factories import PASSWORD, OperatorFactory, UserFactory
from tests.web.serving import serving
from web import caching

# the first is the same engine without windows, and takes two thirds of the processor time
PROGRAMS = ("chromium-headless-shell", "chromium")
NAMED = os.environ.get("CHROMIUM")
CHROMIUM = next(filter(None, map(shutil.which, [NAMED] if NAMED else PROGRAMS)), None)
QUIET = (
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# ms; long, because a page is not at fault when the machine is busy
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)
LEFT_OUT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if CHROMIUM is not None:
        return
    browsing = [item for item in items if item.get_closest_marker("browser")]
    config.stash[LEFT_OUT] = len(browsing)
    config.hook.pytest_deselected(items=browsing)
    items[:] = [item for item in items if item not in browsing]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if number := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"left out: {number} tests in a browser; apt-get install {PROGRAMS[0]}, or name one in CHROMIUM"
        )


def forget_attempts() -> None:
    """Reset all counters and cached data: positions in the event store repeat from test to test."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for key in (*client.scan_iter("balados:attempts:*"), *client.scan_iter(f"*{caching.PREFIX}*")):
            client.delete(key)


@pytest.fixture(autouse=True)
def _count_attempts_anew(stores: None) -> Iterator[None]:
    forget_attempts()
    yield
    forget_attempts()


@pytest.fixture
def alice(stores: None) -> User:
    return UserFactory.create(username="Alice", password=PASSWORD)


@pytest.fixture
def bob(stores: None) -> User:
    return UserFactory.create(username="Bob", password=PASSWORD)


@pytest.fixture
def operator(stores: None) -> User:
    """An operator; an instance without one waits for its set-up."""
    return OperatorFactory.create()


@pytest.fixture
def server(stores: None, settings: Settings) -> Iterator[str]:
    """Run the instance on a port of its own, and yield its address."""
    from balados.wsgi import application

    with serving(application) as address:
        settings.PUBLIC_URL = address
        yield address


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    arguments = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else list(QUIET)
    # Playwright keeps an event loop in this thread, in which Django would refuse to query its databases
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, server: str) -> Iterator[BrowserContext]:
    """A fresh browser without cookies and with an empty cache."""
    context = chromium.new_context(base_url=server)
    context.set_default_timeout(PATIENCE)
    # every Chromium with windows has this object
    context.add_init_script("window.chrome ??= {}")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def plain_page(chromium: Browser, server: str) -> Iterator[Page]:
    """A page in a browser without JavaScript."""
    context = chromium.new_context(base_url=server, java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
