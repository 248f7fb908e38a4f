"""What was really delivered to whom: the ground truth of every reliability test.

With a path, each delivery and each injected fault is appended as one JSON line, flushed at once,
so that another process can read it: `{"what": "single" | "group" | "request" | "fault", …}`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from promomsg.errors import UsageError
from promomsg.private_files import open_private

__all__ = ["GroupDelivery", "Ledger", "read_ledger"]

_KEPT_MESSAGES: Final = 100_000


class GroupDelivery(msgspec.Struct, frozen=True):
    """One accepted group send.

    Attributes:
        msg_id: what sendmsg answered.
        list_type: 0 everyone, 1 roles, 2 retailers, 3 ids.
        audience: the roles, retailers or ids that were asked for; empty for everyone.
        delivered: the ids it reached.
        failed: the ids it did not reach, with their errcode.
        at: Unix seconds by the sandbox's clock.
    """

    msg_id: str
    list_type: int
    audience: tuple[str, ...]
    delivered: tuple[str, ...]
    failed: dict[str, int]
    at: float
    msg_type: int = 0
    content: str = ""
    path: str = ""

    @property
    def everyone(self) -> bool:
        """Whether it went to every promoter there is."""
        return self.list_type == 0


class Ledger:
    """Counts deliveries, in memory and, with a path, in a file that it continues.

    Attributes:
        delivered: address (id, openid, unionid, wallet access token) → how often it was reached.
        groups: every accepted group send.
        requests: Alipay+ requestId → the access token it was delivered to.
        conflicts: requestIds that came for a second person (who got nothing).
        faults: injected faults by kind.
        messages: address → the content last delivered (of the first 100,000 addresses).
        singles: how many single messages were delivered.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.delivered: dict[str, int] = {}
        self.groups: list[GroupDelivery] = []
        self.requests: dict[str, str] = {}
        self.conflicts: list[str] = []
        self.faults: Counter[str] = Counter()
        self.messages: dict[str, str] = {}
        self.singles = 0
        self._twice: dict[str, None] = {}
        self._file: IO[bytes] | None = None
        if path is not None:
            self._open(Path(path))

    def deliveries(self, address: str) -> int:
        """How often this address was reached."""
        return self.delivered.get(address, 0)

    def twice(self) -> list[str]:
        """The addresses that were reached more than once, in order."""
        return list(self._twice)

    @property
    def total(self) -> int:
        """All deliveries, single and by group."""
        return sum(self.delivered.values())

    def group(self, msg_id: str) -> GroupDelivery | None:
        """The group send with this msg_id."""
        return next((g for g in self.groups if g.msg_id == msg_id), None)

    def single(
        self, to: str, *, field: str, msg_type: int, content: str, path: str, at: float
    ) -> None:
        """A WeChat single send reached `to`."""
        self._count(to, content)
        self.singles += 1
        self._write(
            what="single", to=to, field=field, msg_type=msg_type, content=content, path=path, at=at
        )

    def add_group(self, group: GroupDelivery) -> None:
        """A group send was accepted and will reach `group.delivered`."""
        self.groups.append(group)
        for to in group.delivered:
            self._count(to, group.content)
        if self._file is not None:
            self._write(what="group", **msgspec.structs.asdict(group))

    def request(self, request_id: str, to: str, *, content: str, customer: str, at: float) -> None:
        """An Alipay+ message reached the user with access token `to`."""
        self._count(to, content)
        self.singles += 1
        self.requests[request_id] = to
        self._write(
            what="request",
            request_id=request_id,
            to=to,
            content=content,
            customer=customer,
            at=at,
        )

    def fault(self, kind: str, *, endpoint: str, call: int) -> None:
        """A fault was injected."""
        self.faults[kind] += 1
        self._write(what="fault", kind=kind, endpoint=endpoint, call=call)

    def close(self) -> None:
        """Closes the file; the counts stay readable."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _count(self, to: str, content: str) -> None:
        before = self.delivered.get(to, 0)
        self.delivered[to] = before + 1
        if before:
            self._twice[to] = None
        if len(self.messages) < _KEPT_MESSAGES or to in self.messages:
            self.messages[to] = content

    def _write(self, **line: Any) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()

    def _open(self, path: Path) -> None:
        torn = self._replay(path) if path.exists() else False
        try:
            # Closed by close(): the ledger lives as long as its sandbox.
            self._file = os.fdopen(open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "ab")
        except OSError as exc:
            raise UsageError(
                f"ledger {path}: cannot be written ({exc.strerror}); choose another file"
            ) from None
        if torn:
            self._file.write(b"\n")

    def _replay(self, path: Path) -> bool:
        """Counts what the file holds; whether its last line was torn off by a kill."""
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError as exc:
            raise UsageError(f"ledger {path}: cannot be read ({exc.strerror})") from None
        torn = lines[-1] != b""
        for number, line in enumerate(lines[:-1], 1):
            try:
                self._apply(msgspec.json.decode(line))
            except msgspec.ValidationError:
                raise UsageError(f"ledger {path}, line {number}: not a ledger line") from None
            except msgspec.DecodeError:
                if number == 1:
                    raise UsageError(f"ledger {path}: not a ledger; choose another file") from None
                # Torn off by a kill; a later sandbox went on behind it.
            except (KeyError, TypeError, AttributeError):
                raise UsageError(f"ledger {path}, line {number}: not a ledger line") from None
        return torn

    def _apply(self, line: Mapping[str, Any]) -> None:
        what = line["what"]
        if what == "single":
            self._count(line["to"], line["content"])
            self.singles += 1
        elif what == "request":
            self._count(line["to"], line["content"])
            self.singles += 1
            self.requests[line["request_id"]] = line["to"]
        elif what == "group":
            self.add_group(msgspec.convert({**line}, GroupDelivery))
        elif what == "fault":
            self.faults[line["kind"]] += 1
        else:
            raise KeyError(what)


def read_ledger(path: str | os.PathLike[str]) -> Ledger:
    """The ledger that another process has written, or is still writing.

    A last line that is not complete yet is left out.

    Raises:
        UsageError: no such file, or it holds no ledger.
    """
    ledger = Ledger()
    ledger._replay(Path(path))
    return ledger
