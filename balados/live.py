"""The live process, ``python -m balados.live``, which holds the WebSocket connections of apps and pages."""

import asyncio
import os
import resource
import signal
import sys

import django
from django.http import HttpRequest, HttpResponse

from balados import environment, readiness

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")


async def serve() -> None:
    """Serve connections until SIGTERM or Ctrl-C."""
    # these can only be imported after Django is set up
    from api.middleware import ApiGate
    from balados.requests import Observed
    from live.limits import Limits
    from live.requests import Responder
    from live.server import Live

    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    limits = Limits(connections=environment.LIVE_CONNECTIONS, per_user=environment.LIVE_CONNECTIONS_PER_USER)
    live = Live(Responder(Observed(ApiGate(_nothing))), limits)
    refreshing = asyncio.create_task(_refresh())
    await live.run(
        environment.LISTEN_HOST, environment.LIVE_PORT, stopped, lambda _: readiness.announce("live")
    )
    refreshing.cancel()


def _nothing(request: HttpRequest) -> HttpResponse:
    """Answer 404: commands are requests to the API and nothing else."""
    return HttpResponse(status=404)


async def _refresh() -> None:
    while True:
        readiness.refresh("live")
        await asyncio.sleep(1)


def main() -> None:
    if not environment.DATABASE_URL:
        sys.exit(f"balados: {environment.NO_STORE}")
    if not environment.SECRET_KEY:
        sys.exit("balados: SECRET_KEY is not set (docs/settings.md)")
    if not environment.LIVE:
        sys.exit("balados: LIVE is off (docs/settings.md)")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2 * environment.LIVE_CONNECTIONS + 512), most))
    django.setup()
    from eventstore import counters

    counters.publish_in_background()
    # as in the web process: the longest that the event loop waits for the interpreter lock while threads work
    sys.setswitchinterval(0.0005)
    asyncio.run(serve())


if __name__ == "__main__":
    main()
