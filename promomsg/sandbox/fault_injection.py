"""How each kind of fault is made to happen on a connection; `fault_plan` says which call gets it."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from promomsg.sandbox.alipay_endpoints import AlipayEndpoints
from promomsg.sandbox.calls_and_replies import Call, SandboxReply
from promomsg.sandbox.fault_plan import Fault, Injection
from promomsg.sandbox.wechat_endpoints import WeChatEndpoints

__all__ = ["FaultInjector", "SeveredResponse", "as_response", "end_connection"]

_CHUNK: Final = b" " * 65_536
_HTML: Final = b"<html><head><title>502</title></head><body>Bad Gateway</body></html>"
_ERRCODES: Final[Mapping[str, int]] = {
    "minus_one": -1,
    "token_invalid": 40001,
    "throttle": 45011,
    "daily": 45009,
}
_RESULTS: Final[Mapping[str, str]] = {
    "minus_one": "UNKNOWN_EXCEPTION",
    "token_invalid": "INVALID_ACCESS_TOKEN",
    "throttle": "REQUEST_TRAFFIC_EXCEED_LIMIT",
    "daily": "MESSAGE_SEND_EXCEED_LIMIT",
}
_POLL_INTERVAL: Final = 0.25


def end_connection(transport: asyncio.BaseTransport | None, *, reset: bool = True) -> None:
    """Ends a connection: with RST (linger 0), else with FIN after what was written."""
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.Transport):
        transport.abort()
    else:
        transport.close()


class SeveredResponse(web.StreamResponse):
    """Instead of an answer: the connection ends, after `raw` bytes if there are any."""

    def __init__(self, *, reset: bool = True, raw: bytes = b"") -> None:
        super().__init__()
        self._reset = reset
        self._raw = raw

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        transport = request.transport
        if transport is not None and self._raw:
            transport.write(self._raw)
        end_connection(transport, reset=self._reset)
        # aiohttp takes this for a client that left, and says nothing.
        raise ConnectionResetError


def as_response(reply: SandboxReply) -> web.Response:
    """A reply as aiohttp sends it."""
    headers = {"Content-Type": reply.content_type}
    if reply.headers:
        headers.update(reply.headers)
    return web.Response(body=reply.body, status=reply.status, headers=headers)


class FaultInjector:
    """Everything a fault needs of the server.

    Args:
        read: reads the request's body and makes the `Call`.
        serve: processes a call as if nothing were wrong.
        wechat, alipay: make the refusals in the form of each provider.
    """

    def __init__(
        self,
        read: Callable[[web.BaseRequest, str], Awaitable[Call]],
        serve: Callable[[Call], SandboxReply],
        wechat: WeChatEndpoints,
        alipay: AlipayEndpoints,
    ) -> None:
        self._read = read
        self._serve = serve
        self._wechat = wechat
        self._alipay = alipay
        self._closing = asyncio.Event()
        self._streaming: set[asyncio.BaseTransport] = set()

    def close(self) -> None:
        """Ends every call that a fault holds open."""
        self._closing.set()
        for transport in self._streaming:
            end_connection(transport)

    async def inject(
        self, injection: Injection, request: web.BaseRequest, endpoint: str
    ) -> web.StreamResponse:
        """Answers this request as the fault says."""
        fault = injection.fault
        kind = fault.kind
        if kind == "refuse":
            return SeveredResponse(reset=False)
        if kind == "reset_before_reading":
            return SeveredResponse()
        call = await self._read(request, endpoint)
        if kind == "delay" and not await self._wait(fault.seconds):
            return SeveredResponse()
        reply = self._serve(call) if fault.delivered else None
        if kind == "drop_after_delivering":
            return SeveredResponse(reset=fault.reset)
        if kind == "hang":
            while not await self._closed_within(_POLL_INTERVAL):
                if request.transport is None or request.transport.is_closing():
                    break
            return SeveredResponse()
        if kind in ("huge", "endless"):
            return await self._stream(request, fault)
        if kind == "slow" and not await self._wait(fault.seconds):
            return SeveredResponse()
        if reply is not None and kind in ("delay", "slow"):
            return as_response(reply)
        if reply is not None and kind == "truncate":
            return SeveredResponse(reset=False, raw=_half(reply))
        if reply is not None and kind in ("alter", "unsigned", "bad_signature"):
            return as_response(self._changed_reply(call, reply, fault))
        return as_response(await self._replaced_reply(call, fault))

    async def _replaced_reply(self, call: Call, fault: Fault) -> SandboxReply:
        kind = fault.kind
        if kind == "html":
            return SandboxReply(fault.body.encode() or _HTML, "text/html; charset=utf-8")
        if kind == "status":
            return SandboxReply(
                fault.body.encode(), fault.content_type or "text/html", fault.status
            )
        if kind == "redirect":
            return SandboxReply(b"", status=302, headers={"Location": fault.location})
        if kind == "garbage":
            content_type = fault.content_type or "text/plain"
            if fault.gzip_megabytes is None:
                return SandboxReply(fault.body.encode(), content_type)
            bomb = await asyncio.to_thread(_bomb, fault.gzip_megabytes)
            return SandboxReply(bomb, content_type, headers={"Content-Encoding": "gzip"})
        if call.endpoint.startswith("alipay."):
            code = fault.result or _RESULTS.get(kind, "PROCESS_FAIL")
            status = fault.result_status
            return self._alipay.answer(call, code, status=status, message=fault.errmsg)
        errcode = fault.errcode if fault.errcode is not None else _ERRCODES.get(kind, -1)
        return self._wechat.refuse(errcode, fault.errmsg)

    def _changed_reply(self, call: Call, reply: SandboxReply, fault: Fault) -> SandboxReply:
        wallet = call.endpoint.startswith("alipay.")
        if fault.kind != "alter":
            how = "unsigned" if fault.kind == "unsigned" else "bad"
            return self._alipay.signed_reply(call, reply.body, how) if wallet else reply
        answer: dict[str, Any] = msgspec.json.decode(reply.body)
        answer.update(fault.set)
        for name in fault.unset:
            answer.pop(name, None)
        body = msgspec.json.encode(answer)
        return self._alipay.signed_reply(call, body) if wallet else reply._replace(body=body)

    async def _stream(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": fault.content_type or "text/plain"})
        left = fault.megabytes * 16 if fault.kind == "huge" else -1
        if left >= 0:
            response.content_length = left * len(_CHUNK)
        transport = request.transport
        if transport is None:
            return SeveredResponse()
        self._streaming.add(transport)
        try:
            await response.prepare(request)
            while left and not self._closing.is_set():
                await response.write(_CHUNK)
                left -= 1
                # A reader as fast as we are would keep every other call waiting.
                await asyncio.sleep(0)
        except ConnectionError:
            return SeveredResponse()
        finally:
            self._streaming.discard(transport)
        return response if left == 0 else SeveredResponse()

    async def _wait(self, seconds: float) -> bool:
        """Waits so long; False when the sandbox closes meanwhile."""
        return not await self._closed_within(seconds)

    async def _closed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True


def _half(reply: SandboxReply) -> bytes:
    head = [f"HTTP/1.1 {reply.status} OK", f"Content-Type: {reply.content_type}"]
    head += [f"{name}: {value}" for name, value in (reply.headers or {}).items()]
    head += [f"Content-Length: {len(reply.body)}", "", ""]
    return "\r\n".join(head).encode() + reply.body[: len(reply.body) // 2]


@lru_cache(maxsize=4)
def _bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1024 * 1024)
    return b"".join([packer.compress(block) for _ in range(megabytes)]) + packer.flush()
