"""What the caller gave, by kind: nothing is read or opened before that is known to be right."""

from __future__ import annotations

from typing import Any, Final

from promomsg.control_characters import has_half_character
from promomsg.errors import UsageError

__all__ = [
    "SEND_CALL",
    "SUPPRESS_NEEDS_EXPAND",
    "check_channel",
    "check_name",
    "check_yes_or_no",
    "is_text",
]

SEND_CALL: Final = "promomsg.send(channel, message, recipients)"
"""The call that an error shows when its arguments are in the wrong order."""
SUPPRESS_NEEDS_EXPAND: Final = (
    "suppress: an audience that is sent to as one group goes to everybody in it, also to those on "
    "the suppression list: say expand=true, or leave suppress out"
)
"""Why nobody can be left out of one call to a whole audience."""


def check_channel(channel: Any, call: str) -> None:
    """Raises UsageError when something else stands in the channel's place; `call` is the right one."""
    if isinstance(channel, type) or not all(hasattr(channel, n) for n in ("compile", "deliver")):
        kind = (
            f"the class {channel.__name__}" if isinstance(channel, type) else type(channel).__name__
        )
        raise UsageError(
            f"{kind} is not a channel: it is {call}, with a WeChatPromoter(…) or an "
            "AlipayMiniProgram(…) as the channel"
        )


def check_name(name: Any) -> None:
    """Raises UsageError unless it is a campaign's name, or None."""
    if name is not None and not is_text(name):
        raise UsageError(f"name={name!r}: give a str, or leave it out")


def check_yes_or_no(**given: Any) -> None:
    """Raises UsageError unless all are bools: the string "no" would count as a yes."""
    for name, value in given.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name}={value!r}: say True or False")


def is_text(value: Any) -> bool:
    """Whether it is a str of Unicode characters: half a character cannot be written."""
    return isinstance(value, str) and not has_half_character(value)
