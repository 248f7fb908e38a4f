"""`channel` of a campaign file: which one it is, and which sections belong to it."""

from __future__ import annotations

from typing import Any, Final

from promomsg.channels.installed import OWN_CHANNELS, installed_channels
from promomsg.cli.campaign.table_reader import TableReader
from promomsg.errors import UsageError

__all__ = ["belonging", "channel_of", "channel_of_account", "sections_of"]

_SECTIONS: Final = (
    "campaign", "wechat", "alipay", "message", "templates", "audience", "pace", "poll",
)  # fmt: skip
_WECHAT_ALONE: Final = ("templates", "audience")


def sections_of(top: dict[str, Any], shown: str) -> tuple[str, ...]:
    """The sections that a file may have: those of every campaign, and one of each channel that there
    is. (Other packages are looked for only where a file names something else.)

    Raises:
        UsageError: it names a channel that there is not: a section of that channel is no mistake of its
            own.
    """
    if all(name in _SECTIONS for name in top):
        return _SECTIONS
    campaign = top.get("campaign")
    if isinstance(campaign, dict):
        channel_of(TableReader(campaign, shown, "campaign", None))
    others = tuple(name for name in installed_channels() if name not in OWN_CHANNELS)
    return (*_SECTIONS, *others)


def channel_of(table: TableReader) -> str | None:
    """The channel that a table names; None: it names none.

    Raises:
        UsageError: there is none of that name; those that there are are listed.
    """
    if table.table.get("channel") in (None, *OWN_CHANNELS):
        return table.choice("channel", tuple(OWN_CHANNELS))
    return table.choice("channel", installed_channels())


def channel_of_account(campaign: TableReader, top: dict[str, Any], shown: str) -> str:
    """The channel of a file that need not be of a campaign: of its account alone, its one section says it.

    Raises:
        UsageError: it says nothing of an account, or its section is missing.
    """
    channel = channel_of(campaign)
    if channel is None:
        there = [name for name in sections_of(top, shown) if name in top and _is_channel(name)]
        if len(there) != 1:
            raise UsageError(
                f"{shown}: it says nothing of an account: add [wechat] with appid and secret"
                if not there
                else f'{shown}: [campaign] channel is missing; add channel = "wechat"'
            )
        channel = there[0]
    if channel not in top:
        raise UsageError(f"{shown}: the section [{channel}] is missing")
    return channel


def belonging(channel: str, top: dict[str, Any], shown: str) -> None:
    """Raises UsageError when a section of another channel is there, or one of this channel's is not."""
    for name in top:
        alone = name in _WECHAT_ALONE and channel != "wechat"
        if alone or (_is_channel(name) and name != channel):
            raise UsageError(
                f"{shown}: [{name}] does not belong to channel = {channel!r}; take it out"
            )
    for name in (channel, "message"):
        if name not in top:
            raise UsageError(f"{shown}: the section [{name}] is missing")


def _is_channel(name: str) -> bool:
    return name in OWN_CHANNELS or name not in _SECTIONS
