"""What is committed together: batches of intents and of results, each of one lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from promomsg.journal.records import Lease, SendResult
from promomsg.journal.state_sql import number, recipient_move
from promomsg.model import State
from promomsg.states import Event, IllegalMove

__all__ = ["OTHER_NAMES", "RESULTS", "Intent", "Settlement", "storable"]

_SENT: Final = recipient_move(Event.SENT, State.INTENDED)
RESULTS: Final = {
    move.end.value: number(move.end)
    for move in (
        _SENT,
        recipient_move(Event.FAILED, State.INTENDED),
        recipient_move(Event.UNKNOWN, State.INTENDED),
        recipient_move(Event.NOT_SENT, State.INTENDED),
    )
}
"""What an intended single can come to, by name."""


OTHER_NAMES: Final = (
    "seq", "state", "code", "detail", "rid", "at", "doubtful", "extra", "uncalled", "place",
)  # fmt: skip
"""What is kept of a result that is no plain success."""


class Intent(NamedTuple):
    """Rows of one lease that are to be intended."""

    lease: Lease
    seqs: Sequence[int]
    at: float
    day: str


class Settlement(NamedTuple):
    """What rows of one lease came to.

    Attributes:
        sent: plain successes, (seq, at) each.
        others: everything else, values in order of `OTHER_NAMES`; the last one is how many of
            `sent` came before.
    """

    lease: Lease
    results: Sequence[SendResult]
    sent: list[tuple[int, float]]
    others: list[tuple[Any, ...]]

    @classmethod
    def of(cls, lease: Lease, results: Sequence[SendResult]) -> Settlement:
        """Sorts results into plain successes and others.

        Raises:
            IllegalMove: a state is none that an intended single can come to.
        """
        sent: list[tuple[int, float]] = []
        others: list[tuple[Any, ...]] = []
        plain = _SENT.end.value
        pending = State.PENDING.value
        for seq, state, code, detail, rid, at, maybe_sent, extra, called, _ in results:
            if state == plain and not code and not detail and rid is None and extra is None:
                sent.append((seq, at))
            elif state in RESULTS:
                doubtful = bool(maybe_sent and state == pending)
                others.append(
                    (seq, RESULTS[state], code, storable(detail), storable(rid), at, doubtful,
                     storable(extra), int(not called), len(sent))
                )  # fmt: skip
            else:
                raise IllegalMove(f"a recipient that is intended cannot become {state}")
        return cls(lease, results, sent, others)


def storable(text: str | None) -> str | None:
    """A text as PostgreSQL can keep it: without NUL."""
    return text.replace("\0", "�") if text is not None and "\0" in text else text
