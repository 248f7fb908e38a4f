"""One open campaign on PostgreSQL: the contract's calls, in the two files of their phases."""

from __future__ import annotations

from promomsg.journal.plan_contract import KeptTokens
from promomsg.journal.postgres.frequency.capped_calls import CappedCalls
from promomsg.journal.postgres.planning_calls import PlanningCalls
from promomsg.journal.postgres.sealed.user_tokens import open_user_tokens
from promomsg.journal.postgres.sending_calls import SendingCalls

__all__ = ["PostgresHandle"]


class PostgresHandle(CappedCalls, PlanningCalls, SendingCalls):
    """See `promomsg.journal.contract.Handle`."""

    async def recipient_tokens(self, *, make: bool = False) -> KeptTokens | None:
        """See `Handle.recipient_tokens`: encrypted, where there is a key of the fleet."""
        return await open_user_tokens(
            self._access, self._record, planning=self._planning, make=make
        )

    async def close(self) -> None:
        """Lets go of the campaign; half a plan is thrown away."""
        try:
            await self._discard_half_plan()
        finally:
            await super().close()
