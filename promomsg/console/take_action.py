"""Does with a campaign what a person has said yes to, and asks again when it is another campaign by now."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import anyio
import msgspec
from anyio import to_thread

from promomsg.clock import SYSTEM_CLOCK
from promomsg.console.acted_on import Senders, Way
from promomsg.console.action_sentences import CHANGED, listed
from promomsg.console.actions import actions_of, arguments_of, is_still_agreed, way_of
from promomsg.console.console_types import Action, Look
from promomsg.console.one_look import FLEET
from promomsg.console.sender_processes import CampaignName, SenderProcesses
from promomsg.engine.opened_journal import open_journal, report_of_view
from promomsg.engine.report import ENDED
from promomsg.errors import PromoError
from promomsg.housekeeping.pause_or_cancel import (
    HeardBy,
    cancel_campaign,
    end_pause,
    pause_campaign,
)
from promomsg.journal.contract import Journal
from promomsg.journal.locate import is_in_fleet
from promomsg.journal.records import Control

if TYPE_CHECKING:
    from promomsg.fleet.fleet import Fleet

__all__ = ["ActionResult", "CampaignActions"]

_BEGINS_IN: Final = 5.0
"""Seconds for which the answer waits for a process to begin with its campaign, or to say why it does not."""
_LEAVES_IN: Final = 2.0
"""Seconds in which a sender that was asked to go on may turn out to have been about to end."""
_ENDS_IN: Final = 15.0
"""Seconds for the end of an earlier process of ours, which was paused or has stopped."""
_LOOK_EVERY: Final = 0.05
_AT_WORK: Final = frozenset({"sending", "following", "waiting"}) | ENDED
"""States of a campaign that a sender has in hand, once it may go on."""


class ActionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a yes.

    Attributes:
        done: what was done, a sentence; empty: nothing was.
        ask: what is to be asked, since nothing was done: the numbers are others by now. None: nothing is.
        error: why nothing was done; empty: it was, or it is asked again.
    """

    done: str = ""
    ask: Action | None = None
    error: str = ""


class CampaignActions:
    """What a person may do with the campaigns of a console.

    Args:
        processes: those that it has started, and starts.
        fleet: the database whose workers may send; None: there is none.
    """

    def __init__(self, processes: SenderProcesses, fleet: Fleet | None = None) -> None:
        self.processes = processes
        self._fleet = fleet
        # One action on a campaign is decided on after the other: a pause must not come between the yes to
        # a resume and its process, which would end that pause.
        self._turns: WeakValueDictionary[CampaignName, asyncio.Lock] = WeakValueDictionary()
        self._beginning: dict[CampaignName, str] = {}
        """The actions for which a process is about to begin: who presses twice is told so."""

    async def possible(self, look: Look, journal: Journal) -> dict[str, Action]:
        """Every action by its name, in the order of their buttons, as the campaign was seen last.

        Raises:
            JournalError: the journal, or the database, cannot be read.
        """
        return actions_of(look, await self._senders(look, journal), SYSTEM_CLOCK.time())

    async def ask(self, look: Look, journal: Journal, name: str) -> Action | None:
        """One of them with the numbers of now; None: there is no such action, or no plan to act on.

        Raises:
            JournalError: as `possible`.
        """
        found = await self.possible(await _seen_now(look, journal), journal)
        return found.get(name)

    async def take(
        self, look: Look, journal: Journal, name: str, agreed: str, *, language: str = "en"
    ) -> ActionResult:
        """Does it, when the yes still holds.

        Args:
            agreed: `Action.agreed` of what was asked.
            language: that a process speaks: a value of `--lang`.

        Raises:
            JournalError: as `possible`, or it cannot be written.
            UsageError: no process could be started.
        """
        campaign = _name_of(look)
        turn = self._turns.setdefault(campaign, asyncio.Lock())
        async with turn:
            beginning = self._beginning.get(campaign)
            if beginning is not None:
                return (
                    ActionResult(done=_BEGUN) if beginning == name else ActionResult(error=_BEGINS)
                )
            look = await _seen_now(look, journal)
            senders = await self._senders(look, journal)
            action = actions_of(look, senders, SYSTEM_CLOCK.time()).get(name)
            if action is None:
                return ActionResult(error="there is nothing here that this could be done with")
            if not action.is_possible:
                return ActionResult(error=action.why_not)
            if not is_still_agreed(agreed, action):
                changed = msgspec.structs.replace(action, says=(CHANGED, *action.says))
                return ActionResult(ask=changed)
            if name == "pause":
                return _answered(await pause_campaign(journal), _PAUSED)
            if name == "cancel":
                return _answered(await cancel_campaign(journal), _CANCELLED)
            self._beginning[campaign] = name
        try:
            if way_of(name, look, senders) is Way.PROCESS:
                return await self._start(look, journal, action, language)
            return await self._end_pause(look, journal, action, language, senders)
        finally:
            del self._beginning[campaign]

    async def _senders(self, look: Look, journal: Journal) -> Senders:
        workers: tuple[str, ...] = ()
        if self._fleet is not None and look.place == FLEET:
            workers = tuple(w.name for w in await self._fleet.workers() if w.takes_work)
        being_sent, names = await to_thread.run_sync(_at_work, journal)
        return Senders(
            being_sent=being_sent,
            names=names,
            workers=workers,
            find_the_file=await to_thread.run_sync(_finds_the_file, look),
        )

    async def _start(
        self, look: Look, journal: Journal, action: Action, language: str
    ) -> ActionResult:
        campaign = _name_of(look)
        words = (*arguments_of(action.name, look.journal), "--lang", language)
        if not await _until(self._ended(campaign), _ENDS_IN):
            number = self.processes.running_for(campaign)
            return ActionResult(error=f"process {number}, which was started here, still runs")
        self.processes.start(campaign, words, action.command)
        begun = _until(self._begun(campaign, journal), _BEGINS_IN)
        if not await begun:
            return ActionResult(done="A process of its own was started for it.")
        if self.processes.running_for(campaign) is None:
            return ActionResult(done="The process has ended; what it said is shown.")
        return ActionResult(done="A process of its own sends it now.")

    async def _end_pause(
        self, look: Look, journal: Journal, action: Action, language: str, senders: Senders
    ) -> ActionResult:
        heard = await end_pause(journal)
        if heard is HeardBy.ENDED:
            return _answered(heard, _GOES_ON)
        if senders.workers:
            return ActionResult(done=f"The workers go on with it: {listed(senders.workers)}.")
        # At a terminal a sender that is paused ends: it may have been about to, and ours has.
        ours = self.processes.running_for(_name_of(look)) is not None
        if await _until(_left(journal), _ENDS_IN if ours else _LEAVES_IN):
            return await self._start(look, journal, action, language)
        return _answered(heard, _GOES_ON)

    def _ended(self, campaign: CampaignName) -> Callable[[], Awaitable[bool]]:
        async def ended() -> bool:
            return self.processes.running_for(campaign) is None

        return ended

    def _begun(self, campaign: CampaignName, journal: Journal) -> Callable[[], Awaitable[bool]]:
        """Whether a process is at work, or has said why it is not. While it only prepares, an earlier pause
        or halt stands, and a new pause would end with it."""

        async def begun() -> bool:
            if self.processes.running_for(campaign) is None:
                return True
            return await to_thread.run_sync(_is_at_work, journal)

        return begun


def _is_at_work(journal: Journal) -> bool:
    if not journal.is_being_sent():
        return False
    with open_journal(journal) as opened:
        return opened.report().state in _AT_WORK


def _left(journal: Journal) -> Callable[[], Awaitable[bool]]:
    async def left() -> bool:
        return not await to_thread.run_sync(journal.is_being_sent)

    return left


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Looks again and again; False: it did not come true in that time."""
    end = monotonic() + seconds
    while not await condition():
        if monotonic() > end:
            return False
        await anyio.sleep(_LOOK_EVERY)
    return True


_BEGUN: Final = "It was begun already: nothing more was started."
_BEGINS: Final = (
    "a process that was started here is just beginning with it, and nothing else was done: try again in "
    "some seconds"
)
_ENDED: Final = "It had ended by then: nothing was changed."
_PAUSED: Final[Mapping[HeardBy, str]] = {
    HeardBy.ENDED: _ENDED,
    HeardBy.SENDER: "Its sender was asked to pause: calls in flight finish.",
    HeardBy.NOBODY: "It is paused: nothing is sent until somebody resumes it.",
}
_CANCELLED: Final[Mapping[HeardBy, str]] = {
    HeardBy.ENDED: _ENDED,
    HeardBy.SENDER: "Its sender was asked to cancel: calls in flight finish.",
    HeardBy.NOBODY: "What was not sent is cancelled.",
}
_GOES_ON: Final[Mapping[HeardBy, str]] = {
    HeardBy.ENDED: _ENDED,
    HeardBy.SENDER: "Its sender was asked to go on.",
    HeardBy.NOBODY: "The pause has ended.",
}


def _answered(heard: HeardBy, words: Mapping[HeardBy, str]) -> ActionResult:
    return ActionResult(done=words[heard])


def _name_of(look: Look) -> CampaignName:
    return CampaignName(look.place, look.name)


def _at_work(journal: Journal) -> tuple[bool, tuple[str, ...]]:
    being_sent = journal.is_being_sent()
    return being_sent, tuple(journal.senders()) if being_sent else ()


def _finds_the_file(look: Look) -> bool:
    """Whether the campaign file lies where the commands look for it."""
    if look.record is None or look.record.campaign_file is None:
        return False
    folder = "" if is_in_fleet(look.journal) else os.path.dirname(look.journal)
    return os.path.exists(os.path.join(folder, os.path.basename(look.record.campaign_file)))


async def _seen_now(look: Look, journal: Journal) -> Look:
    """The look with the campaign as it is now, and not as it was in a cache."""

    def read() -> Look:
        with closing(journal.reader()) as view:
            report = report_of_view(view, journal, journal.address)
            return msgspec.structs.replace(
                look,
                record=view.record,
                report=report,
                state=report.state,
                at=SYSTEM_CLOCK.time(),
                pause_asked=view.control() is Control.PAUSE,
            )

    try:
        return await to_thread.run_sync(read)
    except PromoError:
        if look.report is None:
            return look  # its plan is not complete, or it cannot be read: nothing is possible
        raise
