"""A bunch of calls that this process was given, by its own clock."""

from __future__ import annotations

from promomsg.transport.quota.quota_state import Bunch
from promomsg.transport.quota.store import QuotaStore

__all__ = ["GivenBunch"]


class GivenBunch:
    """What of a bunch was handed on, and what of it went.

    Args:
        store: whose clock its times are of.

    Attributes:
        number, calls, day: as the row has them.
        opens: none goes before.
        until, closes: none goes later; and none once the row may take this sender for dead (`closes`).
        given: how many `reserve` has given out.
        passed: how many have passed the gate.
        last: when the last of them did.
    """

    __slots__ = ("calls", "closes", "day", "given", "last", "number", "opens", "passed", "until")

    def __init__(self, bunch: Bunch, store: QuotaStore) -> None:
        self.number = bunch.number
        self.calls = bunch.calls
        self.day = bunch.day
        self.opens = store.to_local(bunch.at)
        self.until = self.closes = store.to_local_by(bunch.until)
        self.given = 0
        self.passed = 0
        self.last = 0.0
