"""Whether the provider can be reached, for all senders of one run: the circuit breaker and its probes.

Singles and groups share one circuit breaker. What is done while it is open:

1. Calls in flight finish; recipients that are intended and not called go back to pending.
2. The outage is written into the journal (`save`) before another send is risked: a run after this
   one begins where this one stopped, even after a kill.
3. A sender waits in `acquire_probe`: for the pause, then for the reads that have to come first. One
   sender at a time acquires the probe, the one call that may be made. A single send goes before a
   group send, which would put all its members in doubt.
4. The sender that has the probe makes its call, or gives the probe back (`drop`). `watch` tells the
   circuit breaker the answer, and wakes the other senders.
5. The outage ends with a readable answer of a send, or with a halt that leaves the rest pending.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import anyio

from promomsg.channels.base import Channel, Probing
from promomsg.clock import Clock
from promomsg.engine.sending.brakes.circuit_breaker import CircuitBreaker
from promomsg.engine.sending.decision import Halt
from promomsg.engine.sending.run_control import RunControl
from promomsg.engine.settings import Settings
from promomsg.errors import PromoError, ProviderError
from promomsg.journal.contract import Handle
from promomsg.log_events import log_event
from promomsg.model import Answer, Code, Verdict
from promomsg.states import GroupState
from promomsg.telemetry.in_force import in_force

__all__ = ["Reachability"]

log = logging.getLogger("promomsg.engine")


def _is_unreachable(answer: Answer) -> bool:
    """Whether a send's answer says nothing of its recipient, only that the provider cannot be reached."""
    return not answer.readable or (answer.verdict is Verdict.RETRY and not answer.token_failed)


def _halts_by_itself(answer: Answer) -> bool:
    """Whether the call was not made, for a reason that the provider has no part in: a closed client."""
    halt = answer.verdict is Verdict.HALT
    return halt and (answer.code == Code.CLIENT or not answer.readable)


class Reachability:
    """One run's view of the provider.

    Attributes:
        breaker: see `CircuitBreaker`.
        singles_left: whether the dispatcher has, or may get, somebody to send to: then a probe is
            a single send, since a group would put all its members in doubt.
        groups_out: group sends that were admitted and not released yet.
        group_calls: of these, how many calls are in flight.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        settings: Settings,
        control: RunControl,
        *,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._control = control
        self._clock = clock
        self._attempts = settings.retry.attempts
        self._saved = handle.record.outage
        self.breaker = CircuitBreaker(
            settings.retry,
            clock,
            rng,
            concurrency=settings.concurrency,
            reads=channel.probes_by_reading,
            idempotent=channel.idempotent,
            outage=self._saved,
        )
        self.singles_left = True
        self._singles_out: Callable[[], int] = lambda: 0
        self._singles_to_go: Callable[[], int | None] = lambda: None
        self.groups_out = 0
        self.group_calls = 0
        self._reads = 0
        self._wake_singles: Callable[[], None] = lambda: None
        self._changed = anyio.Event()
        self._last_failure = Answer(Verdict.UNKNOWN, Code.NO_ANSWER, readable=False)

    def attach_singles(
        self,
        *,
        out: Callable[[], int],
        to_go: Callable[[], int | None],
        changed: Callable[[], None],
    ) -> None:
        """The dispatcher takes part.

        Args:
            out: how many singles are intended and not settled yet.
            to_go: how many are left to be called for the first time; None: more than it knows of.
            changed: called whenever a sender that waits should look again.
        """
        self._singles_out, self._singles_to_go = out, to_go
        self._wake_singles = changed

    def wake(self) -> None:
        """Something changed: everybody who waits looks again."""
        event, self._changed = self._changed, anyio.Event()
        event.set()
        self._wake_singles()

    def finish_singles(self) -> None:
        """The dispatcher has no recipient left: a group send may be the probe now."""
        self.singles_left = False
        self.wake()

    # What calls came to.

    def watch(
        self, call: object, answer: Answer, *, in_doubt: bool, number: int, group: bool = False
    ) -> None:
        """What a send's answer says of the provider, whatever it says of its recipient.

        Args:
            in_doubt: its outcome is unknown by it.
            number: the call's, by `CircuitBreaker.begun`.
            group: it was a group send.
        """
        if _halts_by_itself(answer):
            self.drop(call)
        elif _is_unreachable(answer):
            if not self._are_the_last_few(answer):
                self._record_failure(call, answer, in_doubt=in_doubt, group=group)
        else:
            was_open = self.breaker.is_open
            if self.breaker.record_success(call, number):
                self.wake()
            if was_open and not self.breaker.is_open:
                log_event(
                    log,
                    "breaker.closed",
                    "%(campaign)s: %(base_url)s answers again",
                    campaign=self._handle.record.name,
                    base_url=self._channel.base_url,
                )
                if (observers := in_force()) is not None:
                    observers.breaker_closed()

    def _are_the_last_few(self, answer: Answer) -> bool:
        """Whether so few singles are left that no more than these can be lost: where a lost answer
        may be asked for again, they have their own attempts, and end `unknown` when those are
        spent. One whose outcome never comes must not halt the campaign for all who are done."""
        if not self._channel.idempotent or answer.verdict is not Verdict.UNKNOWN:
            return False
        to_go = self._singles_to_go()
        return not self.breaker.is_open and to_go is not None and to_go <= self._attempts

    def _record_failure(self, call: object, answer: Answer, *, in_doubt: bool, group: bool) -> None:
        """Counts a send that did not reach the provider; halts after the last one worth trying."""
        self._last_failure = answer
        breaker = self.breaker
        if breaker.record_failure(call, in_doubt=int(in_doubt), group=group):
            log_event(
                log,
                "breaker.opened",
                "%(base_url)s cannot be reached (%(code)s): one call at a time from now on",
                level=logging.WARNING,
                campaign=self._handle.record.name,
                base_url=self._channel.base_url,
                code=str(answer.code),
            )
            if (observers := in_force()) is not None:
                observers.breaker_opened(str(answer.code))
        if breaker.exhausted:
            self._halt()
        if breaker.is_open:
            self.wake()

    def record_poll(self, error: PromoError | None) -> None:
        """Takes a poll's result. One without a readable answer is not counted: only sends and probes
        can open the circuit or use it up."""
        if error is None or (
            isinstance(error, ProviderError) and error.verdict is not Verdict.UNKNOWN
        ):
            self.breaker.record_read(True)
            if self.breaker.is_open:
                self.wake()

    @property
    def has_saved_outage(self) -> bool:
        """Whether the journal says that there is an outage."""
        return self._saved is not None

    async def save(self) -> None:
        """Writes the outage, or that there is none, into the journal for a later run."""
        outage = self.breaker.outage
        if outage == self._saved:
            return
        self._saved = outage
        await self._handle.keep_outage(outage)
        if outage is not None:
            await self._handle.warn(
                f"{self._channel.base_url} could not be reached for a while: whoever was being "
                "sent to then may be unknown"
            )

    # Who may send while the circuit is open.

    async def acquire_probe(self, call: object, *, group: bool = False) -> bool:
        """While the circuit is open: waits for the pause, and reads where there is a read.

        Args:
            call: who would send.
            group: it is a group send.

        Returns:
            True: `call` is the probe now, and has to be sent, or dropped with `drop`. False: look
            again, something may have changed.
        """
        breaker = self.breaker
        with anyio.CancelScope(shield=True):
            await self.save()
        if breaker.exhausted:
            self._halt()
            return False
        quiet = breaker.wait()
        if quiet > 0 or breaker.probing:
            await self._wait_for_change(quiet if quiet > 0 else None)
            return False
        if breaker.is_open and breaker.wants_read(group=group):
            await self._read()
            return False
        if breaker.is_open:
            breaker.mark_probe(call)
        return True

    def drop(self, call: object) -> None:
        """Gives the probe back: `call` was not made."""
        if self.breaker.is_probe(call):
            self.breaker.drop_probe(call)
            self.wake()

    async def admit_group(self, call: object) -> bool:
        """Waits until a group send may go out; returns as `acquire_probe`. After True it counts as out
        until `release_group`."""
        breaker = self.breaker
        singles = self._singles_out()
        if breaker.is_open:
            if self.singles_left or singles or self.group_calls:
                await self._wait_for_change(None)
                return False
            if not await self.acquire_probe(call, group=True):
                return False
        elif breaker.limited and singles + self.groups_out >= breaker.limit:
            await self._wait_for_change(None)
            return False
        self.groups_out += 1
        return True

    def may_go(self, call: object) -> bool:
        """Whether an admitted group may go out after all that it waited for."""
        return not self.breaker.is_open or self.breaker.is_probe(call)

    @contextmanager
    def group_call(self) -> Iterator[None]:
        """Around a group's call, from its first byte to its answer."""
        self.group_calls += 1
        try:
            yield
        finally:
            self.group_calls -= 1

    def release_group(self, call: object) -> None:
        """Ends what `admit_group` began: the group was sent, or will not be now."""
        self.groups_out -= 1
        self.drop(call)
        if self.breaker.limited or self.breaker.is_open:
            self.wake()

    async def _wait_for_change(self, seconds: float | None) -> None:
        changed = self._changed
        if seconds is None:
            await changed.wait()
            return
        async with anyio.create_task_group() as race:
            race.start_soon(self._set_after, seconds, changed)
            await changed.wait()
            race.cancel_scope.cancel()

    async def _set_after(self, seconds: float, changed: anyio.Event) -> None:
        await self._clock.sleep(seconds)
        # One that stayed set would let whoever waits next turn in circles until the next `wake`.
        if self._changed is changed:
            self._changed = anyio.Event()
        changed.set()

    async def _read(self) -> None:
        """One read as the probe."""
        call = object()
        breaker = self.breaker
        breaker.mark_probe(call)
        try:
            probing: Probing = self._channel  # type: ignore[assignment] # `probes_by_reading`
            answer = await probing.probe(self._reads, await self._open_group())
        except Exception as error:  # noqa: BLE001 - a bug in a read must not end the campaign
            answer = Answer(
                Verdict.UNKNOWN,
                Code.NO_ANSWER,
                f"a read ended in {type(error).__name__}",
                readable=False,
            )
        finally:
            breaker.drop_probe(call)
        self._reads += 1
        if _halts_by_itself(answer):
            self._control.stop(Halt(answer.code, answer.detail))
            return
        if not answer.readable:
            self._last_failure = answer
        breaker.record_read(answer.readable, call)
        self.wake()

    async def _open_group(self) -> str | None:
        """The msg_id of a group send that the provider can be asked about; None: there is none."""
        for group in await self._handle.groups() if self._channel.groups else ():
            if group.state is GroupState.ACCEPTED and group.msg_id is not None:
                return group.msg_id
        return None

    def _halt(self) -> None:
        """Stops the campaign; a later run finds the outage in the journal and looks first."""
        breaker, where = self.breaker, self._channel.base_url
        text = f"{where} cannot be reached: "
        if breaker.probes:
            count = "1 probe" if breaker.probes == 1 else f"{breaker.probes} probes in a row"
            last = self._last_failure.detail.removeprefix(f"{where}: ") or self._last_failure.code
            text += f"{count} failed, the last one: {last}"
        else:
            text += "nobody was tried now"
        if breaker.in_doubt:
            text += f"; sends of this outage that are in doubt: {breaker.in_doubt}"
        if breaker.spent:
            text += (
                ", as many as one may cost. When you know that it is back, resume with "
                "--provider-is-back (provider_is_back=True)"
            )
        else:
            text += ". Fix this, then resume: it looks before it sends"
        self._control.stop(Halt(self._last_failure.code, text))
