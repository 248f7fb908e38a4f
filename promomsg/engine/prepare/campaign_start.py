"""How a campaign starts: planned first, then handed to a run with its journal open."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from promomsg.channels.base import Channel, CompiledMessage, has_account_token
from promomsg.engine.campaign_request import CampaignRequest
from promomsg.engine.prepare.plan import Plan
from promomsg.engine.recipient_tokens import EncryptedTokens, RecipientTokens
from promomsg.engine.report import Report
from promomsg.engine.schedule.waiting import schedule_of
from promomsg.engine.settings import Settings
from promomsg.errors import JournalError, UsageError
from promomsg.journal.contract import Handle, Journal, Rows
from promomsg.journal.records import Counts, GroupRow
from promomsg.model import Outcome
from promomsg.telemetry.in_force import given_hooks, put_in_force, set_in_force
from promomsg.url_origins import origin

if TYPE_CHECKING:
    from promomsg.engine.observing.observed_start import ObservedStart
    from promomsg.telemetry.observers import Observers

log = logging.getLogger("promomsg.engine")

__all__ = ["CampaignStart", "Part", "RunContext", "TokensAreHere", "share_account"]


class TokensAreHere(UsageError):
    """A campaign cannot be handed over: its user tokens are in this process only. Its plan stays."""


def share_account(journal: Journal, channel: Channel) -> None:
    """Has a channel share with others, through the journal, what the journal keeps of its account."""
    if has_account_token(channel):
        store = journal.token_store(channel.name, origin(channel.base_url), channel.account)
        if store is not None:
            channel.share_token(store)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one process does of a campaign that others send too.

    Attributes:
        singles, groups: it makes the single sends, the group sends.
        polls: it looks at the group sends whose look is due.
        seconds: nobody is tried after that who was not tried before; who waits for a retry gets it, for
            five minutes at the most, and an outage is ended first (it is over, or the campaign halts).
            None: until there is nothing to take.
    """

    singles: bool = False
    groups: bool = False
    polls: bool = False
    seconds: float | None = None


class RunContext(msgspec.Struct):
    """What a `Run` needs of a campaign whose plan is complete.

    Attributes:
        handle, channel, compiled, settings: of the campaign.
        tokens: the user tokens; None for channels without them.
        counts, groups: those at the start.
        journal: the journal itself; rows: its outcomes, read when they are asked for.
        address: the same as `Journal.address` has it, for the report.
        temporary: the journal is removed on a clean close, and no failure files are kept.
        stream_from: the cursor from which outcomes are streamed.
        kept_warning: once closed: where a temporary journal is that was not removed.
        part: None: all of the campaign, to its end.
        now: the wall clock that its hours go by, as `RunControl` has it; None: the run's.
        observers: who is told what happens; None: nobody. observed_since: monotonic seconds.
    """

    handle: Handle
    channel: Channel
    compiled: CompiledMessage
    settings: Settings
    tokens: RecipientTokens | None
    counts: Counts
    groups: list[GroupRow]
    journal: Journal
    rows: Rows
    address: str | None = None
    temporary: bool = False
    stream_from: tuple[int, int] = (-1, 0)
    kept_warning: str = ""
    part: Part | None = None
    now: Callable[[], float | None] | None = None
    observers: Observers | None = None
    observed_since: float = 0.0

    async def close(self, *, clean: bool, report: Report) -> None:
        """Closes the journal; a temporary one goes when the campaign came to its end."""
        if self.tokens is not None:
            self.tokens.close()
        await self.handle.close()
        if self.observers is not None:
            await self.observers.drained()
        if not self.temporary:
            return
        if not clean:
            self._keep(report, "the campaign did not come to its end", "; Campaign.resume goes on")
            return
        try:
            self.rows.keep()
        except JournalError as error:
            self._keep(report, f"the outcomes stay where they are ({error})", "")
        else:
            self.journal.discard()

    def _keep(self, report: Report, why: str, then: str) -> None:
        """Names a temporary journal that stays: nobody else knows where it is."""
        report.journal = self.handle.path
        self.kept_warning = f"{why}; its journal is kept: {self.handle.path}{then}"
        report.warnings.append(self.kept_warning)
        log.warning("%s", self.kept_warning)


class CampaignStart(ABC):
    """A campaign before its first call: a new one, or an unfinished one from its journal.

    `plan` says what would be sent, `start` gives a `Run` what it needs. `discard` lets go of
    everything instead.
    """

    _compiled: CompiledMessage
    _settings: Settings

    def __init__(self, request: CampaignRequest, journal: Journal) -> None:
        self.request = request
        self._channel = request.channel
        self._clock = request.clock
        self._journal = journal
        self._handle: Handle | None = None
        self._tokens: RecipientTokens | None = None
        self._plan: Plan | None = None
        self._observed: ObservedStart | None = None
        """What its hooks are told by, until it is sent; None: it has none."""
        self._hooks = given_hooks(request.hooks, request.channel)

    @property
    def address(self) -> str | None:
        """Where the journal is, as `Journal.address` says it."""
        return self._journal.address

    async def plan(self, *, shown: bool) -> Plan:
        """What would be sent. The first call makes the plan, later ones return it.

        Args:
            shown: a person will look at it: the provider is asked for the quota that is left.
        """
        if self._plan is None:
            share_account(self._journal, self._channel)
            with put_in_force(None):  # who plans it says who observes, once its name is known
                self._plan = await self._make_plan(shown=shown)
            if self._observed is not None:
                self._observed.planned(self._plan)
        return self._plan

    def _observe(
        self, kind: Literal["new", "resume", "retry"], name: str, carried: Mapping[str, str]
    ) -> None:
        """Its hooks are told what happens from here on."""
        if self._hooks and self._observed is None:
            # Loaded for a campaign with hooks.
            from promomsg.engine.observing.observed_start import ObservedStart

            self._observed = ObservedStart(self._hooks, self._channel, kind, name, carried)
            set_in_force(self._observed.observers)

    @abstractmethod
    async def _make_plan(self, *, shown: bool) -> Plan: ...

    @abstractmethod
    async def start(self) -> RunContext:
        """Makes the plan durable; from here on it may be sent."""

    def check_others_may_send(self) -> None:
        """Raises UsageError when nobody else could open the journal."""
        if self.request.journal is None:
            raise UsageError(
                "hand_over: nobody else finds a temporary journal: give a path or fleet:NAME as journal="
            )

    def check_tokens(self) -> None:
        """Raises TokensAreHere when a planned campaign needs something of this process."""
        if isinstance(self._tokens, EncryptedTokens):
            raise TokensAreHere(
                "hand_over: the user tokens of these recipients are in this process only: send it here "
                "(`async with campaign`), or discard it and plan it in a database with PROMOMSG_FLEET_KEY set"
            )

    async def hand_over(self) -> None:
        """Makes the plan durable and lets go of it: who opens the journal from here on may send it."""
        observed = self._observed
        context = await self.start()
        if observed is not None:
            observed.not_sent("handed_over")
            await observed.observers.drained()
        schedule, now = schedule_of(context.handle.record), self._clock.time()
        if schedule is not None and now < (schedule.start_at or now):
            # A moment is the same by every clock; whether hours are open is left to those who send.
            await context.handle.park(schedule.opening(now).next_at or now)
        context.rows.close()
        if context.tokens is not None:
            context.tokens.close()
        await context.handle.close()

    async def _context(self) -> RunContext:
        """What a run needs; closing the journal and the user tokens is up to the run from here on."""
        handle = self._handle
        assert handle is not None
        context = RunContext(
            handle=handle,
            channel=self._channel,
            compiled=self._compiled,
            settings=self._settings,
            tokens=self._tokens,
            counts=await handle.counts(),
            groups=await handle.groups(),
            journal=self._journal,
            rows=self._journal.rows_later(),
            address=self._journal.address,
        )
        if self._observed is not None:
            context.observers = self._observed.observers
            context.observed_since = self._observed.began_at
        self._handle = self._tokens = self._observed = None
        return context

    async def not_sent(self) -> AsyncIterator[Outcome]:
        """The rows that planning has left out, and why; nobody where the journal has them already."""
        nobody: tuple[Outcome, ...] = ()
        for outcome in nobody:
            yield outcome

    async def discard(self) -> None:
        """Closes the journal and forgets the user tokens; nothing was sent."""
        handle, tokens, observed = self._handle, self._tokens, self._observed
        self._handle = self._tokens = self._observed = None
        if observed is not None:
            observed.not_sent("discarded" if self._plan is not None else "failed")
            await observed.observers.drained()
        if tokens is not None:
            tokens.close()
        if handle is not None:
            await handle.close()
