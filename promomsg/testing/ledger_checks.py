"""What the sandbox's ledger says, as assertions whose failure can be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from promomsg.engine.report import Report
from promomsg.model import State
from promomsg.sandbox import Ledger

__all__ = ["LedgerChecks"]

_SHOWN: Final = 10
"""How many addresses a failure names."""


class LedgerChecks:
    """Assertions on what was really delivered; each names who is concerned.

    Args:
        ledger: the sandbox's.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def reached_once(self, *addresses: str) -> None:
        """Each of these got exactly one message.

        Args:
            addresses: ids, openids, unionids, or a wallet's user tokens.

        Raises:
            AssertionError: who got none, or more than one.
        """
        got = {address: self.ledger.deliveries(address) for address in addresses}
        none = [address for address, times in got.items() if times == 0]
        more = [f"{address} ({times} times)" for address, times in got.items() if times > 1]
        _fail_if(none, "got no message")
        _fail_if(more, "got more than one message")

    def reached_only(self, *addresses: str) -> None:
        """These got exactly one message each, and nobody else any.

        Raises:
            AssertionError: who got none, more than one, or one that was not meant for them.
        """
        self.reached_once(*addresses)
        meant = set(addresses)
        others = [address for address in self.ledger.delivered if address not in meant]
        _fail_if(others, "got a message and was not among those who should")

    def reached_nobody(self, *addresses: str) -> None:
        """None of these got a message; without arguments: nobody did.

        Raises:
            AssertionError: who did.
        """
        reached = list(self.ledger.delivered)
        if addresses:
            reached = [address for address in addresses if self.ledger.deliveries(address)]
        _fail_if(reached, "got a message")

    def nobody_twice(self) -> None:
        """Nobody got more than one message.

        Raises:
            AssertionError: who did.
        """
        _fail_if(
            [f"{one} ({self.ledger.deliveries(one)} times)" for one in self.ledger.twice()],
            "got more than one message",
        )

    def agrees_with(self, report: Report) -> None:
        """Every outcome of a WeChat campaign is true: who is `sent` was reached, once; who is `failed`,
        `skipped`, `cancelled` or `pending` was not. Who is `unknown` may have been.

        A report keeps no user token, by which a wallet's users are in the ledger: of a wallet's
        campaign it is only said that nobody was reached twice.

        Raises:
            AssertionError: whose outcome is not what happened.
        """
        self.nobody_twice()
        missing: list[str] = []
        reached: list[str] = []
        for outcome in report.outcomes():
            recipient = outcome.recipient
            addresses = [one for one in (recipient.id, recipient.openid, recipient.unionid) if one]
            if not addresses:
                continue
            times = sum(map(self.ledger.deliveries, addresses))
            if outcome.state is State.SENT and not times:
                missing.append(f"{recipient.key}")
            elif outcome.state not in (State.SENT, State.UNKNOWN) and times:
                reached.append(f"{recipient.key} ({outcome.state})")
        _fail_if(missing, "is sent in the report and got no message")
        _fail_if(reached, "got a message and is something else in the report")


def _fail_if(found: Iterable[str], what: str) -> None:
    named = list(found)
    if named:
        more = f" and {len(named) - _SHOWN:,} more" if len(named) > _SHOWN else ""
        raise AssertionError(f"{', '.join(named[:_SHOWN])}{more}: {what}")
