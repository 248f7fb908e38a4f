"""What the parts of the console hand each other: a campaign as it was seen last, who asks for a page, and
what may be done now."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from promomsg.engine.report import Report
from promomsg.journal.records import CampaignRecord

__all__ = ["Action", "CampaignPage", "Listed", "Look", "PlaceName", "SenderNews", "Visitor"]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign as it was seen last.

    Attributes:
        place, name: of its URL, `/campaigns/{place}/{name}`: the folder's number, or `fleet`; the file's
            name there, or the campaign's in the database.
        journal: for people: the file's path, or `fleet:NAME`.
        size: bytes, with the files beside it, or of its recipients in the database; None: not known.
        account: whose it is, `wechat wx0123456789`; empty where it is not known.
        record: what it was begun with; None where there is no report.
        report: where it stands; None: it cannot be read, or its plan is not complete.
        state: as `Report.state`, but of a fleet as its workers have it: `"planning"` while the plan is not
            complete, `"sending"` while workers are there; empty: it cannot be read.
        error: why it cannot be read; empty where it can.
        at: Unix seconds of the look.
        senders: who has work of it in hand, each as `host:process`; a file's sender has no name.
        rate: recipients a second over the last ten seconds; None: it was not watched for that long, or
            nobody sends.
        seconds_left: to the end at this rate; None: it is not known.
        singles_today: single sends on this China-time day so far; None: it is not known.
        singles_per_day: how many its account may make; None: no limit is known.
        trouble: what workers say of why they cannot do it now, a line each.
        pause_asked: somebody has asked for a pause that nobody has ended, whatever the state; only where an
            action is asked for.
    """

    place: str
    name: str
    journal: str
    size: int | None = None
    account: str = ""
    record: CampaignRecord | None = None
    report: Report | None = None
    state: str = ""
    error: str = ""
    at: float
    senders: tuple[str, ...] = ()
    rate: float | None = None
    seconds_left: float | None = None
    singles_today: int | None = None
    singles_per_day: int | None = None
    trouble: tuple[str, ...] = ()
    pause_asked: bool = False


class Listed(NamedTuple):
    """Where a campaign stands in the list; the greater one is shown first.

    Attributes:
        at: Unix seconds of what the list is sorted by: the last change of a file, or when a campaign of a
            database was begun.
        place, name: of its URL.
    """

    at: float
    place: str
    name: str

    def text(self) -> str:
        """What `?after=` of the page behind it is."""
        return f"{self.at!r}~{self.place}~{self.name}"

    @classmethod
    def read(cls, text: str) -> Listed | None:
        """The one of such a text; None: it is none."""
        at, _, rest = text.partition("~")
        place, _, name = rest.partition("~")
        try:
            moment = float(at)
        except ValueError:
            return None
        return cls(moment, place, name) if math.isfinite(moment) and place and name else None


class PlaceName(msgspec.Struct, frozen=True, kw_only=True):
    """A place that campaigns are in.

    Attributes:
        place: of its URLs: `1`, `2`, … or `fleet`.
        shown: for people: the folder, or the database without user and password.
        campaigns: how many journals it has.
        error: why it cannot be read; empty where it can.
    """

    place: str
    shown: str
    campaigns: int = 0
    error: str = ""


class CampaignPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the list of campaigns, newest first.

    Attributes:
        looks: up to 50.
        places: all places, in their order.
        after: what `?after=` of the next page is; empty: this is the last one.
        is_first: whether it is the first page.
    """

    looks: tuple[Look, ...]
    places: tuple[PlaceName, ...]
    after: str = ""
    is_first: bool = True

    @property
    def campaigns(self) -> int:
        """How many there are on all pages."""
        return sum(place.campaigns for place in self.places)


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a page.

    Attributes:
        language: a key of the languages that `Pages` was made with.
        may_act: whether it may pause, resume, cancel, retry and approve.
        signs_in: whether it came with a token, and can sign out.
        csrf: gives the token that a form which goes to this path has to bring, as `csrf`.
    """

    language: str
    may_act: bool
    signs_in: bool
    csrf: Callable[[str], str]


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What may be done with a campaign.

    Attributes:
        name: of its URL: `pause`, `resume`, `cancel`, `retry`, `approve`.
        label: of its button.
        says: what it will do, a sentence each.
        command: the same at a terminal, `promomsg pause autumn.db`.
        is_possible: whether it can be done now; why_not: why it cannot.
        agreed: what a yes is to, for the form to bring back as `agreed`: when the campaign has changed
            meanwhile in a way that matters, it is asked again.
    """

    name: str
    label: str
    says: tuple[str, ...]
    command: str
    is_possible: bool
    why_not: str
    agreed: str = ""


class SenderNews(msgspec.Struct, frozen=True, kw_only=True):
    """A process that the console has started for a campaign, as far as it is.

    Attributes:
        command: what it runs, as people type it.
        process: its number.
        at: Unix seconds of its start.
        lines: the last lines that it printed.
        status: its exit status; negative: the signal that ended it; None: it runs.
        meaning: of the status; empty while it runs.
    """

    command: str
    process: int
    at: float
    lines: tuple[str, ...]
    status: int | None
    meaning: str
