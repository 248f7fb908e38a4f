"""When the road is down: failures in a row, and one call at a time to find out when it is up again.

Without it an outage of some seconds would spend the retry budget of a whole campaign, 64 calls at
a time (DESIGN §3, Budgets).
"""

from __future__ import annotations

from random import Random

from promomsg.clock import Clock
from promomsg.engine.decide import backoff
from promomsg.engine.settings import RetryPolicy
from promomsg.model import Parcel

__all__ = ["Outage"]


class Outage:
    """Counts failures of the road, with no call getting through in between.

    On a channel that is not idempotent these are calls that sent nothing: one that may have been
    delivered is final there, and nothing is called again. On an idempotent one a lost answer is a
    failure like the others.
    """

    def __init__(self, policy: RetryPolicy, clock: Clock, rng: Random) -> None:
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._strikes = 0
        self._quiet_until = 0.0
        self._probe: Parcel | None = None

    @property
    def on(self) -> bool:
        """Whether the campaign probes with one call at a time."""
        return self._strikes >= self._policy.outage_after

    @property
    def hopeless(self) -> bool:
        """Whether as many probes in a row as a recipient has attempts have found no road."""
        return self._strikes - self._policy.outage_after >= self._policy.attempts

    def wait(self) -> float:
        """Seconds until the next probe may go; 0 or less: now."""
        return self._quiet_until - self._clock.monotonic()

    def probes(self, parcel: Parcel) -> None:
        """This call is the probe, if there is an outage."""
        if self.on:
            self._probe = parcel

    def failed(self, parcel: Parcel) -> None:
        """A call failed on the road. Of those that fail together, only the probe goes on counting."""
        if not self.on or parcel is self._probe:
            self._strikes += 1
            beyond = max(self._strikes - self._policy.outage_after, 0) + 1
            pause = backoff(beyond, self._policy, self._rng.random())
            self._quiet_until = self._clock.monotonic() + pause
        self._probe = None if parcel is self._probe else self._probe

    def through(self) -> None:
        """A call got through, whatever its answer."""
        self._strikes = 0
        self._probe = None
