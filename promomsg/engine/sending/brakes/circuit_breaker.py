"""Whether the provider can be reached: failures in a row, and one call at a time to find out when it
can again.

Pure: answers in, decisions out; the clock and the randomness are passed in. Without it a gateway
that answers everything with a page of its own would make a whole list `unknown` at full pace, 64
calls at a time (docs/design.md, "A provider that cannot be reached").

- Closed: as many calls at once as the campaign has. At the start of a run only a few, until the
  first readable answer.
- Open, after three calls in a row that failed on the connection or were answered unreadably, or
  after one that lost a group: one call at a time, the probe, with pauses that double in between (a
  circuit breaker that lets single calls through is also called half-open; there is no open state
  without probes here). A probe is a read where the channel has one, and a send once a read was
  answered. After eight that failed it is `exhausted`, and the campaign halts.
- Closed again, by a readable answer of a send: one call more at once for each such answer, so that
  a provider that answers only some calls costs a few recipients and not another 64.

A run that follows one which never saw the end of an outage begins open, so that its first call is a
probe, and the sends of that outage whose outcome is unknown stay counted: in all runs together an
outage leaves no more of them than `may_risk` says.
"""

from __future__ import annotations

from random import Random
from typing import Final

from promomsg.clock import Clock
from promomsg.engine.sending.brakes.backoff import backoff
from promomsg.engine.settings import RetryPolicy
from promomsg.journal.records import Outage

__all__ = ["CircuitBreaker"]

_FIRST_LIMIT: Final = 4
"""Calls at once in a run until the first readable answer
(docs/design.md, "A provider that cannot be reached")."""


class CircuitBreaker:
    """Counts calls that did not reach the provider, with no readable answer in between.

    Args:
        concurrency: calls at once when all is well.
        reads: whether there are reads to probe with; else each probe is a send.
        idempotent: a lost answer may be asked for again with the same key, so that nobody ends in
            doubt: what may be risked is not bounded then.
        outage: the one that an earlier run of this campaign left behind; None for none.

    Attributes:
        is_open: one call at a time.
        calm: a readable answer of a send would change nothing: the usual case, for a quick look.
        limited: at most `limit` calls at once; else as many as the campaign has.
        begun: sends whose first byte has left in this run; each has its number from here.
        in_doubt: sends of this outage whose outcome is unknown, those of earlier runs included.
        probes: probes in a row that failed.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        clock: Clock,
        rng: Random,
        *,
        concurrency: int,
        reads: bool,
        idempotent: bool,
        outage: Outage | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._concurrency = concurrency
        self._reads = reads
        self._idempotent = idempotent
        self._from_earlier_run = outage is not None
        self._no_read_yet = reads and outage is None
        self._read_answered = False
        self._given_up = False
        self._failures = 0
        self._next_probe_at = 0.0
        self._probe: object | None = None
        self._growing = False
        self.begun = 0
        self._begun_before = 0
        """`begun` at the first failure of those that are counted."""
        self.since = 0.0 if outage is None else outage.since
        self.in_doubt = 0 if outage is None else outage.in_doubt
        self.probes = 0
        self.is_open = outage is not None
        self.limit = min(_FIRST_LIMIT, concurrency)
        self.limited = self.limit < concurrency
        self.calm = not (self.is_open or self.limited)

    @property
    def exhausted(self) -> bool:
        """Whether enough was tried: the campaign halts, to be resumed when the provider answers."""
        return self.is_open and (
            self._given_up or self.probes >= self._policy.attempts or not self.may_risk
        )

    @property
    def may_risk(self) -> bool:
        """Whether one more send may end in doubt.

        In all at most `concurrency` and as many as a recipient has attempts; the run in which the
        outage began leaves half of these to the runs after it, which have to find out that it is
        over: a reading that succeeds may not tell (a gateway that bars sends alone).
        """
        spare = self._policy.attempts if self._from_earlier_run else self._policy.attempts // 2
        return self._idempotent or self.in_doubt < self._concurrency + spare

    @property
    def spent(self) -> bool:
        """Whether no later run may risk anybody either, unless a person says that it is over."""
        most = self._concurrency + self._policy.attempts
        return self.is_open and not self._idempotent and self.in_doubt >= most

    @property
    def probing(self) -> bool:
        """Whether a probe is on its way."""
        return self._probe is not None

    def wants_read(self, *, group: bool = False) -> bool:
        """Whether the next probe has to be a read.

        The last one of the run in which the outage began is a send when no read has worked: reads
        are only advice, and where they never work they must not hold the sends up for ever.

        Args:
            group: the send would be a group send, which a lost answer costs many recipients: never
                without a read before it.
        """
        if not self._reads or self._read_answered:
            return False
        return group or not (self._no_read_yet and self.probes == self._policy.attempts - 1)

    def wait(self) -> float:
        """Seconds until the next probe may go; 0 or less: now."""
        return self._next_probe_at - self._clock.monotonic()

    def mark_probe(self, call: object) -> None:
        """This call is the probe."""
        self._probe = call

    def is_probe(self, call: object) -> bool:
        """Whether it is."""
        return self._probe is call

    def drop_probe(self, call: object) -> None:
        """It was not made after all."""
        if self._probe is call:
            self._probe = None

    def record_success(self, call: object = None, number: int = 0) -> bool:
        """A send had a readable answer, whatever it said. Returns whether that changed anything.

        Args:
            number: the send's (`begun`); 0: not known. A slow answer to one that had left
                before the first failure does not show that the outage is over: who is in doubt by
                it stays counted, or each such answer would let more people into it.
        """
        if self.calm:
            return False
        self.drop_probe(call)
        if not number or number > self._begun_before:
            self.in_doubt = 0
        elif self.is_open and not self.may_risk:
            return False
        self._failures = self.probes = 0
        self._read_answered = self._given_up = self._from_earlier_run = False
        self._no_read_yet = self._reads
        if self.is_open:
            self.is_open = False
            self._growing = self.limited = True
            self.limit = 1
        if self.limited:
            # Growing: one more for each answer, which doubles with each round of calls.
            grown = self.limit + 1 if self._growing else self._concurrency
            self.limit = min(grown, self._concurrency)
            self.limited = self.limit < self._concurrency
        self.calm = not (self.limited or self.in_doubt)
        return True

    def record_failure(self, call: object, *, in_doubt: int = 0, group: bool = False) -> bool:
        """A send failed on the connection or was answered unreadably.

        Args:
            in_doubt: 1 when its outcome is unknown now (of a group: the call counts once).
            group: it was a group send, which opens the circuit when its answer is lost (`in_doubt`),
                and which is not tried again in this run when it was the probe.

        Returns whether the circuit opened by it.
        """
        if not (self._failures or self.in_doubt or self.is_open):
            self._begun_before = self.begun
        self.in_doubt += in_doubt
        self.calm = False
        if not self.is_open:
            self._failures += 1
            # One lost group is as many recipients as an outage may cost: no other before a read.
            if self._failures < self._policy.outage_after and not (group and in_doubt):
                return False
            self.is_open = True
            self.since = self._clock.time()
            self._probe = None
            self._read_answered = False
            self._pause()
            return True
        if self._probe is call:
            # Of calls that fail together, only the probe is counted.
            self._probe = None
            self._read_answered = self._no_read_yet = False
            self._given_up = bool(in_doubt) and (
                group or (self._from_earlier_run and not self._idempotent)
            )
            self.probes += 1
            self._pause()
        return False

    def record_read(self, readable: bool, call: object = None) -> None:
        """Takes the result of a read: a probe, or a poll of a group (`call` None), which is counted
        only when it was answered."""
        self.drop_probe(call)
        if not self.is_open:
            return
        if readable:
            self._read_answered, self._no_read_yet = True, False
        elif call is not None:
            self.probes += 1
            self._pause()

    @property
    def outage(self) -> Outage | None:
        """What a later run has to know; None when all is well."""
        if not self.is_open:
            return None
        return Outage(since=self.since, in_doubt=self.in_doubt)

    def _pause(self) -> None:
        pause = backoff(self.probes + 1, self._policy, self._rng.random())
        self._next_probe_at = self._clock.monotonic() + pause
