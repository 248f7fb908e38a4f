"""The beginning of a run, and a plan that is not sent, as hooks are told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import monotonic, time
from typing import Literal

from promomsg.channels.base import Channel
from promomsg.engine.prepare.plan import Plan
from promomsg.telemetry.hook_events import (
    CampaignEnded,
    CampaignPlanned,
    PlanningBegan,
    RunInfo,
)
from promomsg.telemetry.hooks import Hooks
from promomsg.telemetry.observed_calls import server_of
from promomsg.telemetry.observers import Observers

__all__ = ["ObservedStart"]


class ObservedStart:
    """A run before its first call.

    Args:
        hooks: one at the least.
        kind, name: of the run, and the campaign's.
        carried: see `RunInfo`.

    Attributes:
        observers: who is told.
        began_at: monotonic seconds.
    """

    def __init__(
        self,
        hooks: tuple[Hooks, ...],
        channel: Channel,
        kind: Literal["new", "resume", "retry", "part"],
        name: str,
        carried: Mapping[str, str],
    ) -> None:
        run = RunInfo(
            id=os.urandom(8).hex(),
            campaign=name,
            kind=kind,
            channel=channel.name,
            server=server_of(channel.base_url),
            carried=dict(carried),
        )
        self.observers = Observers(hooks, run)
        self.began_at = monotonic()
        self.observers.tell(PlanningBegan(at=time(), run=run))

    def planned(self, plan: Plan) -> None:
        """The plan is complete."""
        self.observers.tell(
            CampaignPlanned(
                at=time(),
                run=self.observers.run,
                singles=plan.singles,
                groups=len(plan.groups),
                to_send=plan.to_send,
                seconds=monotonic() - self.began_at,
            )
        )

    def not_sent(self, state: str, code: str = "") -> None:
        """The run is over, and nothing was sent in it."""
        self.observers.tell(
            CampaignEnded(
                at=time(),
                run=self.observers.run,
                state=state,
                code=code,
                seconds=monotonic() - self.began_at,
            )
        )
