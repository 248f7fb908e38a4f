"""What a page shows of a campaign, as plain values: funnel, codes with their meaning, progress, the message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from promomsg.code_meanings import Explanation, explain
from promomsg.errors import UsageError
from promomsg.journal.records import CampaignRecord
from promomsg.model import State
from promomsg.placeholders import MessageText, PlaceholderTable
from promomsg.report_formats.contents import ClickSummary

__all__ = [
    "TILES",
    "CodeMeant",
    "CountsLike",
    "Funnel",
    "MessageField",
    "MessagePiece",
    "Segment",
    "ShownMessage",
    "codes_meant",
    "funnel",
    "meaning_of",
    "segments",
    "shown_message",
]

TILES: Final = ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending")
"""The counts of a campaign, in the order in which they are shown."""
_LEAST: Final = 0.75
"""Percent of a progress bar that the smallest count has, so that it is seen."""


class CountsLike(Protocol):
    """How many recipients came to what: `records.Counts`, or a report."""

    planned: int
    sent: int
    failed: int
    unknown: int
    skipped: int
    cancelled: int
    pending: int
    by_code: dict[str, int]


class Funnel(msgspec.Struct, frozen=True):
    """One step from the list to the clicks.

    Attributes:
        name: `rows read`, `to send to`, `sent`, `clicked`.
        people: how many; share: of the first step, 0 to 1.
    """

    name: str
    people: int
    share: float


def funnel(counts: CountsLike, clicks: ClickSummary) -> list[Funnel]:
    """The steps; clicks are one where they are known of this campaign alone."""
    steps = [
        ("rows read", counts.planned),
        ("to send to", counts.planned - counts.skipped - _refused_by_planning(counts)),
        ("sent", counts.sent),
    ]
    if clicks.people is not None:
        steps.append(("clicked", clicks.people))
    whole = max(counts.planned, 1)
    return [Funnel(name, people, people / whole) for name, people in steps]


def _refused_by_planning(counts: CountsLike) -> int:
    """How many rows failed before anything was sent: for a reason of ours, and not the provider's."""
    found = ((explain(code)[0], number) for code, number in counts.by_code.items())
    return sum(
        number
        for meaning, number in found
        if (meaning.origin, meaning.outcome) == ("promomsg", State.FAILED)
    )


class CodeMeant(msgspec.Struct, frozen=True):
    """A code, how many people have it, and what it means."""

    code: str
    people: int
    meaning: Explanation


def codes_meant(by_code: Mapping[str, int]) -> list[CodeMeant]:
    """Codes with their meaning, those of the most people first."""
    found = sorted(by_code.items(), key=lambda item: (-item[1], item[0]))
    return [CodeMeant(code, people, explain(code)[0]) for code, people in found]


def meaning_of(code: str) -> Explanation | None:
    """What a code means; None for a text that is none."""
    try:
        return explain(code)[0]
    except UsageError:
        return None


class Segment(msgspec.Struct, frozen=True):
    """A piece of a progress bar of 100 units: the people of one state."""

    state: str
    people: int
    x: float
    width: float


def segments(counts: CountsLike) -> list[Segment]:
    """The bar of a campaign, from the left; who is pending is the rest of it."""
    found = [(name, getattr(counts, name)) for name in TILES[1:-1] if getattr(counts, name)]
    whole = sum(people for _, people in found) + counts.pending
    widths = [max(100 * people / whole, _LEAST) for _, people in found]
    most = 100.0 if not counts.pending else 100 - _LEAST
    shrunk = min(most / sum(widths), 1.0) if widths else 1.0
    bar, x = [], 0.0
    for (name, people), width in zip(found, widths, strict=True):
        bar.append(Segment(name, people, round(x, 3), round(width * shrunk, 3)))
        x += width * shrunk
    return bar


class MessagePiece(msgspec.Struct, frozen=True):
    """A stretch of a text.

    Attributes:
        text: as it is sent; of a placeholder whose value is not known, as it was written.
        hole: whether it is a placeholder's.
    """

    text: str
    hole: bool = False


class MessageField(msgspec.Struct, frozen=True):
    """A field of a message: its name, and its text in pieces."""

    name: str
    pieces: tuple[MessagePiece, ...]


class ShownMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as people see it.

    Attributes:
        title: what stands above the others; None: nothing does.
        fields: what people read.
        link: where a touch leads; None: nowhere.
        facts: what nobody sees: the type of message, an appid.
        has_holes: whether placeholders are shown in place of values.
    """

    title: MessageField | None
    fields: tuple[MessageField, ...]
    link: MessageField | None
    facts: tuple[MessageField, ...]
    has_holes: bool


def shown_message(record: CampaignRecord, values: Sequence[str] | None = None) -> ShownMessage:
    """The message of a campaign.

    Args:
        values: a recipient's, one a placeholder in the order of the message; None: the placeholders
            themselves are shown.
    """
    pieces = _Pieces(values)
    kept = record.message
    if record.channel == "wechat":
        shown = _fields(dict(kept.get("content") or ()), pieces)
        links = _fields({"path": kept.get("path")}, pieces, url=True)
        facts = {"msg_type": kept.get("msg_type"), "appid": kept.get("jump_appid")}
    elif record.channel == "alipay":
        shown = [
            one
            for template in kept.get("templates") or ()
            for one in _of_template(template, pieces)
        ]
        links = _fields({"redirectUrl": kept.get("redirect_url")}, pieces, url=True)
        facts = {
            "templateCode": kept.get("template_code"),
            "extendInfo": kept.get("extend_info"),
            **(kept.get("extra") or {}),
        }
    else:
        shown, links, facts = _fields(kept, pieces), [], {}
    title = next((one for one in shown if one.name.rpartition(" ")[2] == "title"), None)
    told = _fields(facts, pieces)
    return ShownMessage(
        title=title,
        fields=tuple(one for one in shown if one is not title),
        link=links[0] if links else None,
        facts=tuple(told),
        has_holes=values is None and bool(pieces.table.placeholders),
    )


def _of_template(template: Mapping[str, Any], pieces: _Pieces) -> list[MessageField]:
    language = template.get("language") or ""
    parameters = template.get("parameters") or {}
    return _fields(
        {f"{language} {name}".strip(): text for name, text in parameters.items()}, pieces
    )


class _Pieces:
    """Takes texts apart, in the order in which the message was compiled."""

    def __init__(self, values: Sequence[str] | None) -> None:
        self.table = PlaceholderTable()
        self._values = values

    def of(self, text: str, *, url: bool) -> tuple[MessagePiece, ...]:
        """A text in pieces; one that is not the text of a message is one piece."""
        try:
            parsed = MessageText(text, "", self.table, url=url)
        except UsageError:
            return (MessagePiece(text),)
        found = []
        for piece in parsed.pieces:
            if isinstance(piece, str):
                found.append(MessagePiece(piece))
            elif self._values is not None and piece < len(self._values):
                value = self._values[piece]
                found.append(MessagePiece(quote(value, safe="") if url else value, hole=True))
            else:
                placeholder = self.table.placeholders[piece]
                bar = "" if placeholder.fallback is None else f"|{placeholder.fallback}"
                found.append(MessagePiece(f"{{{placeholder.name}{bar}}}", hole=True))
        return tuple(piece for piece in found if piece.text) or (MessagePiece(""),)


def _fields(values: Mapping[str, Any], pieces: _Pieces, *, url: bool = False) -> list[MessageField]:
    return [MessageField(name, pieces.of(text, url=url)) for name, text in _leaves(values)]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A message's snapshot as (field, text) pairs."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and all(_is_pair(inner) for inner in value):
        for key, inner in value:
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for place, inner in enumerate(value, 1):
            yield from _leaves(inner, f"{name} {place}" if name else str(place))
    elif value is not None:
        yield name, str(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
