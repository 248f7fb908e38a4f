"""Which channels there are: the two of this package, and those that other packages bring.

A package names its channel by an entry point of the group `promomsg.channels`
(docs/own-channel.md, "In a campaign file"). Its code is loaded when a campaign file or a journal asks
for that channel, and at no other time.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from promomsg.answers import CodeMeaning
from promomsg.code_meanings import brief_meaning
from promomsg.errors import UsageError
from promomsg.suggest import did_you_mean

__all__ = [
    "ENTRY_POINTS",
    "OWN_CHANNELS",
    "channel_class",
    "codes_of_others",
    "installed_channels",
    "text_of_code",
]

ENTRY_POINTS: Final = "promomsg.channels"
"""The group of entry points: the channel's name, and where its class is."""
OWN_CHANNELS: Final = {
    "wechat": ("promomsg.channels.wechat", "WeChatPromoter"),
    "alipay": ("promomsg.channels.alipay", "AlipayMiniProgram"),
}
"""The channels of this package: a package that takes one of their names is not asked."""
_ASKED_OF_A_CLASS: Final = (
    "name", "message_type", "account_keys", "default_base_url", "codes", "addresses",
    "read_account", "read_message", "compile", "deliver",
)  # fmt: skip


def installed_channels() -> tuple[str, ...]:
    """The names that `channel = "…"` may have on this machine: ours first, then by name."""
    return (*OWN_CHANNELS, *sorted(set(_found()) - set(OWN_CHANNELS)))


@cache
def channel_class(name: str) -> Any:
    """The class of a channel: a `FromCampaignFile` whose instances are a `Channel`.

    Raises:
        UsageError: there is none of this name, its package cannot be imported, or it is no channel.
    """
    if name in OWN_CHANNELS:
        module, kind = OWN_CHANNELS[name]
        return getattr(import_module(module), kind)
    found = _found().get(name)
    if found is None:
        names = ", ".join(installed_channels())
        hint = did_you_mean(name, installed_channels())
        raise UsageError(f"there is no channel {name!r}{hint}; installed are {names}")
    whose = f"channel {name!r} ({_package(found)})"
    try:
        kind = found.load()
    except Exception as error:  # noqa: BLE001 - whatever a stranger's module does when it is imported
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{whose} cannot be imported: {why}") from None
    missing = [part for part in _ASKED_OF_A_CLASS if not hasattr(kind, part)]
    if missing or not isinstance(kind, type):
        raise UsageError(
            f"{whose}: {found.value} is no channel: it has no {', '.join(missing) or 'class'}"
        )
    if kind.name != name:  # type: ignore[attr-defined] # asked for above
        raise UsageError(f"{whose}: its class has another name, {kind.name!r}")  # type: ignore[attr-defined]
    return kind


def codes_of_others() -> dict[str, Mapping[str, CodeMeaning]]:
    """What the channels of other packages say of their codes; one that cannot be loaded says nothing."""
    found = {}
    for name in installed_channels()[len(OWN_CHANNELS) :]:
        with suppress(UsageError):
            found[name] = channel_class(name).codes
    return found


def text_of_code(channel: str, code: str) -> str:
    """A line's worth of what a code means in a campaign of this channel; empty when nobody knows."""
    if channel in OWN_CHANNELS:
        return brief_meaning(code)
    codes: Mapping[str, CodeMeaning] = {}
    shared = False
    with suppress(UsageError):
        kind = channel_class(channel)
        codes, shared = kind.codes, getattr(kind, "has_wechat_codes", False)
    if code in codes:
        return codes[code].text
    return brief_meaning(code, ours_alone=not shared)


def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _package(point: EntryPoint) -> str:
    """The distribution that brought it, as far as it is known."""
    dist = point.dist
    return point.value if dist is None else f"{dist.name} {dist.version}"
