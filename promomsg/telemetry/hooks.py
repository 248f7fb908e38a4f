"""Hooks: a class whose methods are told what happens, for metrics, traces and alarms of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from promomsg.errors import UsageError
from promomsg.telemetry.hook_events import (
    BreakerClosed,
    BreakerOpened,
    CallFinished,
    CampaignEnded,
    CampaignPlanned,
    CampaignStarted,
    HoldBegan,
    HoldEnded,
    HookEvent,
    JournalCommitted,
    OutcomesCounted,
    PlanningBegan,
    RunInfo,
    Sampled,
    TokenRefreshed,
)

__all__ = ["METHODS", "GivenHooks", "Hooks", "as_hooks", "overridden"]


class Hooks:
    """What happens in a campaign or a client, told as it happens: override what you want to know.

    ```python
    class Alarm(promomsg.Hooks):
        def hold_began(self, event):
            print("held for", event.seconds, "s")

    await promomsg.send(wechat, message, people, hooks=Alarm())
    ```

    Give an object (or a list of several) to `send` and `Campaign` for one campaign, or to a client for
    all that goes through it. Methods are called one after the other in a thread of the object's own, in
    the context (`contextvars`) in which the campaign was begun, so that they may block: no campaign
    waits for them, but at its end for two seconds at the most. What they raise is logged, once for each
    method, and counted; of more than 100,000 events that wait, new ones are dropped and counted.

    Nothing of a recipient (key, address, text) and no token is in an event: outcomes are streamed by
    `async for outcome in run`. A method that is not overridden costs nothing.

    Attributes:
        hooks_failed: calls of methods that raised.
        hooks_dropped: events that were dropped.
    """

    hooks_failed = 0
    hooks_dropped = 0

    def carry(self, run: RunInfo) -> dict[str, str]:
        """What is kept in the journal for whoever goes on with this campaign, in this process or
        another: a `traceparent`, say; nothing secret. It comes back in `RunInfo.carried`. Called once
        `planning_began` is over, in the event loop's thread: it has to return quickly."""
        return {}

    def planning_began(self, event: PlanningBegan) -> None:
        """Called when a campaign begins to be planned."""

    def campaign_planned(self, event: CampaignPlanned) -> None:
        """Called when its plan is complete."""

    def campaign_started(self, event: CampaignStarted) -> None:
        """Called when it begins to send."""

    def campaign_ended(self, event: CampaignEnded) -> None:
        """Called when the run is over, whatever it came to."""

    def call_finished(self, event: CallFinished) -> None:
        """Called after each call to the provider."""

    def outcomes_counted(self, event: OutcomesCounted) -> None:
        """Called when recipients became final, for many of them at once."""

    def hold_began(self, event: HoldBegan) -> None:
        """Called when the provider has asked for fewer calls."""

    def hold_ended(self, event: HoldEnded) -> None:
        """Called when calls go out again."""

    def token_refreshed(self, event: TokenRefreshed) -> None:
        """Called when there is a new access token."""

    def breaker_opened(self, event: BreakerOpened) -> None:
        """Called when the provider cannot be reached."""

    def breaker_closed(self, event: BreakerClosed) -> None:
        """Called when it answers again."""

    def journal_committed(self, event: JournalCommitted) -> None:
        """Called after each commit that sends waited for."""

    def sampled(self, event: Sampled) -> None:
        """Called once a second while a campaign runs."""


GivenHooks: TypeAlias = Hooks | Sequence[Hooks] | None
"""What `hooks=` takes: one, several, or none."""

METHODS: Final[dict[type[HookEvent], str]] = {
    PlanningBegan: "planning_began",
    CampaignPlanned: "campaign_planned",
    CampaignStarted: "campaign_started",
    CampaignEnded: "campaign_ended",
    CallFinished: "call_finished",
    OutcomesCounted: "outcomes_counted",
    HoldBegan: "hold_began",
    HoldEnded: "hold_ended",
    TokenRefreshed: "token_refreshed",
    BreakerOpened: "breaker_opened",
    BreakerClosed: "breaker_closed",
    JournalCommitted: "journal_committed",
    Sampled: "sampled",
}
"""The method that is told each event."""


def as_hooks(given: Any) -> tuple[Hooks, ...]:
    """What was given as `hooks=`: one object, several, or None.

    Raises:
        UsageError: something else is among it, or a method is a coroutine.
    """
    if given is None:
        return ()
    several = given if isinstance(given, Sequence) and not isinstance(given, Hooks) else [given]
    for hooks in several:
        if not isinstance(hooks, Hooks):
            what = hooks.__name__ if isinstance(hooks, type) else type(hooks).__name__
            raise UsageError(
                f"hooks: {what} is not a promomsg.Hooks object: make a class of it, and give one"
            )
        for name in (*METHODS.values(), "carry"):
            if inspect.iscoroutinefunction(getattr(hooks, name)):
                raise UsageError(
                    f"hooks: {type(hooks).__name__}.{name} is async; it is called in a thread: a plain def"
                )
    return tuple(several)


def overridden(hooks: Hooks, name: str) -> bool:
    """Whether a method does something."""
    method = getattr(hooks, name)
    return getattr(method, "__func__", method) is not getattr(Hooks, name)
