"""The server of every benchmark: answers WeChat's calls with success, on a core of its own.

It parses only what it must, so that it is never what a client waits for, and counts what really
arrived. `python -m benchmarks.responder` prints its address and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from math import inf
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from benchmarks.machine import installed, new_runner, pin

__all__ = ["ResponderState", "worst_window"]

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


class ResponderState:
    """What arrived, and the answers that are not always the same."""

    def __init__(self) -> None:
        self.port = 0
        self.reset()

    def reset(self, fail_share: float = 0.0, day_limit: float = inf) -> None:
        """Forgets everything.

        Args:
            fail_share: of later groups, this share of the members fails.
            day_limit: single sends that are taken; later ones hear that the day's quota is used up.
        """
        self.singles = 0
        self.day_limit = day_limit
        self.times: array[float] = array("d")
        self.calls: dict[str, int] = {}
        self.fail_share = fail_share
        self.groups: dict[str, _Group] = {}

    def answer(self, target: str, body: bytes) -> bytes:
        """The answer to anything but a single send."""
        url = urlsplit(target)
        if url.path.startswith("/_bench/"):
            return self._control(url.path[8:], {k: v[0] for k, v in parse_qs(url.query).items()})
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

    def _control(self, name: str, query: dict[str, str]) -> bytes:
        if name == "reset":
            self.reset(**{name: float(value) for name, value in query.items()})
            return _OK
        if name == "failures":
            return _json(self._failed(self.groups[query["of"]]))
        times = self.times
        counts: dict[str, Any] = {
            "singles": self.singles,
            "groups": len(self.groups),
            "failed": sum(len(self._failed(group)) for group in self.groups.values()),
            "calls": self.calls,
            "first": times[0] if times else None,
            "last": times[-1] if times else None,
        }
        if "quota" in query:
            seconds = float(query.get("seconds", 1))
            counts["worst"], counts["over"] = worst_window(times, int(query["quota"]), seconds)
        return _json(counts)


def _json(value: Any) -> bytes:
    return _answer(msgspec.json.encode(value))


class _Conversation(asyncio.Protocol):
    def __init__(self, state: ResponderState) -> None:
        self._state = state
        self._rest = b""
        self._need = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

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
                state.singles += 1
                state.times.append(time.monotonic())
                answers.append(_OK if state.singles <= state.day_limit else _USED_UP)
            else:
                target = data[at:end].split(b" ", 2)[1].decode()
                answers.append(state.answer(target, data[end + 4 : stop]))
            at = stop
        self._rest = data[at:]
        if answers:
            self._transport.write(b"".join(answers))


def _length(data: bytes, start: int, end: int) -> int:
    found = data.find(b"Content-Length: ", start, end)
    if found < 0:
        found = data[start:end].lower().find(b"content-length: ")
        if found < 0:
            return 0
        found += start
    line = data.find(b"\r\n", found, end)
    return int(data[found + 16 : end if line < 0 else line])


async def _serve(state: ResponderState) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Conversation(state), "127.0.0.1", 0, backlog=1024)
    state.port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": state.port}), flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int)
    pin(parser.parse_args().core)
    with new_runner("uvloop" if installed("uvloop") else "asyncio") as runner:
        runner.run(_serve(ResponderState()))


if __name__ == "__main__":
    main()
