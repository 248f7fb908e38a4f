"""What the server hands to the providers' endpoints, and gets back: a call, a reply, a refusal."""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

__all__ = [
    "Call",
    "Calls",
    "Complaints",
    "SandboxReply",
    "WeChatRefusedError",
    "refusal_reply",
    "wechat_reply",
]


_KEPT_BYTES: Final = 128 * 1024 * 1024
"""Bodies kept for assertions."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request as it came in; `body` holds its raw bytes, `at` is monotonic seconds."""

    endpoint: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float


class SandboxReply(NamedTuple):
    """An answer that has not been written yet."""

    body: bytes
    content_type: str = "text/plain"
    status: int = 200
    headers: Mapping[str, str] | None = None


class WeChatRefusedError(Exception):
    """WeChat refuses a call: an errcode and its text."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errcode, errmsg)
        self.errcode = errcode
        self.errmsg = errmsg


class Calls(Counter[str]):
    """Calls by endpoint (faulted ones too), and when each came in.

    Attributes:
        requests: the last calls in full (those whose body was read), for assertions on raw bytes.
    """

    def __init__(self, keep: int = 1000) -> None:
        super().__init__()
        self.requests: deque[Call] = deque(maxlen=keep)
        self._held = 0
        self._times: dict[str, list[float]] = {}

    def keep(self, call: Call) -> None:
        """Keeps a call in full; the oldest ones go when together they are too large."""
        if len(self.requests) == self.requests.maxlen:
            self._held -= len(self.requests[0].body) if self.requests else 0
        self.requests.append(call)
        self._held += len(call.body)
        while self._held > _KEPT_BYTES and self.requests:
            self._held -= len(self.requests.popleft().body)

    def note(self, endpoint: str, at: float) -> None:
        """Counts one arrival at monotonic time `at`."""
        self[endpoint] += 1
        times = self._times.get(endpoint)
        if times is None:
            times = self._times[endpoint] = []
        times.append(at)

    def times(self, endpoint: str) -> list[float]:
        """Monotonic arrival times of one endpoint, in order."""
        return list(self._times.get(endpoint, ()))

    @property
    def arrivals(self) -> list[tuple[str, float]]:
        """Every arrival, `(endpoint, monotonic seconds)`, in order."""
        pairs = chain.from_iterable(
            ((name, at) for at in times) for name, times in self._times.items()
        )
        return sorted(pairs, key=lambda pair: pair[1])

    def most_within(self, endpoint: str, seconds: float) -> int:
        """The most arrivals that any sliding window of that length saw."""
        times = self._times.get(endpoint, [])
        most = first = 0
        for last, at in enumerate(times):
            while at - times[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def bodies(self, endpoint: str) -> list[bytes]:
        """Raw bodies of the last requests to one endpoint, in order."""
        return [call.body for call in self.requests if call.endpoint == endpoint]


class Complaints(deque[str]):
    """Oddities of requests that were served all the same; the last 1,000."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        super().__init__(lines, maxlen=1000)


def new_rid() -> str:
    """A request id in WeChat's form (`65b0a77b-3857ef84-7d2c553e`;
    docs/facts/wechat.md, "Wire oddities")."""
    return f"{int(time.time()):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"


def wechat_reply(answer: Mapping[str, Any], content_type: str) -> SandboxReply:
    """A success: errcode 0 is in `answer` when the endpoint has one."""
    return SandboxReply(msgspec.json.encode(answer), content_type)


def refusal_reply(errcode: int, errmsg: str, content_type: str) -> SandboxReply:
    """A refusal; its errmsg ends in a rid (docs/facts/wechat.md, "Wire oddities")."""
    answer = {"errcode": errcode, "errmsg": f"{errmsg} rid: {new_rid()}"}
    return SandboxReply(msgspec.json.encode(answer), content_type)
