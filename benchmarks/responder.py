"""The server of every benchmark: answers every call with success, on a core of its own.

It parses only what it must, so that it is never what a client waits for, and counts what really
arrived. `python -m benchmarks.responder` prints its ports and ends when its standard input does.
Answers can be late, a share of them very late, and so can TLS handshakes (`ResponderState.reset`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import ssl
import sys
import time
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from benchmarks.certificates import CERTIFICATE, PRIVATE_KEY
from benchmarks.machine import installed, new_runner, pin

__all__ = ["Conversation", "LateHandshakes", "ResponderState", "worst_window"]

FAIL_INLINE: Final = 1_000
"""Failures above this number come as a file (docs/facts/wechat.md, "Delivery result")."""


class _Group(msgspec.Struct):
    msg_type: int = 1
    content: str = ""
    path: str = ""
    list_type: int = 0
    id: list[str] = []


class _GroupQuery(msgspec.Struct):
    msg_id: str = ""


def worst_window(times: array[float], quota: int, seconds: float) -> tuple[int, int]:
    """The most arrivals of any window [t, t + seconds), and how many windows are over the quota.

    The fullest windows begin at an arrival, so only those are looked at.
    """
    worst = over = 0
    for at, begin in enumerate(times):
        count = bisect_left(times, begin + seconds, at) - at
        worst = max(worst, count)
        over += count > quota
    return worst, over


def _answer(body: bytes, kind: bytes = b"application/json; charset=utf-8") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        kind,
        len(body),
        body,
    )


_OK: Final = _answer(b'{"errcode":0,"errmsg":"ok"}')
_USED_UP: Final = _answer(b'{"errcode":45009,"errmsg":"reach max api daily quota limit"}')
_SINGLE: Final = b"POST /promoter/singlesendmsg"
_WALLET: Final = b"POST /wallet/"
_SHARES: Final = 1 << 32
"""Of how many parts a CRC-32 is one."""


class ResponderState:
    """What arrived, and the answers that are not always the same."""

    def __init__(self) -> None:
        self.port = 0
        self.wallet_answer = b""
        self.late = 0
        self.reset()

    def reset(
        self,
        *,
        fail_share: float = 0.0,
        day_limit: float = inf,
        delay: float = 0.0,
        slow_share: float = 0.0,
        slow_delay: float = 0.0,
        handshake: float = 0.0,
        idle: float = inf,
    ) -> None:
        """Forgets everything that arrived.

        Args:
            fail_share: of later groups, this share of the members fails.
            day_limit: single sends that are taken; later ones hear that the day's quota is used up.
            delay: seconds from a single send to its answer.
            slow_share: this share of the single sends, the same ones every time, is answered
                `slow_delay` seconds after it came instead.
            handshake: seconds that a TLS handshake waits before the server says anything.
            idle: seconds after which a kept-alive connection without a call is closed.
        """
        self.singles = 0
        self.day_limit = day_limit
        self.times: array[float] = array("d")
        self.calls: dict[str, int] = {}
        self.fail_share = fail_share
        self.groups: dict[str, _Group] = {}
        self.delay = delay
        self.slow_share = slow_share
        self.slow_delay = slow_delay
        self.handshake = handshake
        self.idle = idle
        self.delayed = bool(delay or slow_share)
        self.delays: array[float] = array("d")
        self.connections = 0

    def take(self, call: bytes) -> float:
        """Notes a single send, and says after how many seconds it is answered."""
        self.singles += 1
        self.times.append(time.monotonic())
        if not self.delayed:
            return 0.0
        slow = zlib.crc32(call) < self.slow_share * _SHARES
        wait = self.slow_delay if slow else self.delay
        self.delays.append(wait)
        return wait

    def answer(self, target: str, body: bytes) -> bytes:
        """The answer to anything but a single send."""
        url = urlsplit(target)
        if url.path.startswith("/_bench/"):
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            return self._control(url.path[8:], query, body)
        name = url.path.rpartition("/")[2]
        self.calls[name] = self.calls.get(name, 0) + 1
        find: Callable[[bytes], Any] | None = getattr(self, f"_{name}", None)
        return _json({"errcode": 0, "errmsg": "ok"} if find is None else find(body))

    def _stable_token(self, body: bytes) -> Any:
        return {"access_token": "t" * 136, "expires_in": 7200}

    def _get(self, body: bytes) -> Any:  # quota/get
        return {"errcode": 0, "errmsg": "ok"}

    def _sendmsg(self, body: bytes) -> Any:
        group = msgspec.json.decode(body, type=_Group)
        msg_id = str(100_000 + len(self.groups))
        self.groups[msg_id] = group
        return {"errcode": 0, "errmsg": "ok", "msg_id": msg_id}

    def _getmsg(self, body: bytes) -> Any:
        msg_id = msgspec.json.decode(body, type=_GroupQuery).msg_id
        group = self.groups[msg_id]
        failed = self._failed(group)
        answer = {
            "errcode": 0,
            "errmsg": "ok",
            "send_cnt": len(group.id),
            "percent": 100,
            "fail_cnt": len(failed),
            **msgspec.to_builtins(group),
        }
        if len(failed) <= FAIL_INLINE:
            answer["fail_info"] = failed
        else:
            answer["fail_info_url"] = f"http://127.0.0.1:{self.port}/_bench/failures?of={msg_id}"
        return answer

    def _failed(self, group: _Group) -> list[dict[str, Any]]:
        count = round(len(group.id) * self.fail_share)
        return [{"id": member, "errcode": 103010} for member in group.id[:count]]

    def _control(self, name: str, query: dict[str, str], body: bytes) -> bytes:
        if name == "reset":
            self.reset(**{name: float(value) for name, value in query.items()})
            return _OK
        if name == "failures":
            return _json(self._failed(self.groups[query["of"]]))
        if name == "wallet":
            self.wallet_answer = body
            return _OK
        times = self.times
        counts: dict[str, Any] = {
            "singles": self.singles,
            "groups": len(self.groups),
            "failed": sum(len(self._failed(group)) for group in self.groups.values()),
            "calls": self.calls,
            "connections": self.connections,
            "out": self.late,
            "first": times[0] if times else None,
            "last": times[-1] if times else None,
        }
        if "quota" in query:
            seconds = float(query.get("seconds", 1))
            counts["worst"], counts["over"] = worst_window(times, int(query["quota"]), seconds)
        if "begin" in query:
            low = bisect_left(times, float(query["begin"]))
            high = bisect_left(times, float(query["end"]))
            counts["between"] = high - low
            counts["mean_delay"] = fmean(self.delays[low:high]) if high > low else 0.0
        return _json(counts)


def _json(value: Any) -> bytes:
    return _answer(msgspec.json.encode(value))


class Conversation(asyncio.Protocol):
    """One connection: calls come in, answers go out, each after its time."""

    def __init__(self, state: ResponderState, *, counted: bool = False) -> None:
        self._state = state
        self._counted = counted
        self._rest = b""
        self._need = 0
        self._heard = 0.0
        self._unanswered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        if self._state.idle < inf:
            self._heard = time.monotonic()
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._transport.is_closing():
            return
        left = self._state.idle - (time.monotonic() - self._heard)
        if left <= 0 and not self._unanswered:
            self._transport.close()
        elif self._state.idle < inf:
            asyncio.get_running_loop().call_later(max(left, 0.1), self._close_when_idle)

    def _answer_later(self, wait: float, answer: bytes) -> None:
        self._unanswered += 1
        self._state.late += 1
        asyncio.get_running_loop().call_later(wait, self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        self._unanswered -= 1
        self._state.late -= 1
        self._heard = time.monotonic()
        if not self._transport.is_closing():
            self._transport.write(answer)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            if len(data) < self._need:  # a large body: do not look at it again for each packet
                self._rest = data
                return
        at, state, answers = 0, self._state, []
        self._need = 0
        while (end := data.find(b"\r\n\r\n", at)) >= 0:
            stop = end + 4 + _length(data, at, end)
            if stop > len(data):
                self._need = stop - at
                break
            if data.startswith(_SINGLE, at):
                if not self._counted:
                    self._counted = True
                    state.connections += 1
                wait = state.take(data[end + 4 : stop])
                answer = _OK if state.singles <= state.day_limit else _USED_UP
                if wait:
                    self._answer_later(wait, answer)
                else:
                    answers.append(answer)
            elif data.startswith(_WALLET, at):
                state.take(b"")
                answers.append(state.wallet_answer)
            else:
                target = data[at:end].split(b" ", 2)[1].decode()
                answers.append(state.answer(target, data[end + 4 : stop]))
            at = stop
        self._rest = data[at:]
        if answers:
            self._transport.write(b"".join(answers))
            if state.idle < inf:
                self._heard = time.monotonic()


class LateHandshakes:
    """Takes TLS connections, and lets each handshake wait before the server says anything."""

    def __init__(self, state: ResponderState, context: ssl.SSLContext) -> None:
        self._state = state
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    async def serve(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        with self._socket:
            while True:
                connection, _ = await loop.sock_accept(self._socket)
                self._state.connections += 1
                task = asyncio.ensure_future(self._shake_hands(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _shake_hands(self, connection: socket.socket) -> None:
        await asyncio.sleep(self._state.handshake)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):  # the client is gone
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Conversation(self._state, counted=True), connection, ssl=self._context
            )


def _length(data: bytes, start: int, end: int) -> int:
    found = data.find(b"Content-Length: ", start, end)
    if found < 0:
        found = data[start:end].lower().find(b"content-length: ")
        if found < 0:
            return 0
        found += start
    line = data.find(b"\r\n", found, end)
    return int(data[found + 16 : end if line < 0 else line])


async def _serve(state: ResponderState, folder: Path | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(state), "127.0.0.1", 0, backlog=1024)
    state.port = server.sockets[0].getsockname()[1]
    ports = {"port": state.port, "tls_port": 0}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        if folder is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(folder / CERTIFICATE, folder / PRIVATE_KEY)
            secured = LateHandshakes(state, context)
            ports["tls_port"] = secured.port
            stack.callback(asyncio.ensure_future(secured.serve()).cancel)
        print(json.dumps(ports), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int)
    parser.add_argument("--certificates", type=Path, help="a folder (benchmarks/certificates.py)")
    told = parser.parse_args()
    pin(told.core)
    with new_runner("uvloop" if installed("uvloop") else "asyncio") as runner:
        runner.run(_serve(ResponderState(), told.certificates))


if __name__ == "__main__":
    main()
