"""The application of a web process, without the HTTP server before it: what its event loop answers by itself,
and what it leaves to Django."""

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from balados.buffering import Buffered
from balados.shortcuts import Shortcuts
from balados.wsgi import application as django
from projections.pipeline import Pipeline

# status, headers, body
Answer = tuple[int, dict[str, str], bytes]


class Server:
    def __init__(self) -> None:
        self.by_django = 0
        self.shortcuts = Shortcuts()
        self.application = Buffered(self._django, self.shortcuts)

    async def send(self, method: str, address: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request; ``headers`` have underscores instead of hyphens."""
        path, query = urlsplit(address).path, urlsplit(address).query
        named = {"host": "testserver", **headers}
        if body and "transfer_encoding" not in named:
            named.setdefault("content_length", str(len(body)))
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            **{"method": method, "raw_path": path.encode(), "query_string": query.encode(), "scheme": "http"},
            **{"http_version": "1.1", "server": ("127.0.0.1", 8000), "client": ("192.0.2.1", 5000)},
            "headers": [(n.replace("_", "-").encode(), value.encode()) for n, value in named.items()],
        }
        await self.application(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, sent[1]["body"]

    async def by(self, django: bool, *request: Any, **headers: Any) -> Answer:
        """Send a request of which it matters who answers it."""
        before = self.by_django
        answer = await self.send(*request, **headers)
        assert (self.by_django > before) == django, (request, answer)
        return answer

    def _django(self, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.by_django += 1
        return django(environment, start_response)

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        return self.shortcuts.pipelines

    async def connect(self) -> None:
        """Open every pipeline."""
        loop = asyncio.get_running_loop()
        for pipeline in self.pipelines:
            if pipeline._connection is None:
                pipeline._opens_at = 0
                pipeline._open(loop)
                await opened(pipeline)

    def close(self) -> None:
        for pipeline in self.pipelines:
            if pipeline._connection is not None:
                pipeline._close(TimeoutError())


async def opened(pipeline: Pipeline) -> None:
    """Wait until a pipeline that is being opened is open."""
    assert pipeline._opening is not None
    await pipeline._opening
    await asyncio.sleep(0)
