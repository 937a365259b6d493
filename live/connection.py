"""One connection: how it authenticates, what it sends and is answered, and what is pushed to it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from api.clock import now
from api.errors import Invalid
from api.v1.sync import cursor_of, version_of
from eventstore import counters
from eventstore.log import StreamErased
from live import clients, commands
from live.channels import AGAIN, Channel, Channels
from live.clients import Client
from live.closing import NOT_AUTHENTICATED, NOT_TEXT, REVOKED, TOO_MANY, TOO_SLOW, UNAVAILABLE, Closed
from live.commands import Environment, Respond
from live.limits import Allowance, Census, Limits
from live.messages import Error, Malformed, Message, Pong, Welcome, error, read, write
from projections.failures import is_outage

logger = logging.getLogger(__name__)

# error codes that refuse a single command, and are no reason to close the connection
OF_ONE_COMMAND = {"token_reused"}


class Gateway(Protocol):
    """What all connections of a process share. ``clock``: returns seconds, for limits."""

    limits: Limits
    census: Census
    channels: Channels
    respond: Respond
    clock: Callable[[], float]

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any: ...


class Connection:
    """A connection on an open ``socket``. ``environment``: what all its requests have in common."""

    def __init__(self, gateway: Gateway, socket: ServerConnection, environment: Environment) -> None:
        self._gateway, self._socket, self._environment = gateway, socket, environment
        self._allowance = Allowance(gateway.limits.at_once, gateway.limits.per_second)
        self._channel: Channel | None = None
        self._sent = 0
        self.client: Client | None = None

    async def run(self, entered: Callable[[], None]) -> None:
        """Serve the connection until either side ends it. Calls ``entered`` once the client has
        authenticated."""
        try:
            message = await self._first()
            self.client = await self._authenticate(message)
            entered()
            await self._serve(self.client, message)
        except Closed as reason:
            await self.close(reason.code, reason.reason)
        except ConnectionClosed:
            pass
        except Exception as failure:
            if not is_outage(failure):
                raise
            await self.close(UNAVAILABLE, "unavailable")

    async def close(self, code: int, reason: str) -> None:
        counters.count("live_closed", str(code))
        await self._socket.close(code, reason)

    async def tell(self, message: bytes) -> None:
        """Send a message that the client has not asked for."""
        await self._deliver(message)

    async def _first(self) -> Message:
        try:
            async with asyncio.timeout(self._gateway.limits.authenticate_within):
                return read(await self._text())
        except TimeoutError:
            raise Closed(TOO_SLOW, "auth_timeout") from None
        except Malformed:
            raise Closed(NOT_AUTHENTICATED, "auth_first") from None

    async def _authenticate(self, message: Message) -> Client:
        found: Client = await self._gateway.in_thread(clients.authenticate, message, self._environment, now())
        return found

    async def _serve(self, client: Client, message: Message) -> None:
        census = self._gateway.census
        if not census.admit_user(client.user_id):
            raise Closed(TOO_MANY, "too_many_connections")
        pushing: asyncio.Task[None] | None = None
        try:
            if client.kind == "token":
                await self._send(_welcome(client, None))
            else:
                await self._join(client, message.fields.get("cursor"))
                pushing = asyncio.create_task(self._push())
            await self._receive()
        finally:
            census.forget_user(client.user_id)
            if pushing is not None:
                pushing.cancel()
                with suppress(asyncio.CancelledError, Closed):
                    await pushing
            if self._channel is not None:
                self._gateway.channels.leave(self._channel)

    async def _join(self, client: Client, cursor: object) -> None:
        """Start after what the client has already seen, or from now on if it sends no cursor."""
        try:
            self._channel = channel = await self._gateway.channels.join(client.user_id)
        except StreamErased:
            raise Closed(REVOKED, "account_closed") from None
        self._sent = channel.version
        if cursor is not None:
            self._sent = await self._version(client, cursor, channel.version)
        await self._send(_welcome(client, cursor_of(max(self._sent, 0), client.user_id)))

    async def _version(self, client: Client, cursor: object, newest: int) -> int:
        try:
            if not isinstance(cursor, str):
                raise Invalid
            version = version_of(cursor, client.user_id)
        except Invalid:
            raise Closed(NOT_AUTHENTICATED, "invalid_cursor") from None
        # the cursor is from before a restore of the log, so the changes since then cannot be sent singly
        return min(version, newest) if version is not None else -1

    # incoming messages

    async def _receive(self) -> None:
        while True:
            text = await self._text()
            if not self._allowance.take(self._gateway.clock()):
                raise Closed(TOO_MANY, "too_many_messages")
            try:
                answer = await self._answer(read(text))
            except Malformed as fault:
                answer = Error(fault.id, 400, [fault.fault])
            await self._send(answer)

    async def _answer(self, message: Message) -> Struct:
        assert self.client is not None
        if message.type == "ping":
            return Pong()
        if message.type == "auth":
            return await self._renew(message)
        counters.count("live_commands", message.type if message.type in commands.COMMANDS else "unknown")
        request = commands.environment_of(message, self._environment)
        assert message.id is not None  # environment_of refuses messages without an id
        if not clients.may_send(self.client, message.type):
            detail = "What authenticated this connection does not allow that."
            return error(403, "not_allowed", detail, message.id)
        return await self._command(message.id, request)

    async def _command(self, id: str, request: Environment) -> Struct:
        assert self.client is not None
        try:
            found = await self._gateway.in_thread(self._run, self.client, request)
        except Exception as failure:
            if not is_outage(failure):
                raise
            return error(503, "unavailable", "A store of this instance is away. Try again later.", id)
        answer = commands.to_message(id, found)
        if isinstance(answer, Error) and answer.status == 401 and not commands.codes(answer) & OF_ONE_COMMAND:
            await self._send(answer)
            raise self._ended(commands.codes(answer))
        return answer

    def _run(self, client: Client, request: Environment) -> commands.Response:
        """Run a command; called in a thread."""
        clients.check(client, now())
        return self._gateway.respond({**request, **client.environment()})

    @staticmethod
    def _ended(codes: set[str]) -> Closed:
        is_over = "token_expired" in codes
        return Closed(NOT_AUTHENTICATED, "token_expired") if is_over else Closed(REVOKED, "revoked")

    async def _renew(self, message: Message) -> Struct:
        """Accept another token of the same app and listener, before the first one has expired."""
        client = await self._authenticate(message)
        assert self.client is not None
        same = (client.kind, client.user_id, client.key, client.device_id)
        if same != (self.client.kind, self.client.user_id, self.client.key, self.client.device_id):
            detail = "This connection is another's: authenticate on a new one."
            return error(403, "other_client", detail, message.id)
        self.client = client
        cursor = None if self._channel is None else cursor_of(max(self._sent, 0), client.user_id)
        return _welcome(client, cursor)

    async def _text(self) -> str:
        text = await self._socket.recv()
        if not isinstance(text, str):
            raise Closed(NOT_TEXT, "text_only")
        return text

    # outgoing messages

    async def _push(self) -> None:
        assert self._channel is not None
        while True:
            try:
                push = await self._channel.next_after(self._sent)
            except StreamErased:
                return await self.close(REVOKED, "account_closed")
            except Exception as failure:
                if not is_outage(failure):
                    logger.exception("Changes cannot be read")
                await asyncio.sleep(AGAIN)
                continue
            assert self.client is not None
            message = push.message(self.client.scopes, self.client.source)
            if message is not None:
                try:
                    await self._deliver(message)
                except ConnectionClosed:
                    return None
                counters.count("live_pushes")
            self._sent = push.upto

    async def _send(self, message: Struct) -> None:
        await self._deliver(write(message))

    async def _deliver(self, message: bytes) -> None:
        """Send a message; wait for slow readers, but no longer than ``send_within``."""
        try:
            async with asyncio.timeout(self._gateway.limits.send_within):
                await self._socket.send(message, text=True)
        except TimeoutError:
            counters.count("live_closed", "slow")
            self._socket.transport.abort()
            raise Closed(TOO_SLOW, "slow_reader") from None


def _welcome(client: Client, cursor: str | None) -> Welcome:
    ends: datetime | None = client.expires_at
    return Welcome(
        user_id=str(client.user_id),
        scopes=sorted(client.scopes),
        device_id=client.device_id,
        expires_at=None if ends is None else ends.isoformat().replace("+00:00", "Z"),
        cursor=cursor,
    )


def base_environment(address: str, headers: Any, host: str, scheme: str) -> Environment:
    """Return the WSGI environment that all requests of a connection share.

    It keeps only the headers that say where the connection comes from: cookies are ignored here.
    """
    origin = {
        "HTTP_ORIGIN": ", ".join(headers.get_all("Origin")),
        "HTTP_X_FORWARDED_FOR": ",".join(headers.get_all("X-Forwarded-For")),
        "HTTP_USER_AGENT": (headers.get_all("User-Agent") or [""])[0],
    }
    server, _, port = (
        host.rpartition(":") if ":" in host else (host, "", "443" if scheme == "https" else "80")
    )
    return {
        **{name: value for name, value in origin.items() if value},
        "REMOTE_ADDR": address,
        "HTTP_HOST": host,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": "",
        "wsgi.url_scheme": scheme,
    }
