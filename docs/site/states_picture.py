"""The state diagrams, drawn from the tables in promomsg/states.py.

Which states and moves there are is the tables'. Here is only where a state stands and which way round the
others an arrow takes; a move without a way is a straight line.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from drawing import Point, arrow, box, picture, text

from promomsg.model import State
from promomsg.states import FINAL, GROUP_MOVES, MOVES, Event, GroupEvent, GroupState

_WIDE: Final = 120
_HIGH: Final = 40
_ASKED: Final = frozenset({Event.RETRY_FAILED, Event.RETRY_UNKNOWN, Event.ADOPT, GroupEvent.ADOPT})
"""What happens only at a user's request: drawn with a broken line."""


class Way(NamedTuple):
    """Where an arrow goes, and where its label is."""

    points: tuple[Point, ...]
    label: Point
    kind: str = "middle"


_RECIPIENT: Final[dict[StrEnum, Point]] = {
    State.PENDING: (80, 230),
    State.INTENDED: (400, 230),
    State.SENT: (800, 70),
    State.FAILED: (800, 230),
    State.UNKNOWN: (800, 400),
    State.SKIPPED: (80, 480),
    State.CANCELLED: (250, 480),
}
_RECIPIENT_WAYS: Final[dict[tuple[StrEnum, StrEnum], Way]] = {
    (State.PENDING, State.INTENDED): Way(((200, 240), (400, 240)), (300, 232)),
    (State.INTENDED, State.PENDING): Way(((400, 262), (200, 262)), (300, 278)),
    (State.INTENDED, State.INTENDED): Way(
        ((430, 230), (430, 190), (490, 190), (490, 230)), (460, 182)
    ),
    (State.INTENDED, State.SENT): Way(((520, 240), (620, 240), (620, 100), (800, 100)), (712, 116)),
    (State.INTENDED, State.FAILED): Way(((520, 252), (800, 252)), (712, 244)),
    (State.INTENDED, State.UNKNOWN): Way(
        ((520, 264), (620, 264), (620, 412), (800, 412)), (712, 404)
    ),
    (State.PENDING, State.SENT): Way(((140, 230), (140, 80), (800, 80)), (400, 72)),
    (State.PENDING, State.FAILED): Way(
        ((170, 270), (170, 330), (660, 330), (660, 264), (800, 264)), (400, 322)
    ),
    (State.PENDING, State.UNKNOWN): Way(((140, 270), (140, 430), (800, 430)), (400, 422)),
    (State.PENDING, State.SKIPPED): Way(((100, 270), (100, 480)), (92, 380), "end"),
    (State.PENDING, State.CANCELLED): Way(
        ((120, 270), (120, 455), (310, 455), (310, 480)), (215, 472)
    ),
    (State.UNKNOWN, State.FAILED): Way(((830, 400), (830, 270)), (822, 350), "end"),
    (State.FAILED, State.UNKNOWN): Way(((890, 270), (890, 400)), (898, 322), ""),
    (State.UNKNOWN, State.SENT): Way(
        ((920, 412), (1020, 412), (1020, 90), (920, 90)), (1012, 182), "end"
    ),
    (State.UNKNOWN, State.PENDING): Way(
        ((860, 440), (860, 550), (40, 550), (40, 256), (80, 256)), (560, 542)
    ),
    (State.FAILED, State.PENDING): Way(
        ((920, 250), (985, 250), (985, 580), (20, 580), (20, 244), (80, 244)), (560, 572)
    ),
}
_GROUP: Final[dict[StrEnum, Point]] = {
    GroupState.PLANNED: (80, 100),
    GroupState.INTENDED: (360, 100),
    GroupState.ACCEPTED: (640, 100),
    GroupState.DONE: (900, 100),
    GroupState.CANCELLED: (80, 290),
    GroupState.REFUSED: (360, 290),
    GroupState.UNKNOWN: (640, 290),
    GroupState.EXPIRED: (900, 290),
}
_GROUP_WAYS: Final[dict[tuple[StrEnum, StrEnum], Way]] = {
    (GroupState.PLANNED, GroupState.INTENDED): Way(((200, 110), (360, 110)), (280, 102)),
    (GroupState.INTENDED, GroupState.PLANNED): Way(((360, 130), (200, 130)), (280, 146)),
    (GroupState.INTENDED, GroupState.INTENDED): Way(
        ((390, 100), (390, 60), (450, 60), (450, 100)), (420, 52)
    ),
    (GroupState.INTENDED, GroupState.ACCEPTED): Way(((480, 120), (640, 120)), (560, 112)),
    (GroupState.ACCEPTED, GroupState.DONE): Way(((760, 120), (900, 120)), (830, 112)),
    (GroupState.PLANNED, GroupState.CANCELLED): Way(((140, 140), (140, 290)), (132, 220), "end"),
    (GroupState.PLANNED, GroupState.REFUSED): Way(
        ((180, 140), (180, 240), (385, 240), (385, 290)), (270, 232)
    ),
    (GroupState.INTENDED, GroupState.REFUSED): Way(((420, 140), (420, 290)), (412, 200), "end"),
    (GroupState.INTENDED, GroupState.UNKNOWN): Way(
        ((460, 140), (460, 240), (665, 240), (665, 290)), (560, 232)
    ),
    (GroupState.UNKNOWN, GroupState.ACCEPTED): Way(((700, 290), (700, 140)), (692, 200), "end"),
    (GroupState.ACCEPTED, GroupState.EXPIRED): Way(
        ((740, 140), (740, 200), (960, 200), (960, 290)), (850, 192)
    ),
}
_KINDS: Final[dict[str, str]] = {
    "sent": "good", "done": "good", "failed": "bad", "refused": "bad", "unknown": "doubt",
    "expired": "doubt", "intended": "moving", "accepted": "moving",
}  # fmt: skip


def _straight(start: Point, end: Point) -> Way:
    """From the middle of one box's edge to the next one's."""
    (x, y), (to_x, to_y) = start, end
    right = to_x > x
    begin = (x + _WIDE if right else x, y + _HIGH / 2)
    stop = (to_x if right else to_x + _WIDE, to_y + _HIGH / 2)
    return Way((begin, stop), ((begin[0] + stop[0]) / 2, (begin[1] + stop[1]) / 2))


def diagram(
    moves: Mapping[Any, StrEnum],
    first: StrEnum,
    places: Mapping[StrEnum, Point],
    ways: Mapping[tuple[StrEnum, StrEnum], Way],
    final: frozenset[StrEnum],
) -> list[str]:
    """The parts of a state diagram: each state a box, the moves between two states one arrow."""
    events: dict[tuple[StrEnum, StrEnum], list[StrEnum]] = {}
    for (start, event), end in moves.items():
        events.setdefault((start, end), []).append(event)
    lines, labels = [], []
    for (start, end), names in events.items():
        way = ways.get((start, end)) or _straight(places[start], places[end])
        lines.append(arrow(way.points, "asked" if _ASKED.issuperset(names) else ""))
        labels.append(text(*way.label, ", ".join(names), f"label {way.kind}"))
    x, y = places[first]
    lines.append(arrow(((x - 28, y + 10), (x, y + 10))))
    lines.append(f'<circle class="tip" cx="{x - 28}" cy="{y + 10}" r="5"/>')
    boxes = []
    for state, (x, y) in places.items():
        boxes.append(box(x, y, _WIDE, _HIGH, _KINDS.get(state, "")))
        if state in final:
            boxes.append(box(x + 3, y + 3, _WIDE - 6, _HIGH - 6, _KINDS.get(state, "")))
        boxes.append(text(x + _WIDE / 2, y + 25, state, "name middle"))
    return [*lines, *boxes, *labels]


def recipient_states() -> str:
    """The states of a recipient."""
    parts = diagram(MOVES, State.PENDING, _RECIPIENT, _RECIPIENT_WAYS, frozenset(FINAL))
    note = "A double edge: final. A broken line: only at your request."
    return picture(
        1060, 640, "The states of a recipient", [*parts, text(530, 622, note, "soft middle")]
    )


def group_states() -> str:
    """The states of a group send."""
    final = frozenset(GroupState) - {start for start, _ in GROUP_MOVES}
    parts = diagram(GROUP_MOVES, GroupState.PLANNED, _GROUP, _GROUP_WAYS, final)
    return picture(1060, 380, "The states of a group send", parts)
