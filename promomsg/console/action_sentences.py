"""What an action will do, in sentences with the numbers of now.

They are English and complete, so that a page can show them in its language. Numbers stand where they fit one
and many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from promomsg.code_meanings import OWN_CODES, brief_meaning
from promomsg.console.acted_on import ActedOn, Way
from promomsg.durations import format_duration
from promomsg.engine.prepare.default_pace import day_notices
from promomsg.engine.prepare.plan import pace_in_words
from promomsg.engine.schedule.first_few import FirstPhase, results_in_words
from promomsg.journal.records import is_asked_again
from promomsg.plural import counted
from promomsg.states import GroupState

__all__ = [
    "CHANGED",
    "approve",
    "cancel",
    "listed",
    "pause",
    "resume",
    "retry_failed",
    "retry_unknown",
]

CHANGED: Final = "The campaign has changed since you were asked: these are the numbers now."
"""Before the sentences of a question that is asked again."""
_OUT: Final = "out when its sender ended"
_REASONS: Final = 3
"""Codes that are named, the most frequent first."""


def pause(campaign: ActedOn) -> Iterator[str]:
    """A pause, of whoever sends, or before anybody does."""
    if campaign.senders.are_there:
        yield "Calls in flight finish; then nothing is sent until somebody resumes it."
    else:
        yield "Nobody is sending it now; nothing is sent until somebody resumes it."
    yield f"Not sent to yet: {campaign.to_send:,}."
    yield from _followed(campaign)
    yield _untouched(campaign)


def resume(campaign: ActedOn) -> Iterator[str]:
    """A resume: the end of a pause where somebody sends, else a sender of its own."""
    report, senders = campaign.report, campaign.senders
    if campaign.way("resume") is Way.REQUEST:
        who = senders.names if senders.being_sent else senders.workers
        yield f"The pause ends, and the sender goes on: {listed(who) or 'it is alive'}."
        yield f"Still to be sent to: {campaign.to_send:,}, at {report.host}."
        yield from _hours(campaign)
        yield from _followed(campaign)
        yield _untouched(campaign)
        return
    if report.state == "halted":
        yield f"It stopped by itself: {report.reason}"
        yield "Mend that first, or it stops again."
    yield from _were_out(campaign)
    if campaign.to_send:
        yield f"Still to be sent to: {campaign.to_send:,}, at {report.host}."
        yield from _first(campaign)
        yield from _pace(campaign, campaign.to_send)
        yield from _hours(campaign)
    else:
        yield "Nobody is left to be sent to."
    yield from _followed(campaign)
    yield from _process(campaign)
    yield _untouched(campaign)


def approve(campaign: ActedOn) -> Iterator[str]:
    """The others follow the first few, by a person's word."""
    first = campaign.report.first
    assert first is not None
    yield f"How the first {first.planned:,} came out: {results_in_words(first)}."
    if first.phase == FirstPhase.STOPPED:
        yield "Warning: more of them failed or are unknown than the campaign allows."
    yield f"To be sent to by your word: {counted(campaign.to_send, 'other')}, at {campaign.report.host}."
    yield from _pace(campaign, campaign.to_send)
    yield from _hours(campaign)
    yield from _followed(campaign)
    yield from _process(campaign)
    yield _untouched(campaign)


def retry_failed(campaign: ActedOn) -> Iterator[str]:
    """Once more to those whom the provider refused."""
    report, people = campaign.report, campaign.failed_calls
    yield f"To be sent to again: {people:,} who failed, at {report.host}."
    yield from _of_audience(campaign)
    for code, number in _frequent(report.by_code):
        yield f"{number:,} x {code}: {brief_meaning(code) or 'nobody has described this code'}"
    yield "Mend the cause first, or they fail again."
    if report.failed > people:
        yield (
            "Refused when the list was read, and not sent to: "
            f"{report.failed - people:,}. Those rows need to be mended in the list."
        )
    yield from _again(campaign, people)


def retry_unknown(campaign: ActedOn) -> Iterator[str]:
    """Once more to those who may have the message already."""
    report, people = campaign.report, campaign.unknown_named
    if is_asked_again(campaign.record):
        yield "Those who have the message get no second one: the provider knows our keys again."
    else:
        yield "Warning: they may have the message already, and some may get it twice."
    yield f"To be sent to again: {people:,} who may have it, at {report.host}."
    yield from _of_audience(campaign)
    if report.unknown > people:
        yield (
            "Left out, since most of them have it: "
            f"{report.unknown - people:,} in groups whose failures nobody named."
        )
    yield from _again(campaign, people)


def _again(campaign: ActedOn, people: int) -> Iterator[str]:
    """What both retries have in common."""
    yield from _pace(campaign, people)
    yield from _hours(campaign)
    first, pending = campaign.report.first, campaign.to_send
    if pending and first is not None and first.phase != FirstPhase.PASSED:
        yield f"The {pending:,} that are pending follow as the first few come out."
    elif pending:
        yield f"The {pending:,} that are pending are sent to as well."
    yield from _followed(campaign)
    yield from _process(campaign)
    yield _untouched(campaign)


def cancel(campaign: ActedOn) -> Iterator[str]:
    """The end of a campaign for all who were not sent to."""
    people = campaign.to_send
    if campaign.senders.being_sent:
        yield (
            "Calls in flight finish, and whoever is not sent to by then is cancelled: "
            f"at most {people:,}."
        )
    else:
        yield f"Cancelled at once: {people:,} who were not sent to."
        yield from _were_out(campaign)
    yield "It cannot be taken back: whoever is to be reached after all needs a new campaign."
    yield from _followed(campaign)
    yield _untouched(campaign)


def _first(campaign: ActedOn) -> Iterator[str]:
    first = campaign.report.first
    if first is not None and first.phase != FirstPhase.PASSED:
        yield f"The first {first.planned:,} come first; the others follow as those come out."


def _were_out(campaign: ActedOn) -> Iterator[str]:
    """Who may have been called when a sender died, as the report says it."""
    yield from (text for text in campaign.report.warnings if _OUT in text)


def _of_audience(campaign: ActedOn) -> Iterator[str]:
    if any(group.audience is not None for group in campaign.report.groups):
        yield "They may be fewer: the provider does not name everybody of an audience."


def _pace(campaign: ActedOn, people: int) -> Iterator[str]:
    """How fast, by what was in force when it was sent last: the campaign file may say something else."""
    pace = campaign.pace
    if pace is None:
        return
    in_groups = sum(g.planned for g in campaign.report.groups if g.state is GroupState.PLANNED)
    singles = max(people - in_groups, 0)
    words = pace_in_words(pace, singles)
    by_minute = None if pace.singles_per_minute is None else pace.singles_per_minute / 60
    rates = [rate for rate in (pace.singles_per_second, by_minute) if rate is not None]
    if rates and singles:
        yield f"The pace, as it was last: {words}; about {format_duration(singles / min(rates))}."
    else:
        yield f"The pace, as it was last: {words}."
    yield from day_notices(pace.singles_per_day, singles)


def _hours(campaign: ActedOn) -> Iterator[str]:
    opening = campaign.opening
    if opening is None:
        return
    if opening.is_over:
        yield f"Nobody is sent to any more, and who is pending is cancelled: {opening.why}"
    elif opening.is_closed:
        yield f"Nothing goes out at once: {opening.why}"


def _followed(campaign: ActedOn) -> Iterator[str]:
    if campaign.members_out:
        yield (
            f"In group sends that the provider has taken: {campaign.members_out:,}. They cannot be "
            "called back; their results are followed on."
        )


def _process(campaign: ActedOn) -> Iterator[str]:
    if campaign.pause_asked and campaign.report.state != "paused":
        yield "Somebody has asked for a pause as well: it ends with this."
    workers = campaign.senders.workers
    if workers:
        yield f"A process is started that checks it and hands it over to the workers: {listed(workers)}."
        return
    yield (
        "A process is started on this machine that sends it, with the secrets of the console's environment; "
        "it goes on when the console ends."
    )


def _untouched(campaign: ActedOn) -> str:
    return f"Sent to already, and not again: {campaign.report.sent:,}."


def _frequent(by_code: Mapping[str, int]) -> list[tuple[str, int]]:
    """The provider's codes, the most frequent first."""
    found = [(code, number) for code, number in by_code.items() if code not in OWN_CODES]
    return sorted(found, key=lambda item: (-item[1], item[0]))[:_REASONS]


def listed(names: Sequence[str]) -> str:
    """`host:12, host:13`."""
    return ", ".join(names)
