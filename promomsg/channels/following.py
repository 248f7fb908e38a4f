"""Following one group send to its end, for people without a campaign.

The rules are in `promomsg.delivery`. The engine's poller has the same loop over its journal.
"""

from __future__ import annotations

import msgspec

from promomsg.channels.base import Following
from promomsg.channels.read_retries import READ_TRIES, retry_read
from promomsg.clock import Clock
from promomsg.delivery import (
    EarlierFailures,
    PollPolicy,
    adds_up,
    is_complete,
    merge_failures,
    needs_failure_file,
    next_poll_in,
)
from promomsg.errors import Halted, NotFinished, PromoError
from promomsg.model import Delivery, Failure
from promomsg.transport.access_token import TOKEN_REFUSED

__all__ = ["follow", "poll_delivery"]


async def poll_delivery(channel: Following, msg_id: str, clock: Clock) -> Delivery:
    """One poll of a group send, tried again while its errors are transient.

    Raises:
        ProviderError, TransportError, Halted: see `retry_read`.
    """

    def is_transient(error: Exception) -> bool:
        # A refused token with no newer one yet: a poll does no harm twice, so it may try again.
        refused = isinstance(error, Halted) and error.code == TOKEN_REFUSED
        return refused or channel.is_transient(error)

    return await retry_read(
        lambda: channel.get_delivery(msg_id), clock, is_transient, tries=READ_TRIES
    )


async def follow(channel: Following, msg_id: str, policy: PollPolicy, clock: Clock) -> Delivery:
    """Polls one group send until it is done; its failures merged, its failure file fetched.

    Raises:
        ProviderError, TransportError: a poll failed time and again.
        NotFinished: `give_up_after` is over.
    """
    began = clock.monotonic()
    waited, before, at_100 = policy.first_wait, None, 0
    earlier = EarlierFailures()
    while True:
        delivery = await poll_delivery(channel, msg_id, clock)
        if is_complete(delivery, delivery.send_cnt or 0):
            at_100 += 1
            extra: tuple[Failure, ...] = ()
            warnings: tuple[str, ...] = ()
            if needs_failure_file(delivery) and delivery.fail_info_url is not None:
                try:
                    file = await channel.fetch_failures(
                        delivery.fail_info_url, delivery.send_cnt or 0
                    )
                    extra = file.failures
                    warnings = (file.warning,) if file.warning else ()
                except PromoError as error:
                    warnings = (f"group {msg_id}: the failure file could not be read: {error}",)
            merged = merge_failures(delivery, extra, delivery.send_cnt or 0, None, earlier.of(0))
            if adds_up(merged, at_100):
                return msgspec.structs.replace(
                    delivery, failures=merged.failures, warnings=(*merged.warnings, *warnings)
                )
            earlier.add(0, extra)
        earlier.add(0, delivery.failures)
        waited = next_poll_in(policy, waited=waited, percent=delivery.percent, before=before)
        before = delivery.percent
        if clock.monotonic() - began + waited > policy.give_up_after:
            raise NotFinished(
                f"group {msg_id} is at {delivery.percent} percent after "
                f"{clock.monotonic() - began:.0f} s; ask again later (results stay 7 days)"
            )
        await clock.sleep(waited)
