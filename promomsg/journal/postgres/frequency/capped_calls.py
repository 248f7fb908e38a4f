"""A cap on messages per person over the campaigns of a database: see `CapCounter`."""

from __future__ import annotations

from contextlib import suppress

from promomsg.errors import JournalError
from promomsg.journal.frequency.cap_contract import MessageCap, OverCap, over_cap_reason
from promomsg.journal.postgres.frequency import account_count
from promomsg.journal.postgres.open_campaign import OpenCampaign
from promomsg.journal.postgres.planning.planned_rows import look_at_all
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.url_origins import origin

__all__ = ["CappedCalls"]


class CappedCalls(OpenCampaign):
    """The calls of `promomsg.journal.contract.Handle` that count messages."""

    _holds_cap = False

    def _account(self) -> account_count.CountedAccount:
        record = self._record
        return account_count.CountedAccount(record.channel, record.account, origin(record.base_url))

    async def hold_cap(self) -> bool:
        """See `CapCounter.hold_cap`: on the connection that completes the plan, so that who has lost it has
        lost both."""
        if not self._holds_cap:
            self._holds_cap = await self._access.session(account_count.hold, self._account())
        return self._holds_cap

    async def release_cap(self) -> None:
        """See `CapCounter.release_cap`."""
        if self._holds_cap:
            self._holds_cap = False
            with suppress(JournalError):  # what is held goes with a connection that is lost
                await self._access.session(account_count.release, self._account())

    async def skip_over_cap(self, cap: MessageCap, *, smallest_group: int, at: float) -> OverCap:
        """See `CapCounter.skip_over_cap`: all of it in one transaction."""
        planning, held, account = self._planning, self._holds_cap, self._account()
        reason = over_cap_reason(cap)

        async def skip(tx: Transaction) -> tuple[int, int]:
            if held:
                await account_count.check_held(tx, account)
            if planning:
                await look_at_all(tx)
            elif not await account_count.is_left_alone(tx):
                return 0, 0
            await account_count.keep_counted(tx, at)
            await account_count.begin_count(tx)
            campaigns = await account_count.count_messages(tx, account, cap.since)
            if planning:
                return await account_count.skip_planned_over(
                    tx, cap.most, reason, smallest_group
                ), campaigns
            return await account_count.skip_over(
                tx, cap.most, reason, smallest_group, at
            ), campaigns

        skipped, campaigns = await self._access.session(skip)
        self._added.changed = self._added.changed or bool(skipped)
        return OverCap(skipped, campaigns, "this database")

    async def is_cap_counted(self, since: float) -> bool:
        """See `CapCounter.is_cap_counted`."""
        return await self._access.read(account_count.is_counted, since)
