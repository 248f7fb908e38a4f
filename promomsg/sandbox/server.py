"""The sandbox's HTTP server: one listener, both providers, faults before anything else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from promomsg.errors import UsageError
from promomsg.listening_socket import host_in_header, listen, url_of
from promomsg.sandbox.alipay_endpoints import APPLY_TOKEN, SEND, AlipayEndpoints
from promomsg.sandbox.calls_and_replies import Call, Calls, Complaints, SandboxReply
from promomsg.sandbox.fault_injection import (
    FaultInjector,
    SeveredResponse,
    as_response,
    end_connection,
)
from promomsg.sandbox.fault_plan import FaultPlan
from promomsg.sandbox.group_sends import FILE_PREFIX
from promomsg.sandbox.ledger import Ledger
from promomsg.sandbox.movable_clock import SandboxClock, parse_day
from promomsg.sandbox.sandbox_settings import SandboxSettings
from promomsg.sandbox.signatures import load_public_key, public_key_pem, wallet_key
from promomsg.sandbox.wechat_endpoints import ROUTES, WeChatEndpoints
from promomsg.url_origins import is_loopback_host

__all__ = ["CLOCK_PATH", "Sandbox", "serve"]

CLOCK_PATH: Final = "/sandbox/clock"
"""POST `{"day": "2026-12-12"}` or `{"day": "+1d"}`: moves the clock while it serves. No provider's
path begins so (docs/facts/wechat.md, "Sibling endpoints";
docs/facts/alipay.md, "Calling convention")."""

_GRACE: Final = 0.25


class Sandbox:
    """A local stand-in for both providers, for the time of an `async with` block.

    Args:
        host: the address to listen on; loopback unless you say otherwise.
        port: 0 picks a free one.
        seed: random seed, of faults by probability and group failures.
        faults: a `FaultPlan`, or a plan file; its `[settings]` win over `settings`.
        ledger: a file to append deliveries to (one that exists is continued), or None.
        settings: how the stand-in behaves.

    Attributes:
        url: `http://127.0.0.1:PORT`, once entered.
        ledger: what was really delivered to whom.
        clock: `advance(seconds)` moves tokens, quotas, results and click data on.
        calls: a counter by endpoint that also has `arrivals`, `times`, `most_within`, `requests`.
        faults: the plan; assign another one at run time.
        settings: assign to its fields at run time.
        complaints: oddities of requests that were served all the same.
        wechat, alipay: the two stand-ins.

    Raises:
        UsageError: on entering: the port is taken or the address cannot be listened on.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        faults: FaultPlan | str | os.PathLike[str] | None = None,
        ledger: Ledger | str | os.PathLike[str] | None = None,
        settings: SandboxSettings | None = None,
    ) -> None:
        if isinstance(faults, (str, os.PathLike)):
            faults = FaultPlan.load(faults)
        self.faults = faults if faults is not None else FaultPlan()
        self.settings = settings if settings is not None else SandboxSettings()
        if self.faults.settings:
            self.settings = self.settings.updated(self.faults.settings, self.faults.where)
        if self.settings.client_public_key is not None:
            load_public_key(self.settings.client_public_key)
        self.seed = seed
        self.url = ""
        self.clock = SandboxClock()
        self.calls = Calls(self.settings.keep_requests)
        self.complaints = Complaints()
        self._host = host
        self._port = port
        self._ledger_path = None if isinstance(ledger, Ledger) else ledger
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger()
        self._server: asyncio.Server | None = None
        self._web: web.Server | None = None
        self.wechat: WeChatEndpoints
        self.alipay: AlipayEndpoints

    @property
    def alipay_public_key(self) -> str:
        """The wallet's public key, PEM: verifies its answers."""
        return public_key_pem(wallet_key())

    async def __aenter__(self) -> Self:
        if self._ledger_path is not None:
            self.ledger = Ledger(self._ledger_path)

        def settings() -> SandboxSettings:
            return self.settings

        self.wechat = WeChatEndpoints(
            settings,
            self.clock,
            self.ledger,
            self.complaints,
            seed=self.seed,
            url=lambda: self.url,
        )
        self.alipay = AlipayEndpoints(settings, self.clock, self.ledger, self.complaints)
        self._fault_injector = FaultInjector(self._read, self._serve, self.wechat, self.alipay)
        self._web = web.Server(
            self._handle, request_factory=self._make_request, access_log=None, lingering_time=_GRACE
        )
        try:
            await self.start_listening()
        except UsageError:
            self.ledger.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close_listener()
        self._fault_injector.close()
        if self._web is not None:
            await self._web.shutdown(_GRACE)
        self.ledger.close()

    async def start_listening(self) -> None:
        """Listens again, on the same port, after `stop_listening`."""
        self._server = await listen(self._protocol, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = url_of(self._server, self._host)

    async def stop_listening(self, *, drop: bool = True) -> None:
        """An outage: new connections are refused by the kernel; open ones are reset, if `drop`."""
        self._close_listener()
        if drop and self._web is not None:
            for connection in self._web.connections:
                end_connection(connection.transport)
        # The sockets are closed in the loop's next iteration.
        await asyncio.sleep(0)

    def expire_tokens(self) -> None:
        """Every WeChat access token is over at once: the next call gets 42001."""
        self.wechat.tokens.expire_all()

    def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _protocol(self) -> asyncio.BaseProtocol:
        injection = self.faults.next("connect", self.seed)
        if injection is not None:
            self.ledger.fault("refuse", endpoint="connect", call=injection.call)
            return _ResettingProtocol()
        if self._web is None:  # pragma: no cover - the listener lives inside the block
            raise RuntimeError("the sandbox is not entered")
        return self._web()

    def _make_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            asyncio.get_running_loop(),
            client_max_size=self.settings.max_body,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if foreign := self._why_foreign(request):
            return as_response(SandboxReply(foreign.encode(), status=403))
        endpoint = self._endpoint(request.rel_url.raw_path)
        self.calls.note(endpoint, time.monotonic())
        injection = self.faults.next(endpoint, self.seed)
        try:
            if injection is None:
                return as_response(self._serve(await self._read(request, endpoint)))
            self.ledger.fault(injection.fault.kind, endpoint=endpoint, call=injection.call)
            return await self._fault_injector.inject(injection, request, endpoint)
        except TimeoutError:
            slow = as_response(SandboxReply(b"the body did not come in time", status=408))
            slow.force_close()
            return slow
        except RecursionError:
            return as_response(SandboxReply(b"the body is nested too deep", status=400))
        except web.HTTPRequestEntityTooLarge:
            return as_response(self.wechat.refuse(45002, "content size out of limit"))
        except (ConnectionError, web.RequestPayloadError):
            # The client left while its request was being read: nothing was delivered.
            return SeveredResponse()

    def _why_foreign(self, request: web.BaseRequest) -> str:
        """Why a request is not one of ours; empty when it may be.

        A page in a browser on this machine can call loopback addresses. It says its Origin, and one
        whose own name was made to point here says that name as Host.
        """
        if "Origin" in request.headers:
            return "the sandbox is not for browsers: it takes no request with an Origin"
        host = host_in_header(request.headers.get("Host", ""))
        if is_loopback_host(self._host) and not is_loopback_host(host) and host != self._host:
            return f"the sandbox is called by 127.0.0.1 or localhost, not {host[:100]!r}"
        return ""

    def _endpoint(self, path: str) -> str:
        known = ROUTES.get(path)
        if known is not None:
            return known
        if path == CLOCK_PATH:
            return "sandbox_clock"
        if path.startswith(FILE_PREFIX):
            return "failure_file"
        prefix = self.settings.alipay_prefix
        for suffix, name in ((SEND, "alipay.send"), (APPLY_TOKEN, "alipay.apply_token")):
            if path.endswith(suffix) and (prefix is None or path == prefix + suffix):
                return name
        return "other"

    async def _read(self, request: web.BaseRequest, endpoint: str) -> Call:
        async with asyncio.timeout(self.settings.body_seconds):
            body = await request.read()
        call = Call(
            endpoint,
            request.method,
            request.rel_url.raw_path,
            request.query,
            request.headers,
            body,
            time.monotonic(),
        )
        self.calls.keep(call)
        return call

    def _serve(self, call: Call) -> SandboxReply:
        endpoint = call.endpoint
        if endpoint == "failure_file":
            return self.wechat.failure_file(call)
        if endpoint == "sandbox_clock":
            return self._move_clock(call)
        if endpoint.startswith("alipay."):
            return self.alipay.serve(call)
        if endpoint == "other" and "/v2/" in call.path:
            return self.alipay.answer(call, "INVALID_API")
        return self.wechat.serve(call)

    def _move_clock(self, call: Call) -> SandboxReply:
        status, answer = 200, {}
        try:
            request = msgspec.json.decode(call.body, type=dict[str, str])
            answer = {"day": self.clock.move(parse_day(request.get("day", "")))}
        except (UsageError, msgspec.MsgspecError) as error:
            status, answer = 400, {"error": str(error)}
        return SandboxReply(msgspec.json.encode(answer), "application/json", status)


class _ResettingProtocol(asyncio.Protocol):
    """A connection that is reset as soon as it is accepted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        end_connection(transport)


def _write_key(path: Path, pem: str) -> None:
    """A key made by an earlier sandbox is replaced; any other file is somebody's."""
    try:
        if path.exists() and "PUBLIC KEY" not in path.read_text(encoding="ascii", errors="replace"):
            raise UsageError(f"{path} is there and is no public key; name another file")
        path.write_text(pem, encoding="ascii")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    faults: FaultPlan | str | os.PathLike[str] | None = None,
    ledger: str | os.PathLike[str] | None = None,
    seed: int = 0,
    settings: SandboxSettings | None = None,
    announce: Callable[[str], None] | None = None,
    clock: str | None = None,
    public_key_out: str | os.PathLike[str] | None = None,
) -> None:
    """Runs a sandbox until it is cancelled (`promomsg sandbox`).

    Args:
        announce: gets the one line `listening on http://127.0.0.1:PORT`; None prints it, flushed.
        clock: the China-time day on which it begins, `"2026-12-12"`, or `"-1d"`, `"+1d"`.
        public_key_out: a file for the wallet's public key (PEM), written before the line.

    Raises:
        UsageError: the port is taken, or the plan, the ledger, the clock's day or the key's file
            cannot be used.
    """
    box = Sandbox(host=host, port=port, seed=seed, faults=faults, ledger=ledger, settings=settings)
    if clock is not None:
        box.clock.move(parse_day(clock), back=True)
    async with box:
        if public_key_out is not None:
            _write_key(Path(public_key_out), box.alipay_public_key)
        line = f"listening on {box.url}"
        if announce is None:
            print(line, flush=True)
        else:
            announce(line)
        await asyncio.Event().wait()
