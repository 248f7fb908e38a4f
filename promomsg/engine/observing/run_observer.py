"""What hooks are told of a run while it sends: outcomes, holds, commits, and where it stands."""

from __future__ import annotations

from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

from promomsg.clock import Clock
from promomsg.engine.observing.observed_handle import ObservedHandle
from promomsg.journal.contract import Handle
from promomsg.journal.records import Counts
from promomsg.telemetry.hook_events import (
    CampaignEnded,
    CampaignStarted,
    HoldBegan,
    HoldEnded,
    JournalCommitted,
    OutcomesCounted,
    Sampled,
)
from promomsg.wakeup import Wakeup

if TYPE_CHECKING:
    from promomsg.engine.prepare.campaign_start import RunContext
    from promomsg.engine.report import Progress
    from promomsg.transport.quota.limiter import RateLimiter

__all__ = ["RunObserver"]

_EVERY: Final = 1.0
"""Seconds between two looks at a run."""
_FINAL: Final = ("sent", "failed", "unknown", "skipped", "cancelled")

Kind = Literal["single", "group"]


class _Watched(Protocol):
    """What is asked of a run."""

    @property
    def in_flight(self) -> int: ...

    @property
    def pending(self) -> int: ...


class RunObserver:
    """Tells the hooks of one run.

    Args:
        context: the run's; its handle is an observed one from here on.
        began_at: when the run's first event was, monotonic seconds.
    """

    def __init__(self, context: RunContext, clock: Clock, began_at: float) -> None:
        assert context.observers is not None
        self._observers = observers = context.observers
        self._clock = clock
        self._began_at = began_at
        self._by_counts = context.part is None
        self._counts = {name: getattr(context.counts, name) for name in _FINAL}
        self._own: dict[str, Any] = dict.fromkeys(_FINAL, 0)
        self._changed = Wakeup()
        observers.throttled = self._changed.set
        self._limiters: dict[Kind, RateLimiter] = {
            "single": context.channel.pacer.singles,
            "group": context.channel.pacer.groups,
        }
        self._held: dict[Kind, tuple[float, float]] = {}
        """Since when, and until when as it was seen last, by the clock that was passed in."""
        context.handle = cast(
            Handle, ObservedHandle(context.handle, self._committed, self._count_own)
        )
        self._at = {"at": 0.0, "run": observers.run}

    def _now(self) -> Any:
        """What every event has."""
        return {**self._at, "at": time()}

    def started(self, counts: Counts) -> None:
        """It begins to send."""
        self._observers.tell(
            CampaignStarted(**self._now(), planned=counts.planned, pending=counts.pending)
        )

    def ended(self, progress: Progress, error: BaseException | None) -> None:
        """It is over."""
        for kind in list(self._held):
            self._end_hold(kind, self._clock.monotonic())
        self._tell_own()
        state, code = progress.state, ""
        if error is not None:
            state, code = "failed", type(error).__name__
        elif state == "halted":
            code = progress.reason.partition(": ")[0]
        counts = {name: getattr(progress, name) for name in ("planned", *_FINAL, "pending")}
        self._observers.tell(
            CampaignEnded(
                **self._now(),
                state=state,
                code=code,
                **counts,
                seconds=monotonic() - self._began_at,
            )
        )

    def counted(self, counts: Counts) -> None:
        """The journal was asked how many are in each state."""
        if not self._by_counts:
            return  # others send too: what they sent is theirs to tell
        now = {name: getattr(counts, name) for name in _FINAL}
        more: dict[str, Any] = {name: now[name] - self._counts[name] for name in _FINAL}
        self._counts = now
        if any(more.values()):
            self._observers.tell(OutcomesCounted(**self._now(), **more))

    def _count_own(self, state: str, count: int) -> None:
        if state in self._own:
            self._own[state] += count

    def _tell_own(self) -> None:
        if not self._by_counts and any(self._own.values()):
            more, self._own = self._own, dict.fromkeys(_FINAL, 0)
            self._observers.tell(OutcomesCounted(**self._now(), **more))

    def _committed(self, what: Literal["intents", "results"], rows: int, seconds: float) -> None:
        if self._observers.want(JournalCommitted):
            self._observers.tell(
                JournalCommitted(**self._now(), what=what, rows=rows, seconds=seconds)
            )

    async def look(self, run: _Watched) -> None:
        """Looks at the run once a second, and when a hold begins or ends, until it is cancelled."""
        clock = self._clock
        sample_at = clock.monotonic()
        while True:
            now = clock.monotonic()
            self._look_at_holds(now)
            if now >= sample_at:
                sample_at = now + _EVERY
                self._tell_own()
                self._sample(run)
            ends = min((until for _, until in self._held.values()), default=inf)
            await self._changed.wait_for(max(min(sample_at, ends) - now, 0.001), clock)
            self._changed.clear()

    def _look_at_holds(self, now: float) -> None:
        for kind, limiter in self._limiters.items():
            until, held = limiter.held_until, self._held.get(kind)
            if held is not None and until is None:
                self._end_hold(kind, now)
            elif until is not None:
                if held is None:
                    self._observers.tell(HoldBegan(**self._now(), kind=kind, seconds=until - now))
                self._held[kind] = (now if held is None else held[0], until)

    def _end_hold(self, kind: Kind, now: float) -> None:
        since, _ = self._held.pop(kind)
        self._observers.tell(HoldEnded(**self._now(), kind=kind, seconds=now - since))

    def _sample(self, run: _Watched) -> None:
        singles = self._limiters["single"]
        if self._observers.want(Sampled):
            self._observers.tell(
                Sampled(
                    **self._now(),
                    in_flight=run.in_flight,
                    pending=run.pending,
                    rate=singles.rate,
                    used_today=getattr(singles, "used_today", None),
                    limit_today=singles.limit_today,
                )
            )
