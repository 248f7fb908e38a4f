"""Which accounts a worker sends for: a row in the database never says where a secret goes.

A campaign's row names a channel, an account and a base URL. They are looked up among the accounts that
the worker was given itself; the URL and the secret of a call are always the worker's own
(docs/fleet.md, "Which accounts a worker sends for").
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, Protocol, Self

import msgspec

from promomsg.argument_checks import check_channel
from promomsg.channels.base import Channel
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.errors import UsageError
from promomsg.journal.records import CampaignRecord
from promomsg.transport.pace import Pace
from promomsg.url_origins import on_this_machine, origin

__all__ = ["AccountKey", "AccountMissing", "Accounts", "GivenChannels", "PacesOfCampaigns"]

_COMES_BACK_IN: Final = 60.0
"""Seconds for which the pace of a campaign that made room for others holds while nobody sends it here."""


class AccountMissing(UsageError):
    """This worker cannot send a campaign: it has not got the account, or lacks a secret of it.

    The text is one line with the campaign, the account, what is missing and how to mend it.
    """


class AccountKey(NamedTuple):
    """What a campaign's row is looked up by.

    Attributes:
        channel: `"wechat"` or `"alipay"`.
        account: as `Channel.account` has it.
        origin: scheme, host and port of the base URL.
    """

    channel: str
    account: str
    origin: str

    @classmethod
    def of_record(cls, record: CampaignRecord) -> Self:
        """Of a campaign in a journal."""
        return cls(record.channel, record.account, origin(record.base_url))

    @classmethod
    def of_channel(cls, channel: Channel) -> Self:
        """Of an open client."""
        return cls(channel.name, channel.account, origin(channel.base_url))

    def is_for(self, asked: AccountKey) -> bool:
        """Whether a campaign that asks for an account may have this one: it is the same, at the same
        server. Ports of this machine are one server: a sandbox has another port each time."""
        if (self.channel, self.account) != (asked.channel, asked.account):
            return False
        return self.origin == asked.origin or (
            on_this_machine(self.origin) and on_this_machine(asked.origin)
        )

    def __str__(self) -> str:
        return f"{self.channel} account {self.account} at {self.origin or 'an unknown host'}"


class Accounts(Protocol):
    """The accounts of one worker."""

    async def channel(self, record: CampaignRecord, pace: Pace | None) -> Channel:
        """The open channel of a campaign's account: one for all of its campaigns, opened at the first.

        Args:
            record: the campaign's.
            pace: the pace that its plan was made with; an account with a pace of its own keeps that.
                None: nothing is sent of it now.

        Raises:
            AccountMissing: this worker has not got the account, or lacks a secret of it.
        """
        ...

    def not_sent_here(self, record: CampaignRecord, *, comes_back: bool = False) -> None:
        """A campaign is not sent here any more, or not for now: its pace holds for no other.

        Args:
            comes_back: it made room for others, and will soon be sent on: its pace holds until then, unless
                that takes long.
        """
        ...

    def forget_old_paces(self) -> None:
        """Called every few seconds: of campaigns that did not come back."""
        ...

    async def close(self) -> None:
        """Closes every channel that it has opened."""
        ...


class GivenChannels:
    """Channels that the caller has opened, and closes.

    Args:
        channels: one an account.

    Raises:
        UsageError: there is none, one of them is no channel, or two are of one account.
    """

    def __init__(self, *channels: Channel) -> None:
        if not channels:
            raise UsageError(
                "a worker without channels sends nothing: give a promomsg.WeChatPromoter(…) or an "
                "AlipayMiniProgram(…) for each account"
            )
        self._channels: dict[AccountKey, Channel] = {}
        for channel in channels:
            check_channel(channel, "fleet.work(channel, …)")
            key = AccountKey.of_channel(channel)
            if key in self._channels:
                raise UsageError(f"two channels are of the {key}: give one")
            self._channels[key] = channel
        self._paces = PacesOfCampaigns()

    def __repr__(self) -> str:
        return f"GivenChannels({', '.join(map(str, self._channels))})"

    async def channel(self, record: CampaignRecord, pace: Pace | None) -> Channel:
        """See `Accounts.channel`."""
        asked = AccountKey.of_record(record)
        channel = self._channels.get(asked) or next(
            (found for key, found in self._channels.items() if key.is_for(asked)), None
        )
        if channel is None:
            raise AccountMissing(
                f"campaign {record.name!r}: this worker has no channel of the {asked}; give it one"
            )
        self._paces.ask(channel, record.run_id, pace)
        return channel

    def not_sent_here(self, record: CampaignRecord, *, comes_back: bool = False) -> None:
        """See `Accounts.not_sent_here`."""
        self._paces.has_stopped(record.run_id, comes_back=comes_back)

    def forget_old_paces(self) -> None:
        """See `Accounts.forget_old_paces`."""
        self._paces.forget_old()

    async def close(self) -> None:
        """Nothing: they are the caller's."""


class _AskedPace(NamedTuple):
    """The pace of a campaign, and until when it holds (monotonic); without an end while it is sent."""

    pace: Pace
    until: float = math.inf


class PacesOfCampaigns:
    """Sets the pace of an account that has several campaigns: the smaller of each quota holds, as long
    as the campaign that brought it is sent here."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._asked: dict[int, dict[str, _AskedPace]] = {}
        self._set: dict[int, Pace] = {}
        self._channels: dict[int, Channel] = {}

    def ask(self, channel: Channel, run_id: str, pace: Pace | None) -> None:
        """Notes the pace of a campaign that is sent from now on. What the channel was opened with stays.

        Args:
            channel: the account's; the same object each time.
            run_id: the campaign's.
            pace: its; None: it says nothing.
        """
        if pace is None:
            return
        self._channels[id(channel)] = channel
        self._asked.setdefault(id(channel), {})[run_id] = _AskedPace(pace)
        self.forget_old()
        self._configure(channel)

    def has_stopped(self, run_id: str, *, comes_back: bool = False) -> None:
        """A campaign is not sent for now: the pace of those that are left holds. The last one's stays."""
        until = self._clock.monotonic() + (_COMES_BACK_IN if comes_back else 0.0)
        for asked in self._asked.values():
            if run_id in asked:
                asked[run_id] = asked[run_id]._replace(until=until)
        self.forget_old()

    def forget_old(self) -> None:
        """Forgets those that are not sent any more, or did not come back."""
        now = self._clock.monotonic()
        for place, asked in self._asked.items():
            old = [one for one, kept in asked.items() if kept.until <= now]
            for one in old:
                del asked[one]
            if old and asked:
                self._configure(self._channels[place])

    def _configure(self, channel: Channel) -> None:
        wanted = _smallest([one.pace for one in self._asked[id(channel)].values()])
        if wanted != self._set.get(id(channel)):
            self._set[id(channel)] = wanted
            channel.pacer.configure(wanted)


def _smallest(paces: list[Pace]) -> Pace:
    """The smaller of each quota."""
    quotas = {
        name: min(given)
        for name in (
            "singles_per_second",
            "singles_per_minute",
            "singles_per_day",
            "groups_per_minute",
        )
        if (given := [value for one in paces if (value := getattr(one, name)) is not None])
    }
    if not quotas:
        return msgspec.structs.replace(paces[-1])
    return Pace(**quotas)
