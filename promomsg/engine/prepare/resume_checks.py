"""Before a campaign goes on: are its account, its message and its list those of the journal?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.engine.settings import Settings
from promomsg.errors import JournalError, PromoError, UsageError
from promomsg.intake.sources import Source
from promomsg.journal.records import CampaignRecord
from promomsg.plural import counted

__all__ = ["check_account", "check_max_recipients", "check_message", "read_back", "same_file"]


def check_account(record: CampaignRecord, channel: Channel, *, untouched: bool = False) -> None:
    """Raises when a journal is another channel's or another account's.

    Args:
        untouched: nobody of it was ever sent to or is in doubt. Then it may go to another account:
            the wrong one of a campaign file is only found out when the provider refuses it.
    """
    if record.channel != channel.name:
        raise JournalError(
            f"this journal is of a {record.channel} campaign, and the channel is {channel.name}"
        )
    if record.account != channel.account and not untouched:
        raise JournalError(
            f"this journal is of the account {record.account}, and the channel is "
            f"{channel.account}: use the account it was started with"
        )


def read_back(
    record: CampaignRecord, channel: Channel, path: str | None
) -> tuple[CompiledMessage, Settings]:
    """The message and the settings of a journal.

    Raises:
        JournalError: they are not what promomsg writes.
    """
    try:
        return channel.compile_snapshot(record.message), Settings.from_snapshot(record.settings)
    except PromoError as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - a journal is data that somebody may have made
        why = f"it has values that promomsg does not write: {type(error).__name__}"
    raise JournalError(
        f"{path or 'the journal'}: its message or settings cannot be read back ({why}); put back a "
        "copy that is whole"
    )


def check_max_recipients(recipients: int, most: int | None) -> None:
    """Raises UsageError when more would be sent to than somebody allows (`max_recipients`)."""
    if most is not None and recipients > most:
        raise UsageError(
            f"the plan would send to {counted(recipients, 'recipient')}, over the cap of "
            f"{most:,} (max_recipients); nothing was sent"
        )


def check_message(kept: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises when the message is not the one that a journal was planned with, naming the field."""
    changed = sorted(_differences(kept, given, ""))
    if changed:
        raise UsageError(
            f"the message is not the one this campaign was planned with: {', '.join(changed)} "
            "changed; put it back, or start a new campaign with a journal of its own"
        )


def _named(value: Any) -> Any:
    """A list of [name, value] pairs as a mapping: the order of content is no difference."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, list) and len(v) == 2 for v in value)
    ):
        return dict(value)
    return value


def _differences(kept: Any, given: Any, at: str) -> Iterator[str]:
    kept, given = _named(kept), _named(given)
    if isinstance(kept, dict) and isinstance(given, dict):
        for name in kept.keys() | given.keys():
            yield from _differences(
                kept.get(name), given.get(name), f"{at}.{name}" if at else str(name)
            )
    elif kept != given:
        yield at


def same_file(source: Source, kept: dict[str, Any]) -> bool:
    """Whether a file is, byte for byte, the one that was planned from, and is read in the same way."""
    described = source.describe()
    digest = described.get("sha256")
    return digest is not None and digest == kept.get("sha256") and _how(described) == _how(kept)


def _how(described: dict[str, Any]) -> list[Any]:
    """By which columns, encoding and sheet a list is read, with each list that it is made of."""
    parts = [*described.get("files", ()), *filter(None, [described.get("list")])]
    return [described.get("read_as"), *map(_how, parts)]
