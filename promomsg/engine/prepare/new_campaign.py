"""A new campaign: its list is read, planned and written, once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from promomsg.channels.base import Advice, Channel
from promomsg.clock import Clock
from promomsg.engine.arguments import GROUP_TO_ALL, SEND, check_channel, check_name
from promomsg.engine.prepare.audience import Routed, decide_audience, expands, resolve_ids
from promomsg.engine.prepare.campaign_start import RunContext, close_all, journal_of
from promomsg.engine.prepare.consistency import in_thread
from promomsg.engine.prepare.default_pace import ask_advice, day_notices, quota_notices, settle_pace
from promomsg.engine.prepare.plan import Plan, describe_plan
from promomsg.engine.prepare.planner import READ_SIZE, Planner
from promomsg.engine.prepare.routing import chunk_size, make_groups
from promomsg.engine.prepare.suppression_list import SuppressionList
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.settings import Settings
from promomsg.engine.suppress_argument import Suppress, check_suppress
from promomsg.errors import UsageError
from promomsg.intake import as_source
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.records import CampaignRecord
from promomsg.model import Audience, Outcome, State

__all__ = ["NewCampaign"]


class NewCampaign:
    """A campaign that has not begun: planned into a new journal.

    Args: as `Campaign` has them; `run_id` is 32 random hex digits.
    """

    def __init__(
        self,
        channel: Channel,
        message: Any,
        recipients: Any,
        *,
        name: str | None,
        journal: str | os.PathLike[str] | Journal | None,
        suppress: Suppress,
        campaign_file: str | None,
        settings: Settings,
        clock: Clock,
        run_id: str,
    ) -> None:
        check_channel(channel, SEND)
        check_name(name)
        check_suppress(suppress)
        self._channel = channel
        self._compiled = channel.compile(message)
        self._source = as_source(recipients)
        self._name = name = name or "campaign"
        self._settings = settings
        self._suppress = suppress
        self._clock = clock
        self._record = CampaignRecord(
            name=name,
            channel=channel.name,
            account=channel.account,
            run_id=run_id,
            message=self._compiled.snapshot(),
            settings=settings.snapshot(),
            base_url=channel.base_url,
            campaign_file=campaign_file,
            created_at=clock.time(),
        )
        self._temporary = journal is None
        self._journal = journal_of(journal, settings.durability)
        self._handle: Handle | None = None
        self._tokens: RecipientTokens | None = None
        self._plan: Plan | None = None

    @property
    def path(self) -> str | None:
        """Where the journal is; None in memory."""
        return self._journal.path

    async def plan(self, *, shown: bool) -> Plan:
        """Reads, checks and writes the whole list, once; nothing is sent and nothing appears.

        Args:
            shown: a person will look at it: the provider is asked for the quota that is left.
        """
        if self._plan is not None:
            return self._plan
        channel, settings = self._channel, self._settings
        source = self._source
        routed: Routed | None = None
        notices = [*channel.notices, *self._compiled.notices]
        if isinstance(source, Audience):
            if self._compiled.has_placeholders and not expands(source, settings):
                raise UsageError(
                    "an audience gets one text, and the message has placeholders: "
                    "say expand=true to make every promoter a recipient, or take them out"
                )
            routed = await decide_audience(channel, source, settings)
            if routed.rows is None:
                self._check_group_call()
            notices += routed.notices
        else:
            await in_thread(source.check, self._compiled.names, self._compiled.optional)
        advice: Advice | None = None
        if shown or not channel.pacer.configured:
            advice = await ask_advice(channel)
        notices += settle_pace(channel, advice)
        self._handle = handle = await self._journal.create(self._record)
        if channel.needs_tokens:
            self._tokens = RecipientTokens()
        planner = Planner(handle, channel, self._compiled, settings, self._tokens)
        suppression, left_out = None, list[str]()
        if routed is not None and routed.rows is None:
            await handle.add_audience_group(routed.record, routed.planned)
            described: dict[str, Any] = {"kind": "audience", "audience": routed.record}
        else:
            read_from = routed.rows if routed is not None else source
            assert read_from is not None
            assert not isinstance(read_from, Audience)
            if self._suppress is not None:
                # First of all: a list that cannot be understood is said before anybody is asked.
                suppression = SuppressionList(self._suppress, channel)
                await suppression.read(handle)
            await planner.read(read_from.batches(self._compiled.names, READ_SIZE))
            if suppression is not None:
                await suppression.check_keys(handle)
            if settings.resolve:
                notices += await resolve_ids(handle, channel)
            await planner.exclude(suppress=suppression is not None)
            if suppression is not None:
                left_out = suppression.notices(await handle.left_out())
            await make_groups(handle, channel, settings)
            notices += read_from.notices
            there = read_from.parameters | {"key"}
            notices += [said for name, said in self._compiled.braced.items() if name in there]
            said = await in_thread(read_from.describe)
            described = {**said, "digest": planner.digest, "rows": planner.rows}
        self._record.source = described
        notices += left_out
        self._record.warnings = list(
            dict.fromkeys([*channel.notices, *self._compiled.notices, *left_out])
        )
        singles, _ = await handle.plan_counts()
        notices += quota_notices(advice, singles)
        notices += day_notices(channel.pacer.day_limit, singles)
        self._plan = plan = await describe_plan(
            handle,
            channel,
            self._compiled,
            name=self._name,
            notices=notices,
            longest=planner.longest,
        )
        if settings.max_recipients is not None and plan.to_send > settings.max_recipients:
            raise UsageError(
                f"the plan would send to {plan.to_send} recipients, over the cap of "
                f"{settings.max_recipients} (max_recipients); nothing was sent"
            )
        return plan

    def _check_group_call(self) -> None:
        """Raises when somebody is to be left out of one call to a whole audience."""
        if self._suppress is not None:
            raise UsageError(GROUP_TO_ALL)
        if self._settings.only is not None:
            raise UsageError(
                "only: an audience that is sent to as one group has no keys to choose from: "
                "say expand=true, or give a list of recipients"
            )

    async def start(self) -> RunContext:
        """Makes the plan durable and gives it its name: from here on it may be sent."""
        assert self._handle is not None
        handle = self._handle
        self._channel.expect(self._settings.wanted_connections)
        self._record.planned_at = self._clock.time()
        await handle.seal(self._record, chunk_size=chunk_size(self._settings.concurrency))
        started = await RunContext.of(
            handle, self._channel, self._compiled, self._settings, self._tokens, self._journal
        )
        started.temporary = self._temporary
        if self._temporary:
            started.kept_path = None
        self._handle = self._tokens = None
        return started

    async def not_sent(self) -> AsyncIterator[Outcome]:
        """The rows that will not be sent, and why."""
        if self._handle is not None:
            async for page in self._handle.rows([State.FAILED, State.SKIPPED]):
                for outcome in page:
                    yield outcome

    async def discard(self) -> None:
        """Throws the plan away; nothing of it stays."""
        await close_all(self._handle, self._tokens)
        self._handle = self._tokens = None
        if self._temporary:
            self._journal.discard()
