"""Whether the channel has what every send needs, its access token first of all."""

from __future__ import annotations

import logging
from random import Random
from typing import Final

import anyio

from promomsg.channels.base import Channel
from promomsg.clock import Clock
from promomsg.engine.sending.brakes.backoff import backoff
from promomsg.engine.sending.decision import Halt
from promomsg.engine.sending.run_control import RunControl
from promomsg.engine.settings import RetryPolicy
from promomsg.errors import Halted, NotSent, UsageError
from promomsg.log_events import log_event
from promomsg.model import Code

__all__ = ["Readiness"]

log = logging.getLogger("promomsg.engine")

_LONGEST_HOLD: Final = 900.0
"""Seconds over which a provider may ask to wait, each time anew, until the campaign halts."""
_SHORTEST_HOLD: Final = 0.5


class Readiness:
    """Asked before recipients are intended, so that a wait here leaves nobody in doubt.

    A failure pauses, and as many in a row as a recipient has attempts halt. Where the provider
    asked to wait (45011 on the token call, a 429) that is no failure: its time is waited out, and
    only when it has asked for that again and again for a quarter of an hour the campaign halts.

    All senders of a run share it. One of them asks at a time, and the others wait for what it waits
    for: so the failures in a row are those of the channel, however many senders there are.

    Args:
        campaign: its name, for the log.

    Attributes:
        failure: why what a send needs could not be had when it was last asked for; empty when it
            could.
        held_until: monotonic seconds until which the provider asked to wait.
    """

    def __init__(
        self,
        channel: Channel,
        control: RunControl,
        policy: RetryPolicy,
        clock: Clock,
        rng: Random,
        campaign: str,
    ) -> None:
        self._channel = channel
        self._campaign = campaign
        self._control = control
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._one_at_a_time = anyio.Lock(fast_acquire=True)
        self._failures = 0
        self._held_since: float | None = None
        self.failure = ""
        self.held_until: float | None = None

    async def ready(self) -> bool:
        """True: send now. False: it waited, or halted; ask the control, then here again."""
        async with self._one_at_a_time:
            return not self._control.stopping and await self._ask()

    async def _ask(self) -> bool:
        try:
            await self._channel.prepare()
        except NotSent as error:
            await self._wait_or_halt(error)
            return False
        except Halted as error:
            # 45009 of the token call is a day's quota like any other's: it may be waited out.
            self._control.halt_or_wait(Halt(error.code, error.detail))
            return False
        except UsageError as error:
            self._control.stop(Halt(Code.CLIENT.value, str(error)))
            return False
        self._failures = 0
        self.failure = ""
        self._held_since = None
        return True

    async def _wait_or_halt(self, error: NotSent) -> None:
        if error.permanent:
            text = f"{error}; waiting does not help. Fix this, then resume"
            self._control.stop(Halt(Code.NOT_SENT, text))
            return
        if error.retry_after is not None:
            await self._hold(error, error.retry_after)
            return
        self._failures += 1
        if self._failures >= self._policy.attempts:
            self._control.stop(Halt(Code.NOT_SENT, f"{error}. Fix this, then resume"))
            return
        self.failure = str(error)
        seconds = backoff(self._failures, self._policy, self._rng.random())
        log_event(
            log,
            "not_ready",
            "%(campaign)s: nothing can be sent yet: %(detail)s; tried again in %(seconds).1f s",
            level=logging.WARNING,
            campaign=self._campaign,
            detail=self.failure,
            seconds=seconds,
        )
        await self._clock.sleep(seconds)

    async def _hold(self, error: NotSent, seconds: float) -> None:
        now = self._clock.monotonic()
        if self._held_since is None:
            self._held_since = now
        if now - self._held_since >= _LONGEST_HOLD:
            minutes = (now - self._held_since) / 60
            text = f"{error}; that is so for {minutes:.0f} minutes now: resume later"
            self._control.stop(Halt(error.code, text))
            return
        self.held_until = now + seconds
        try:
            await self._clock.sleep(max(seconds, _SHORTEST_HOLD))
        finally:
            self.held_until = None
