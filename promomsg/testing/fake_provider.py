"""A provider for the tests of a channel: it answers each call as it is told to, byte by byte."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

__all__ = ["FakeProvider", "ProviderCall", "Reply"]

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST."""


class ProviderCall(msgspec.Struct, frozen=True):
    """A call as it came in; `target` is the path with its query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Without the query."""
        return self.target.partition("?")[0]

    def holds(self, text: str) -> bool:
        """Whether a text stands anywhere in the call."""
        everything = " ".join((self.target, *self.headers.values()))
        return text in everything or text.encode() in self.body


class Reply(msgspec.Struct, frozen=True):
    """One answer, or what comes instead of it.

    Attributes:
        body: the bytes, or a value that is sent as JSON.
        status: of HTTP.
        headers: beside the length.
        instead: `"reset"`: the call is read, and the connection reset; `"cut"`: half of the body
            under the whole length, then the connection closes.
    """

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    instead: Literal["", "reset", "cut"] = ""

    def encoded(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


class FakeProvider:
    """Listens on loopback for the time of an `async with` block.

    Args:
        other: answers the calls that are no sends (a token, a quota); None: it is a send.
        usual: the answer of sends once `script` is empty.

    Attributes:
        url: `http://127.0.0.1:PORT`.
        script: the answers of the next sends, in order.
        sends: the sends that came in.
        open: connections that are open now.
    """

    def __init__(self, other: Callable[[ProviderCall], Reply | None], usual: Reply) -> None:
        self._other = other
        self._usual = usual
        self.url = ""
        self.script: deque[Reply] = deque()
        self.sends: list[ProviderCall] = []
        self.open = 0
        self._server: asyncio.Server
        self._writers: set[asyncio.StreamWriter] = set()
        self._over = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_listening()
        self._over = True
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._idle.wait()

    async def idle_within(self, seconds: float) -> bool:
        """Whether no connection is open any more, once it has waited for that."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def stop_listening(self) -> None:
        """New connections are refused from now on."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self._idle.clear()
        self._writers.add(writer)
        try:
            if self._over:  # it was accepted as the last thing of all
                writer.transport.abort()
            while (call := await _read_call(reader)) is not None:
                reply = self._other(call)
                if reply is None:
                    self.sends.append(call)
                    reply = self.script.popleft() if self.script else self._usual
                if not await _answer(writer, reply):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()
            self._writers.discard(writer)
            self.open -= 1
            if not self.open:
                self._idle.set()


async def _read_call(reader: asyncio.StreamReader) -> ProviderCall | None:
    """The next call of a connection; None: the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return ProviderCall(method, target, headers, body)


async def _answer(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Writes an answer; whether the connection lives on."""
    if reply.instead == "reset":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
        return False
    body = reply.encoded()
    headers = {"Content-Type": "application/json", **reply.headers, "Content-Length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sent = body[: len(body) // 2] if reply.instead == "cut" else body
    writer.write(f"HTTP/1.1 {reply.status} Answer\r\n{head}\r\n".encode("latin-1") + sent)
    await writer.drain()
    return not reply.instead
