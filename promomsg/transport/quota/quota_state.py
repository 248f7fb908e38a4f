"""What is kept of an account's quota, and what its senders ask and are answered: values only."""

from __future__ import annotations

import msgspec

__all__ = ["Bunch", "BunchReport", "BunchRequest", "Grant", "QuotaState", "Sender"]


class Bunch(msgspec.Struct, array_like=True):
    """Calls that were given to one sender.

    Attributes:
        sender, number: whose, and the how manieth of its own; empty when it is merged of several's.
        at: none of it goes before; once it is reported, when the last of it went.
        until: none of it goes after.
        calls: how many; once it is reported, how many went.
        day: the China-time day that they count to.
        reported: whether its sender has told what went.
    """

    sender: str
    number: int
    at: float
    until: float
    calls: int
    day: str
    reported: bool = False


class Sender(msgspec.Struct, array_like=True):
    """Somebody who sends for the account.

    Attributes:
        quotas: `(calls, seconds)`, the guard included: all of them hold.
        day_limit: calls in a China-time day; None for no limit.
        alive_until: until when it counts.
    """

    quotas: tuple[tuple[int, float], ...]
    day_limit: int | None
    alive_until: float


class QuotaState(msgspec.Struct, omit_defaults=True):
    """The row of one kind of call. All times are of the store's clock.

    Attributes:
        clock: which clock: after a restart of the machine, or of the server, it is another one.
        bunches: in the order in which they were given out; as long ago as `reach`.
        reach: seconds of the longest quota that the list is complete for.
        latest: until when anything that was ever given out may go.
        not_before: nothing is given out for earlier.
        due: when the next bunch is due by the pace.
        carry: by how much the bunches so far were too small, since calls are whole.
        senders: those that count, by name.
        days: calls by China-time day.
        seen: when the row was changed last; of a store whose clock may be set.
        hold_until: the provider asked to slow down until then.
        share, recovers_from: what it left of the pace, and since when that grows; None: all of it.
    """

    clock: str = ""
    bunches: list[Bunch] = []
    reach: float = 0.0
    latest: float | None = None
    not_before: float = 0.0
    due: float = 0.0
    carry: float = 0.0
    senders: dict[str, Sender] = {}
    days: dict[str, int] = {}
    seen: float = 0.0
    hold_until: float = 0.0
    share: float | None = None
    recovers_from: float = 0.0


class BunchReport(msgspec.Struct):
    """What went of a bunch: how many calls, and when the last of them."""

    number: int
    calls: int
    last: float


class BunchRequest(msgspec.Struct, kw_only=True):
    """What a sender asks and tells at once.

    Attributes:
        sender: its name.
        quotas, day_limit: its own.
        day: the China-time day.
        most: calls that it has for now; 0: it only tells and listens.
        wants: calls that it could have within half a second, when it is alone.
        number: of its next bunch. Those of this number and later, which it was given and never heard
            of, are answered again.
        spread: seconds by which it may take a time of the store's clock for a later one.
        reports: what went since its last request.
        hold_until, share, recovers_from: as the provider's refusals left them to it.
        called_today: calls of this day that a journal knows of; the higher count is right.
        leaves: it has nothing more to send for now.
    """

    sender: str
    quotas: tuple[tuple[int, float], ...]
    day: str
    day_limit: int | None = None
    most: int = 0
    wants: int = 0
    number: int = 0
    spread: float = 0.0
    reports: list[BunchReport] = []
    hold_until: float = 0.0
    share: float | None = None
    recovers_from: float = 0.0
    called_today: int = 0
    leaves: bool = False


class Grant(msgspec.Struct, kw_only=True):
    """What it is answered.

    Attributes:
        now: by the store's clock.
        bunches: what it is given.
        alone: nobody else has sent lately.
        day_limit: calls that the day may have, the lowest of all; None for no limit.
        day_left: calls that it has left for anybody; None for no limit.
        on_their_way: calls of the day that others were given and have not reported.
        hold_until, share, recovers_from: as they are in force for all.
    """

    now: float
    bunches: list[Bunch]
    alone: bool
    day_limit: int | None
    day_left: int | None
    on_their_way: int
    hold_until: float
    share: float | None
    recovers_from: float
