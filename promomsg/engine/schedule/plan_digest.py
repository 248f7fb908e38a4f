"""Which plan a person has said yes to: one digest of the message, the list and what decides who gets it how."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from promomsg.errors import UsageError
from promomsg.journal.records import CampaignRecord

__all__ = [
    "PLANNED_SETTINGS",
    "check_may_approve",
    "check_planned_settings",
    "plan_digest",
    "unused_settings_notice",
]

PLANNED_SETTINGS: Final = ("route", "resolve", "expand", "max_group_size", "only")
"""The settings that decide who is sent to, and by which kind of call."""
_SHOWN: Final = 60
"""Characters of a value that an error shows."""


def plan_digest(record: CampaignRecord) -> str:
    """64 hex digits: another message, list or account, or another of the planned settings, has others.

    The campaign's name, its pace and where its files lie are no part of it.
    """
    plan = {
        "channel": record.channel,
        "account": record.account,
        "run_id": record.run_id,
        "message": record.message,
        "source": {name: record.source.get(name) for name in ("digest", "rows", "audience")},
        "settings": {name: record.settings.get(name) for name in PLANNED_SETTINGS},
    }
    return hashlib.sha256(msgspec.json.encode(plan, order="deterministic")).hexdigest()


def check_may_approve(record: CampaignRecord) -> None:
    """Raises UsageError when a campaign has no first few that somebody could look at."""
    if record.settings.get("first") is None:
        raise UsageError(
            "approve: this campaign was planned without first, so nothing of it waits for a word; "
            "leave it out"
        )


def check_planned_settings(kept: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises UsageError when somebody means another plan than the one that was made.

    Args:
        kept: the settings of the journal.
        given: options that are to be those of the plan; what is not given is as it was planned.
    """
    changed = _changed(kept, given)
    if changed:
        raise UsageError(
            f"this is not the plan that was made: {changed}; put it back, or start a new campaign with a "
            "journal of its own"
        )


def unused_settings_notice(
    kept: Mapping[str, Any], given: Mapping[str, Any], names: Iterable[str] = PLANNED_SETTINGS
) -> list[str]:
    """What a resume says of options that are other than those of the plan, and come too late.

    Args:
        kept, given: as `check_planned_settings` has them.
        names: the options that do.
    """
    changed = _changed(kept, given, names)
    if not changed:
        return []
    return [
        f"the plan stays as it was made, although {changed}: that counts for a new campaign only"
    ]


def _changed(
    kept: Mapping[str, Any], given: Mapping[str, Any], names: Iterable[str] = PLANNED_SETTINGS
) -> str:
    return "; ".join(
        f"{name} was {_shown(kept.get(name))} and is {_shown(given[name])} now"
        for name in names
        if name in given and _plain(given[name]) != _plain(kept.get(name))
    )


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (list, tuple, set, frozenset)) else value


def _shown(value: Any) -> str:
    text = repr(_plain(value))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
