"""What the console's pages show, as plain values made of what was seen: no markup, no I/O."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes, urlencode

import msgspec

from promomsg.code_meanings import Explanation
from promomsg.console.console_types import Action, CampaignPage, Look
from promomsg.engine.report import CANCEL_ASKED, Report
from promomsg.journal.people.people_contract import PeoplePage, Person
from promomsg.journal.records import GroupRow
from promomsg.model import State
from promomsg.report_formats.page_parts import Segment, meaning_of, segments

__all__ = [
    "FEW_GROUPS",
    "PEOPLE_STATES",
    "STATE_MEANS",
    "CampaignCard",
    "GroupPage",
    "NextMoment",
    "PeopleQuery",
    "StateInWords",
    "campaign_at",
    "card_id",
    "card_of",
    "first_action",
    "first_means",
    "group_page",
    "next_moment",
    "page_links",
    "person_facts",
    "standing_of",
    "url_of",
]

FEW_GROUPS: Final = 50
"""Group sends that one page shows."""

STATE_MEANS: Final = {
    "planning": "its list is being read, and nothing goes out before all of it is",
    "sending": "messages are going out",
    "following": "all calls are made, and the group sends are looked at until they are complete",
    "paused": "nothing goes out until it is resumed",
    "waiting": "nothing goes out at this time, and it goes on by itself",
    "halted": "nothing goes out until somebody looks at the reason and resumes it",
    "stopped": "nobody sends it at present, and a resume goes on where it stopped",
    "done": "everybody has an outcome",
    "cancelled": "it was ended before everybody had a message",
}
"""What the state of a campaign means to people."""
_CANCEL_MEANS: Final = "nobody sends it at present, and whoever goes on cancels who is pending"
_FIRST_MEANS: Final = {
    "sending": "they are sent to, and the others wait",
    "waiting": "they are looked at, and the others wait",
    "stopped": "too many of them were not sent to, and the others wait for your word",
    "asking": "they are answered, and the others wait for your word",
    "passed": "the others follow",
}


_MARK: Final = "~"
_FOLDERS: Final = (".", "..")


def url_of(look: Look, *inside: str) -> str:
    """The path of a campaign's page, or of one below it. Browsers take a part `.` or `..` for a folder,
    however it is quoted, so that campaigns of these names have a mark before it: `/campaigns/fleet~/~..`."""
    mark = _MARK if look.name in _FOLDERS else ""
    parts = (look.place + mark, mark + look.name, *inside)
    return "/".join(("", "campaigns", *(_quoted(part) for part in parts)))


def campaign_at(path: str) -> tuple[str, str]:
    """The place and the name in such a path. The name may be of any bytes, as a file's can; it is only
    looked up among those that are there.

    Args:
        path: as it came, quoted.
    """
    _, _, place, quoted, *_ = path.split("/")
    name = os.fsdecode(unquote_to_bytes(quoted))
    if place.endswith(_MARK) and name.removeprefix(_MARK) in _FOLDERS:
        return place.removesuffix(_MARK), name.removeprefix(_MARK)
    return place, name


def _quoted(name: str) -> str:
    """A part of a URL; the name of a file may be bytes that are no text."""
    return quote(name, safe="", errors="surrogateescape")


def card_id(look: Look) -> str:
    """The id of a campaign's element in the list: no two campaigns share one."""
    return f"card-{_quoted(look.place)}-{_quoted(look.name)}"


def names_of(page: CampaignPage) -> str:
    """What differs when other campaigns are on a page of the list, in whatever order they are."""
    ids = sorted(card_id(look) for look in page.looks)
    return hashlib.blake2s("\n".join(ids).encode(), digest_size=8).hexdigest()


class StateInWords(msgspec.Struct, frozen=True, kw_only=True):
    """Where a campaign stands, in words.

    Attributes:
        state: one word; empty: it cannot be read.
        means: what that word means.
        reason: why; with `meaning` where it is a provider's code or one of ours.
        meaning: of the reason's code; None: it has none.
        error: why it cannot be read, without the journal's path, which stands beside it; empty where it can.
    """

    state: str
    means: str
    reason: str
    meaning: Explanation | None
    error: str = ""


def standing_of(look: Look) -> StateInWords:
    """Where a campaign stands, in words."""
    report = look.report
    reason = "" if report is None or report.state != look.state else report.reason
    code, colon, _ = reason.partition(": ")
    return StateInWords(
        state=look.state,
        means=_CANCEL_MEANS if reason == CANCEL_ASKED else STATE_MEANS.get(look.state, ""),
        reason=reason,
        meaning=meaning_of(code) if colon and " " not in code else None,
        error=look.error.removeprefix(f"{look.journal}: "),
    )


class CampaignCard(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign of the list.

    Attributes:
        look: as it was seen.
        id, url: of its element and its page.
        title: its name.
        standing: where it stands.
        report: its counts; None: it has none yet.
        bar: its progress.
        share: of its people with an outcome, 0 to 1.
        next: what comes next; None: nothing that has a time.
        begun: Unix seconds; None: not yet.
    """

    look: Look
    id: str
    url: str
    title: str
    standing: StateInWords
    report: Report | None
    bar: tuple[Segment, ...]
    share: float
    next: NextMoment | None
    begun: float | None


class NextMoment(msgspec.Struct, frozen=True):
    """What a campaign does next: `goes on` or `next look`, and when, in Unix seconds."""

    name: str
    at: float


def next_moment(report: Report, now: float) -> NextMoment | None:
    """When it goes on, or when a group send is looked at next."""
    if report.waits_until is not None:
        return NextMoment("goes on", report.waits_until)
    polls = [group.next_poll_at for group in report.groups if group.next_poll_at is not None]
    if not polls or report.state not in ("sending", "following"):
        return None
    return NextMoment("next look", max(min(polls), now))


def card_of(look: Look) -> CampaignCard:
    """A campaign for the list."""
    report, record = look.report, look.record
    done = 0 if report is None else report.planned - report.pending
    return CampaignCard(
        look=look,
        id=card_id(look),
        url=url_of(look),
        title=look.name if report is None else report.campaign,
        standing=standing_of(look),
        report=report,
        bar=() if report is None else tuple(segments(report)),
        share=0.0 if report is None else done / max(report.planned, 1),
        next=None if report is None else next_moment(report, look.at),
        begun=None if record is None else record.planned_at,
    )


def first_means(phase: str, *, is_over: bool) -> str:
    """What the phase of the first few means for the others."""
    return "the others followed" if is_over and phase == "passed" else _FIRST_MEANS[phase]


_FORWARD: Final = ("approve", "resume", "retry", "pause")


def first_action(actions: Sequence[Action]) -> str:
    """The name of the action whose button stands out: the one that has the campaign go on; empty: none."""
    possible = {action.name for action in actions if action.is_possible}
    return next((name for name in _FORWARD if name in possible), "")


class GroupPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of a campaign's group sends.

    Attributes:
        shown: those of this page.
        all: how many there are.
        before, after: what `?after=` of the page before and of the next one is; None: there is none.
    """

    shown: tuple[GroupRow, ...]
    all: int
    before: int | None
    after: int | None


def group_page(groups: Sequence[GroupRow], after: int = 0) -> GroupPage:
    """The groups behind the `after` first ones."""
    at = min(max(after, 0), len(groups))
    shown = tuple(groups[at : at + FEW_GROUPS])
    return GroupPage(
        shown=shown,
        all=len(groups),
        before=max(at - FEW_GROUPS, 0) if at else None,
        after=at + FEW_GROUPS if at + FEW_GROUPS < len(groups) else None,
    )


class PeopleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which people of a campaign are asked for: the words of the URL.

    Attributes:
        state, code: of whom alone; empty: whatever it is.
        search: a piece of their key, id, openid, unionid, request id or rid.
        after, before: seq; see `PeopleView.people`.
    """

    state: str = ""
    code: str = ""
    search: str = ""
    after: int | None = None
    before: int | None = None

    @property
    def is_of_all(self) -> bool:
        """Whether nobody is left out."""
        return not (self.state or self.code or self.search)

    def url(self, look: Look, **changed: Any) -> str:
        """The page with some of the words changed; the page is the first one unless they say which."""
        words = {"state": self.state, "code": self.code, "search": self.search, **changed}
        query = urlencode({name: value for name, value in words.items() if value not in ("", None)})
        return f"{url_of(look, 'recipients')}{'?' if query else ''}{query}"


PEOPLE_STATES: Final = tuple(state.value for state in State)
"""The states that people can be asked for."""


def page_links(look: Look, query: PeopleQuery, found: PeoplePage) -> tuple[str, str]:
    """The pages before and behind this one; empty: there is none."""
    if not found.people:
        return "", ""
    first, last = found.people[0][0], found.people[-1][0]
    return (
        query.url(look, before=first) if found.has_earlier else "",
        query.url(look, after=last) if found.has_later else "",
    )


def person_facts(person: Person) -> list[tuple[str, str]]:
    """What is kept of somebody besides their outcome, by the name that the page has a word for."""
    who = person.outcome.recipient
    found = (
        ("seq", str(person.seq)),
        ("id", who.id),
        ("openid", who.openid),
        ("unionid", who.unionid),
        ("request_id", person.request_id),
        ("rid", person.outcome.rid),
        ("extra", person.outcome.extra),
    )
    return [(name, value) for name, value in found if value]
