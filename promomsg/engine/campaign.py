"""A campaign: recipients in, one outcome each. `send` is the whole of it in one line."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from random import Random
from typing import TYPE_CHECKING, Self, Unpack

from promomsg.argument_checks import check_yes_or_no
from promomsg.channels.base import Channel, Message
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.engine.campaign_block import CampaignBlock
from promomsg.engine.campaign_request import CampaignRequest
from promomsg.engine.prepare.campaign_start import CampaignStart
from promomsg.engine.prepare.new_campaign import NewCampaign
from promomsg.engine.prepare.plan import Plan
from promomsg.engine.report import Report
from promomsg.engine.run import Run
from promomsg.engine.running_campaign import RunningCampaign
from promomsg.engine.settings import Options, with_options_shown
from promomsg.engine.suppress_argument import Suppress
from promomsg.errors import UsageError
from promomsg.intake.sources import Recipients
from promomsg.journal.contract import Journal
from promomsg.model import Outcome, State
from promomsg.shielded import run_shielded
from promomsg.traceback_locals import clear_traceback_locals

if TYPE_CHECKING:
    from promomsg.telemetry.hooks import GivenHooks

__all__ = ["Campaign", "Options", "send"]


class Campaign(RunningCampaign):
    """One message to many recipients, once each.

    ```python
    async with Campaign(wechat, message, recipients, name="autumn", journal="autumn.db") as run:
        async for outcome in run:
            ...
    run.report
    ```

    Entering the block plans the whole campaign (nothing goes out before the plan is complete and
    on disk) and starts sending; leaving it early stops cleanly: calls in flight finish, the rest
    stays `pending` in the journal.

    Args:
        channel: a `WeChatPromoter`, an `AlipayMiniProgram`, or a channel of your own.
        message: a message of that channel.
        recipients: an iterable or async iterable of `Recipient`, mappings or strings of digits;
            an audience; or `read_csv(…)` and its kin.
        name: the campaign's name, in logs, reports, metrics and the console; default: its journal's
            (`"autumn"` of `autumn.db` and of `fleet:autumn`), and without one, or in memory, `"campaign"`.
        journal: a path, `"fleet:NAME"` (see `Fleet`), a `Journal`, or None: a private temporary
            file, removed on a clean close and kept, and named in the warnings, when the campaign
            did not come to its end.
        suppress: whom not to send to: a file, an iterable of keys and addresses (a list, a Series,
            a generator), `read_csv(…)` and its kin, a journal or its path (whom it sent to or may
            have; with an age, `"autumn.db since 7d"`, within that time only), or a list of these. What in it cannot
            be understood in full is a UsageError.
        campaign_file: the TOML file it comes from; the journal remembers it.
        hooks: told what happens (`Hooks`, or several), beside those of the channel.
        clock: where the time comes from.
        rng: the randomness of pauses.
        options: see `Settings`.

    Raises:
        UsageError: anything wrong with the arguments or the recipients; nothing was sent.
        JournalError: the journal cannot be made, or is another campaign's.
        ProviderError, NotSent, OutcomeUnknown, Halted: the provider did not say who an audience or
            an openid (`resolve`) is, after some tries; nothing was sent.
    """

    _start: CampaignStart
    _handed_over = False

    @with_options_shown
    def __init__(
        self,
        channel: Channel,
        message: Message,
        recipients: Recipients,
        *,
        name: str | None = None,
        journal: str | os.PathLike[str] | Journal | None = None,
        suppress: Suppress = None,
        campaign_file: str | None = None,
        hooks: GivenHooks = None,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        **options: Unpack[Options],
    ) -> None:
        request = CampaignRequest(
            channel=channel,
            journal=journal,
            recipients=recipients,
            message=message,
            suppress=suppress,
            options=options,
            hooks=hooks,
            clock=clock,
            rng=rng,
        )
        try:
            start = NewCampaign(
                request, name=name, campaign_file=campaign_file, run_id=secrets.token_hex(16)
            )
        except BaseException as error:
            clear_traceback_locals(error)
            raise
        finally:
            # User tokens in a plain list, for a traceback that shows locals.
            del recipients, suppress
        self._start = start

    @classmethod
    def _of(cls, start: CampaignStart) -> Self:
        campaign = cls.__new__(cls)  # `__init__` makes a new campaign
        campaign._start = start
        return campaign

    @classmethod
    @with_options_shown
    def resume(
        cls,
        journal: str | os.PathLike[str] | Journal,
        channel: Channel,
        *,
        recipients: Recipients | None = None,
        message: Message | None = None,
        suppress: Suppress = None,
        after_lost_wal: bool = False,
        provider_is_back: bool = False,
        approve: bool = False,
        hooks: GivenHooks = None,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        **options: Unpack[Options],
    ) -> Campaign:
        """An unfinished campaign, to be sent on from its journal.

        Recipients that were intended without a result are `unknown` (a channel with idempotency
        keys asks again with the same key); what is planned is sent; accepted groups are polled on.

        Args:
            recipients: the same list again: a channel with user tokens needs it, since the
                journal keeps none; elsewhere it is only checked. None: not read.
            message: the message it should be of, checked against the journal's; None: not checked.
            suppress: keys and addresses not to send to, as they are now: who is still to be sent
                to and is among them is skipped. What planning skipped stays so.
            after_lost_wal: go on although commits of the journal may be lost (it was moved or
                copied without its -wal): whoever may have been sent to since becomes unknown.
            provider_is_back: after a halt because the provider could not be reached: you know
                that it is back. Without it a run looks first, and nobody is tried once as many
                sends are in doubt as one outage may cost (`concurrency` + 8).
            approve: the others may follow the first few (`first`), however those came out. Without it
                a campaign that halted on them (`FIRST_STOPPED`, `FIRST_ASK`) halts again.
            hooks: as in `Campaign`.
            options: override what the journal kept. `route`, `resolve`, `expand` and `max_group_size`
                come too late for a plan: it says when they are others than it was made with; with
                `approve` they have to be the planned ones. `first` and its like stay as planned.
                `max_recipients` refuses to go on when more are still to be sent to.

        Raises:
            JournalError: another process is sending it, it is not this channel's, it is damaged,
                or commits of it may be lost and `after_lost_wal` is not set.
            UsageError: the recipients or the message, or with `approve` an option, are not the ones it
                was planned with; or there is nothing to approve.
        """
        request = CampaignRequest(
            channel=channel,
            journal=journal,
            recipients=recipients,
            message=message,
            suppress=suppress,
            options=options,
            hooks=hooks,
            clock=clock,
            rng=rng,
        )
        # Loaded for a resume or a retry, which most programs have none of.
        from promomsg.engine.prepare.resumed_campaign import ResumedCampaign

        return cls._of(
            ResumedCampaign(
                request,
                after_lost_wal=after_lost_wal,
                provider_is_back=provider_is_back,
                approve=approve,
            )
        )

    @classmethod
    @with_options_shown
    def retry(
        cls,
        journal: str | os.PathLike[str] | Journal,
        channel: Channel,
        *,
        failed: bool = False,
        unknown: bool = False,
        include_unnamed: bool = False,
        recipients: Recipients | None = None,
        suppress: Suppress = None,
        hooks: GivenHooks = None,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
        **options: Unpack[Options],
    ) -> Campaign:
        """Sends again to exactly the set that you name: your word for it is needed.

        Args:
            failed: those who were refused.
            unknown: those who may have been reached: some may get the message twice, unless the
                channel has idempotency keys.
            include_unnamed: with `unknown`, also members of a group whose failures the provider
                counted without naming them: most of them did get the message.
            recipients, suppress, hooks, options: as in `resume`.

        Raises:
            UsageError: neither `failed` nor `unknown` is said, or as in `resume`.
            JournalError: as in `resume`.
        """
        check_yes_or_no(failed=failed, unknown=unknown, include_unnamed=include_unnamed)
        if not failed and not unknown:
            raise UsageError("retry: say failed=True, unknown=True or both: nothing else is meant")
        if include_unnamed and not unknown:
            raise UsageError("retry: include_unnamed goes with unknown=True")
        request = CampaignRequest(
            channel=channel,
            journal=journal,
            recipients=recipients,
            suppress=suppress,
            options=options,
            hooks=hooks,
            clock=clock,
            rng=rng,
        )
        states = [
            state for state, meant in ((State.FAILED, failed), (State.UNKNOWN, unknown)) if meant
        ]
        from promomsg.engine.prepare.resumed_campaign import RetriedCampaign

        return cls._of(RetriedCampaign(request, states=states, include_unnamed=include_unnamed))

    # Planning and running.

    async def plan(self) -> Plan:
        """Plans without sending; entering the block afterwards sends just this plan.

        Raises:
            UsageError, JournalError: as the class says.
        """
        return await self._plan(shown=True)

    async def _plan(self, *, shown: bool) -> Plan:
        try:
            return await self._start.plan(shown=shown)
        except BaseException as error:
            clear_traceback_locals(error)  # the rows under way may have user tokens in them
            await run_shielded(self._start.discard)
            raise

    def not_sent(self) -> AsyncIterator[Outcome]:
        """After `plan`: every row that will not be sent, with its code and why.

        Nothing of a campaign that is resumed or retried: `report` has those.
        """
        return self._start.not_sent()

    async def discard(self) -> None:
        """Throws a plan away that is not to be sent; nothing of it stays on disk."""
        await self._start.discard()

    async def hand_over(self) -> None:
        """Leaves a campaign to others: plans it if it is not planned yet, makes the plan durable and
        closes the journal. Nothing is sent here: whoever else opens the journal sends it (a worker of
        a `Fleet`, or `Campaign.resume` in any process).

        Raises:
            UsageError: no journal was given, or the user tokens are in this process only (the plan
                stays, to be sent here or discarded); or as the class says.
            JournalError: as the class says.
        """
        self._refuse_used()
        self._start.check_others_may_send()
        await self._plan(shown=False)
        self._start.check_tokens()
        try:
            await run_shielded(self._start.hand_over)
        except BaseException:
            await run_shielded(self._start.discard)
            raise
        self._handed_over = True

    def _refuse_used(self) -> None:
        if self._block is not None:
            raise UsageError("this campaign has run already; make another one, or resume it")
        if self._handed_over:
            raise UsageError("this campaign was handed over: others send it; or resume it")

    async def _begin(self) -> CampaignBlock:
        self._refuse_used()
        await self._plan(shown=False)
        try:
            context = await self._start.start()
        except BaseException:
            await run_shielded(self._start.discard)
            raise
        request = self._start.request
        # The randomness spreads pauses and guards nothing.
        run = Run(context, clock=request.clock, rng=request.rng or Random())  # noqa: S311
        self._block = block = CampaignBlock(run)
        return block

    @property
    def journal(self) -> str | None:
        """The journal's path, or `fleet:NAME`; None in memory."""
        return self._start.address


@with_options_shown
async def send(
    channel: Channel,
    message: Message,
    recipients: Recipients,
    *,
    name: str | None = None,
    journal: str | os.PathLike[str] | Journal | None = None,
    suppress: Suppress = None,
    hooks: GivenHooks = None,
    clock: Clock = SYSTEM_CLOCK,
    **options: Unpack[Options],
) -> Report:
    """Sends one message to every recipient, once, and says what happened to each.

    A campaign that had to stop before its end (a refused appsecret, a used-up quota) is no exception: its
    report says `halted`, why, and who is still `pending`; `report.raise_for_failures()` turns that into one.

    Args:
        channel, message, recipients: to whom what goes, and by which account; see `Campaign`.
        name: in logs, reports and metrics; default: the journal's, else `"campaign"`.
        journal: where it can be resumed from: a path, `"fleet:NAME"`, a `Journal`; None: a temporary file.
        suppress: whom not to send to: a path, an iterable of keys and addresses, a journal, or a list of these.
        hooks: told what happens, beside those of the channel.
        clock: where the time comes from.
        options: see `Settings`.

    Raises:
        UsageError: wrong arguments or recipients; nothing was sent.
        JournalError: the journal failed; what was sent is in it, and it can be resumed.
        ProviderError, NotSent, OutcomeUnknown, Halted: as `Campaign`; nothing was sent.
    """
    try:
        campaign = Campaign(
            channel,
            message,
            recipients,
            name=name,
            journal=journal,
            suppress=suppress,
            hooks=hooks,
            clock=clock,
            **options,
        )
    finally:
        del recipients, suppress  # as in Campaign
    async with campaign as run:
        await run.wait()
    return run.report
