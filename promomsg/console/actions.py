"""What may be done with a campaign now, why not, and what it is at a terminal.

Pure: a look at the campaign and what is known of its senders in, actions out. What they say they will do
is in `action_sentences.py`, and who does it in `take_action.py`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from promomsg.console import action_sentences as sentences
from promomsg.console.acted_on import ActedOn, Senders, Way
from promomsg.console.console_types import Action, Look
from promomsg.engine.prepare.plan import pace_in_words
from promomsg.engine.report import ENDED
from promomsg.journal.locate import is_in_fleet

__all__ = ["ACTIONS", "actions_of", "arguments_of", "is_still_agreed", "way_of"]


class _Kind(NamedTuple):
    """One action.

    Attributes:
        label: of its button.
        words: of its command, without the journal.
        why_not: why it is not possible; empty: it is.
        says: what it will do.
        people: whom it is about.
    """

    label: str
    words: tuple[str, ...]
    why_not: Callable[[ActedOn], str]
    says: Callable[[ActedOn], Iterator[str]]
    people: Callable[[ActedOn], int]


def actions_of(look: Look, senders: Senders, now: float) -> dict[str, Action]:
    """Every action by its name, in the order of their buttons; none for a campaign that cannot be read or
    whose plan is not complete.

    Args:
        now: Unix seconds.
    """
    campaign = ActedOn.of(look, senders, now)
    if campaign is None:
        return {}
    return {name: _action(name, kind, campaign) for name, kind in ACTIONS.items()}


def _action(name: str, kind: _Kind, campaign: ActedOn) -> Action:
    more: tuple[str, ...] = ()
    why_not = kind.why_not(campaign)
    if not why_not:
        why_not, more = _only_at_a_terminal(name, campaign)
    possible = not why_not
    return Action(
        name=name,
        label=kind.label,
        says=tuple(kind.says(campaign)) if possible else (),
        command=shlex.join(["promomsg", kind.words[0], campaign.address, *kind.words[1:], *more]),
        is_possible=possible,
        why_not=why_not,
        agreed=_agreement(name, campaign, kind.people(campaign)) if possible else "",
    )


def _only_at_a_terminal(name: str, campaign: ActedOn) -> tuple[str, tuple[str, ...]]:
    """Why an action that needs a process is not for a button, and what its command has more."""
    if campaign.way(name) is not Way.PROCESS:
        return "", ()
    if campaign.calls_everyone(name):
        text = (
            "it calls every promoter there is, which no button does: give the command at a terminal"
        )
        return text, ("--everyone",)
    if campaign.record.campaign_file is None:
        text = "it was not started from a campaign file: give the command with one at a terminal"
        return text, ("--campaign", "FILE")
    if not campaign.senders.find_the_file:
        text = "its campaign file does not lie beside its journal: give the command with it at a terminal"
        if is_in_fleet(campaign.address):
            text = (
                "its campaign file does not lie in the folder that the console was started in: start the "
                "console there, or give the command with it at a terminal"
            )
        return text, ("--campaign", campaign.record.campaign_file)
    return "", ()


def way_of(name: str, look: Look, senders: Senders) -> Way:
    """How an action that is possible is done."""
    campaign = ActedOn.of(look, senders, look.at)
    assert campaign is not None
    return campaign.way(name)


def arguments_of(name: str, address: str) -> tuple[str, ...]:
    """The words of the command that a process of its own runs for an action.

    Args:
        address: the journal's, `/srv/autumn.db` or `fleet:autumn`.
    """
    words = ACTIONS[name].words
    # Whatever a file is called, it is no option and no name in a fleet's database.
    journal = address if is_in_fleet(address) else os.path.abspath(address)
    return (words[0], journal, *words[1:], "--yes")


def _agreement(name: str, campaign: ActedOn, people: int) -> str:
    """What a person says yes to, for the form to carry: how many people, and what is done to them.

    While others send, the numbers fall by themselves, and a yes holds for fewer; else it is for this
    number. It is for this campaign alone, whichever has its name by then. What sends is agreed to for the
    state that it was in, and once: a form that comes a second time finds another last result.
    """
    way = campaign.way(name)
    facts = [name, way, campaign.report.host, campaign.record.run_id]
    if way is Way.PROCESS or name == "resume":
        facts += [campaign.report.state, repr(campaign.report.elapsed_s)]
        facts.append("pause" if campaign.pause_asked else "")
    if way is Way.PROCESS:
        pace = campaign.pace
        facts += ["" if pace is None else pace_in_words(pace, 1), str(campaign.to_send)]
    if way is not Way.REQUEST:
        facts.append(str(people))
    digest = hashlib.blake2s("\n".join(facts).encode(), digest_size=8).hexdigest()
    return f"{people}.{digest}"


def is_still_agreed(agreed: str, action: Action) -> bool:
    """Whether the yes to what a form said holds for what would be done now.

    Args:
        agreed: `Action.agreed`, as the form brings it.
    """
    people, _, digest = agreed.partition(".")
    people_now, _, digest_now = action.agreed.partition(".")
    if digest != digest_now or not (people.isascii() and people.isdigit() and len(people) < 20):
        return False
    return int(people_now) <= int(people)


def _no_pause(campaign: ActedOn) -> str:
    if why := _over(campaign):
        return why
    if campaign.report.state == "paused":
        return "it is paused already"
    if not campaign.to_send:
        return "nobody is left to be sent to: only the results of group sends are waited for"
    return ""


def _no_resume(campaign: ActedOn) -> str:
    report, senders = campaign.report, campaign.senders
    if why := _over(campaign):
        return why
    if report.first is not None and report.first.needs_a_word:
        return "the others wait for a person's word after the first few: let them follow, or cancel"
    if report.state == "paused":
        return ""
    if senders.being_sent:
        return _in_hand(senders)
    if senders.workers and report.state != "halted":
        return f"the workers go on with it by themselves: {sentences.listed(senders.workers)}"
    return ""


def _no_cancel(campaign: ActedOn) -> str:
    if why := _over(campaign):
        return why
    if not campaign.to_send:
        return "nobody is left to be cancelled: who is pending is in group sends that are out"
    return ""


def _no_retry(campaign: ActedOn, people: int, nobody: str) -> str:
    if not people:
        return nobody
    if campaign.senders.being_sent:
        return f"{_in_hand(campaign.senders)}; pause it, or wait for its end"
    opening = campaign.opening
    if opening is not None and opening.is_over:
        return f"{opening.why}: give a later moment at a terminal, with `--finish-by`"
    return ""


def _no_retry_failed(campaign: ActedOn) -> str:
    nobody = "nobody was refused by the provider"
    if campaign.report.failed:
        nobody = (
            "those who failed were refused when the list was read: mend the list, and send it anew"
        )
    return _no_retry(campaign, campaign.failed_calls, nobody)


def _no_retry_unknown(campaign: ActedOn) -> str:
    nobody = "of nobody it is unknown whether the message came"
    if campaign.report.unknown:
        nobody = (
            "those who are unknown are members of groups whose failures nobody named: that needs "
            "`--include-unnamed` at a terminal, and most would get it twice"
        )
    return _no_retry(campaign, campaign.unknown_named, nobody)


def _no_approve(campaign: ActedOn) -> str:
    first = campaign.report.first
    if why := _over(campaign):
        return why
    if first is None:
        return "it has no first few: all are sent to at once"
    if not first.needs_a_word:
        return "nobody waits for a person's word"
    if campaign.senders.being_sent:
        return _in_hand(campaign.senders)
    return ""


def _over(campaign: ActedOn) -> str:
    if campaign.report.state not in ENDED:
        return ""
    return "it was cancelled" if campaign.report.state == "cancelled" else "it has ended"


def _in_hand(senders: Senders) -> str:
    names = sentences.listed(senders.names)
    if len(senders.names) > 1:
        return f"{names} are sending it"
    return f"{names} is sending it" if names else "somebody is sending it"


ACTIONS: Final[dict[str, _Kind]] = {
    "pause": _Kind("Pause sending", ("pause",), _no_pause, sentences.pause, lambda c: c.to_send),
    "resume": _Kind(
        "Resume sending", ("resume",), _no_resume, sentences.resume, lambda c: c.to_send
    ),
    "approve": _Kind(
        "Let the others follow",
        ("resume", "--approve"),
        _no_approve,
        sentences.approve,
        lambda c: c.to_send,
    ),
    "retry": _Kind(
        "Retry those who failed",
        ("retry", "--failed"),
        _no_retry_failed,
        sentences.retry_failed,
        lambda c: c.failed_calls,
    ),
    "retry-unknown": _Kind(
        "Retry those who are unknown",
        ("retry", "--unknown"),
        _no_retry_unknown,
        sentences.retry_unknown,
        lambda c: c.unknown_named,
    ),
    "cancel": _Kind(
        "Cancel the rest", ("cancel",), _no_cancel, sentences.cancel, lambda c: c.to_send
    ),
}
"""By the name in the URL."""
