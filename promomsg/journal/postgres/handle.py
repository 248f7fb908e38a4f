"""One open campaign on PostgreSQL: the contract's calls, in the two files of their phases."""

from __future__ import annotations

from promomsg.journal.postgres.planning_calls import PlanningCalls
from promomsg.journal.postgres.sending_calls import SendingCalls

__all__ = ["PostgresHandle"]


class PostgresHandle(PlanningCalls, SendingCalls):
    """See `promomsg.journal.contract.Handle`."""

    async def close(self) -> None:
        """Lets go of the campaign; half a plan is thrown away."""
        try:
            await self._discard_half_plan()
        finally:
            await super().close()
