"""The first few of a campaign: how they came out decides whether the others are sent to
(docs/design.md, "First a few").

Pure: counts, times and options in, a decision out. What is kept of it, and who acts on it, is elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any, Final

import msgspec

from promomsg.engine.schedule.first_options import FirstOptions
from promomsg.engine.schedule.schedule import Opening
from promomsg.journal.records import Counts
from promomsg.model import Code

__all__ = [
    "FIRST_ASK",
    "FIRST_STOPPED",
    "LOOK_AGAIN",
    "FirstDecision",
    "FirstPhase",
    "FirstProgress",
    "decide_first",
    "first_progress",
    "results_in_words",
    "with_first_few",
]

FIRST_STOPPED: Final = "FIRST_STOPPED"
"""The code of a halt because too many of the first few failed or are unknown."""
FIRST_ASK: Final = "FIRST_ASK"
"""The code of a halt because a person is to say whether it goes on (`first_ask`)."""

LOOK_AGAIN: Final = 5.0
"""Seconds for which a campaign in a database is left alone while the group sends of its first few are out."""
_CODES: Final = 3
"""Codes that a halt's text names, the most frequent first."""
_LEFT_OUT: Final = frozenset(
    {
        Code.DUPLICATE_KEY,
        Code.DUPLICATE_ADDRESS,
        Code.DUPLICATE_REQUEST_ID,
        Code.SUPPRESSED,
        Code.NOT_SELECTED,
        Code.MAX_PER_PERSON,
        Code.CANCELLED,
        Code.FINISH_BY,
    }
)
"""Codes of those who were skipped or cancelled, which say nothing of how a send came out."""
_WHAT_NEXT: Final = "resume --approve goes on with the others, cancel ends it"


class FirstPhase(StrEnum):
    """Where a campaign with a first few stands."""

    SENDING = "sending"
    """The first few are sent to, or their group sends are followed."""
    WAITING = "waiting"
    """All of them are answered, and are being looked at."""
    STOPPED = "stopped"
    """Too many of them failed or are unknown: the others wait for a person's word."""
    ASKING = "asking"
    """They were looked at, and the others wait for a person's word."""
    PASSED = "passed"
    """The others are sent to."""


class FirstDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What the first few mean for the others.

    Attributes:
        phase: where the campaign stands; the others are open in `PASSED` alone.
        answered_at: Unix seconds since when all of the first few are answered, as it is to be kept; None:
            they are not.
        until: Unix seconds when the wait is over; None: nobody waits for a moment.
        code, text: of the halt, in `STOPPED` and `ASKING`.
    """

    phase: FirstPhase
    answered_at: float | None = None
    until: float | None = None
    code: str = ""
    text: str = ""

    @property
    def others_are_open(self) -> bool:
        """Whether everybody may be sent to."""
        return self.phase is FirstPhase.PASSED


def decide_first(
    counts: Counts,
    *,
    answered_at: float | None,
    now: float,
    options: FirstOptions,
    passed: bool = False,
    tried_again: bool = False,
) -> FirstDecision:
    """What the first few, as they stand now, mean for the others.

    The wait begins when the last of them is answered: when their group sends are complete, too. Only the
    times that are passed in count, so whoever asks, and after whatever restart, gets the same answer.

    Args:
        counts: of the first few alone. Skipped and cancelled ones are no part of the share; where all of
            them are, a person is asked.
        answered_at: Unix seconds since when all are answered, as it was kept; None: nothing was kept.
        now: Unix seconds.
        passed: it was decided before that the others are sent to, here or by a person: that stays.
        tried_again: some of them are sent to again at the user's word, so that nothing is decided before
            they are answered. Otherwise too many stop the campaign as soon as they are too many.
    """
    if passed:
        return FirstDecision(phase=FirstPhase.PASSED, answered_at=answered_at)
    looked_at = counts.sent + counts.failed + counts.unknown + counts.pending
    bad = counts.failed + counts.unknown
    too_many = bad > options.stop_above * looked_at
    if counts.pending:
        if too_many and not tried_again:
            return _stopped(counts, bad, looked_at, options, None)
        return FirstDecision(phase=FirstPhase.SENDING)
    if answered_at is None or answered_at > now:
        answered_at = now  # or the clock was set back, and the wait would be longer by as much
    if too_many:
        return _stopped(counts, bad, looked_at, options, answered_at)
    until = answered_at + options.wait
    if now < until:
        return FirstDecision(phase=FirstPhase.WAITING, answered_at=answered_at, until=until)
    if not looked_at:
        text = f"none of the first {counts.planned:,} was left to be sent to; {_WHAT_NEXT}"
        return FirstDecision(
            phase=FirstPhase.ASKING, answered_at=answered_at, code=FIRST_ASK, text=text
        )
    if options.ask:
        results = results_in_words(counts)
        text = f"the first {looked_at:,} are answered: {results}; look at them; {_WHAT_NEXT}"
        return FirstDecision(
            phase=FirstPhase.ASKING, answered_at=answered_at, code=FIRST_ASK, text=text
        )
    return FirstDecision(phase=FirstPhase.PASSED, answered_at=answered_at)


def _stopped(
    counts: Counts, bad: int, looked_at: int, options: FirstOptions, answered_at: float | None
) -> FirstDecision:
    text = (
        f"{bad:,} of the first {looked_at:,} were not sent ({_percent(bad / looked_at)}, over "
        f"{_percent(options.stop_above)}): {results_in_words(counts)}; mend the cause and retry those who failed; "
        f"{_WHAT_NEXT}"
    )
    return FirstDecision(
        phase=FirstPhase.STOPPED, answered_at=answered_at, code=FIRST_STOPPED, text=text
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def results_in_words(counts: Counts | FirstProgress) -> str:
    """How many came to what, with the most frequent codes: `17 sent, 2 failed, 1 unknown (2 x 43101, 1 x NO_ANSWER)`."""
    named = (
        ("sent", counts.sent),
        ("failed", counts.failed),
        ("unknown", counts.unknown),
        ("pending", counts.pending),
    )
    text = ", ".join(f"{number:,} {name}" for name, number in named if number or name == "sent")
    found = [(code, number) for code, number in counts.by_code.items() if code not in _LEFT_OUT]
    codes = sorted(found, key=lambda item: (-item[1], item[0]))[:_CODES]
    if codes:
        text += f" ({', '.join(f'{number:,} x {code}' for code, number in codes)})"
    return text


def with_first_few(
    opening: Opening,
    decision: FirstDecision,
    *,
    first: Collection[int],
    cohorts: int,
    zone: str | None,
) -> Opening:
    """Who may be sent to at these times, and as the first few came out.

    Args:
        first: the numbers of the cohorts that are sent to first.
        cohorts: how many cohorts there are.
        zone: the time zone in which people are told of moments, by name.
    """
    if decision.others_are_open or opening.is_over:
        return opening
    replace = msgspec.structs.replace
    if decision.phase is FirstPhase.SENDING:
        by_time = range(cohorts) if opening.cohorts is None else opening.cohorts
        found = tuple(number for number in by_time if number in first)
        if found:
            # The others wait for answers; only first few of a zone that is closed wait for hours.
            next_at = None if len(found) == len(first) else opening.next_at
            return replace(opening, cohorts=found, next_at=next_at)
        if opening.is_closed:
            return opening
        return replace(opening, cohorts=(), why="the first few are outside their hours")
    if decision.until is None:
        return replace(opening, cohorts=(), why=decision.text)
    from promomsg.hours import format_moment  # time zones take a while to load

    until = decision.until
    if opening.is_closed and opening.until > until:
        return opening  # and it is open by then
    return replace(
        opening,
        cohorts=(),
        until=min(opening.until, until),
        next_at=until,
        why=f"the first few are looked at; the others follow at {format_moment(until, zone)}",
    )


class FirstProgress(msgspec.Struct, frozen=True):
    """How the first few came out so far, and what that means for the others.

    Attributes:
        phase: `sending`: they are sent to, or their group sends are followed; `waiting`: all are
            answered and looked at; `stopped`: too many of them failed or are unknown; `asking`: a
            person is to say whether it goes on; `passed`: the others are sent to.
        planned, sent, failed, unknown, skipped, cancelled, pending: how many of them.
        by_code: of those not sent, how many by code.
        until: while it waits, Unix seconds of when the others follow.
    """

    phase: str
    planned: int
    sent: int
    failed: int
    unknown: int
    skipped: int
    cancelled: int
    pending: int
    by_code: dict[str, int]
    until: float | None = None

    @property
    def needs_a_word(self) -> bool:
        """Whether the others wait for a person's word (`approve=True`)."""
        return self.phase in ("stopped", "asking")

    def to_dict(self) -> dict[str, Any]:
        """As in the document of `--json`: `until` only while it waits."""
        document = msgspec.structs.asdict(self)
        if self.until is None:
            del document["until"]
        return document


def first_progress(counts: Counts, decision: FirstDecision) -> FirstProgress:
    """The first few as they stand: their counts, and what was decided by them."""
    return FirstProgress(
        phase=decision.phase.value,
        planned=counts.planned,
        sent=counts.sent,
        failed=counts.failed,
        unknown=counts.unknown,
        skipped=counts.skipped,
        cancelled=counts.cancelled,
        pending=counts.pending,
        by_code=dict(sorted(counts.by_code.items())),
        until=decision.until,
    )
