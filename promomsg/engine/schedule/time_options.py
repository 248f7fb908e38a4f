"""The options that say when a campaign is sent: checked, brought to one form, made a schedule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from promomsg.errors import JournalError, UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from promomsg.engine.schedule.schedule import Schedule

__all__ = ["NOW", "TimeOptions", "check_zone_column", "checked_times", "given_times", "kept_times"]

NOW: Final = "now"
"""`start_at` of a campaign that is to begin at once, whatever its journal says."""
_ZONES: Final = {"wechat": "Asia/Shanghai"}
"""The zone of a channel whose recipients are in one country (docs/facts/wechat.md, "Windows")."""


class TimeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """When a campaign is sent.

    Attributes:
        start_at, finish_by: as text, `"2026-12-12 09:00"` of the zone, or `"2026-12-12 09:00+08:00"`.
        between: hours of the week, each as text.
        zone: the name of the time zone of all of them; None: that of the channel.
        zone_column: the column of the list that names the time zone of a recipient.
    """

    start_at: str | None = None
    finish_by: str | None = None
    between: tuple[str, ...] | None = None
    zone: str | None = None
    zone_column: str | None = None

    @property
    def are_given(self) -> bool:
        """Whether the time of sending matters at all."""
        return not (self.start_at is None and self.finish_by is None and self.between is None)

    def of_channel(self, channel: str) -> TimeOptions:
        """With the zone named that they are in, and moments that say their offset from UTC.

        Args:
            channel: its name, `"wechat"`.

        Raises:
            UsageError: no zone is known for hours or for a moment, or a moment is not one there.
        """
        if not self.are_given:
            return self
        name = self.zone or _ZONES.get(channel)
        zone = _zone(name)
        if zone is None and self.between is not None:
            raise UsageError(
                "between: in which time zone? say it by zone, like 'Asia/Tokyo'; with zone_column it is "
                "that of recipients who have none there"
            )
        return msgspec.structs.replace(
            self,
            zone=name,
            start_at=_with_offset(self.start_at, zone, "start_at"),
            finish_by=_with_offset(self.finish_by, zone, "finish_by"),
        )

    def schedule(self, zones: tuple[str | None, ...] = (None,)) -> Schedule | None:
        """What they say, once their zone is named; None: it may be sent at any time.

        Args:
            zones: of the cohorts; None for `zone`.
        """
        if not self.are_given:
            return None
        from promomsg.engine.schedule.schedule import Schedule
        from promomsg.hours import parse_hours

        return Schedule(
            start_at=_seconds(self.start_at),
            finish_by=_seconds(self.finish_by),
            hours=None if self.between is None else parse_hours(self.between),
            zone=self.zone,
            zones=zones,
        )


def usual_zone(channel: str) -> str | None:
    """The time zone of a channel whose recipients are in one country, by name; None for the others."""
    return _ZONES.get(channel)


def given_times(options: Any) -> TimeOptions:
    """The same of a value that has these attributes."""
    return TimeOptions(**{name: getattr(options, name) for name in TimeOptions.__struct_fields__})


def kept_times(settings: Mapping[str, Any]) -> TimeOptions:
    """The same of the settings that a journal keeps. One of an earlier version has none of them.

    Raises:
        JournalError: they are not what promomsg writes.
    """
    kept = {n: settings[n] for n in TimeOptions.__struct_fields__ if settings.get(n) is not None}
    try:
        return msgspec.convert(kept, TimeOptions)
    except msgspec.ValidationError as error:
        raise JournalError(f"when it is to be sent cannot be read back: {error}") from None


def check_zone_column(kept: TimeOptions, given: Mapping[str, Any]) -> None:
    """Raises UsageError when a resume or a retry names another column of zones than the plan has: nobody
    would be sent to by it, since who is in which zone is decided when the list is planned.

    Args:
        given: the options that were given.
    """
    if given.get("zone_column") not in (None, kept.zone_column):
        raise UsageError(
            f"zone_column={given['zone_column']!r}: who is in which time zone is decided when a campaign is "
            "planned: leave it out, or start a new campaign with a journal of its own"
        )


def checked_times(
    *, start_at: Any, finish_by: Any, between: Any, zone: Any, zone_column: Any
) -> TimeOptions:
    """The five options as they are kept, each in its form.

    Raises:
        UsageError: one that is not.
    """
    if zone is not None:
        _zone(zone)
    if zone_column is not None and (not isinstance(zone_column, str) or not zone_column.strip()):
        raise UsageError(f"zone_column={zone_column!r}: the name of a column, as text")
    return TimeOptions(
        start_at=None if start_at == NOW else _checked_moment(start_at, "start_at"),
        finish_by=_checked_moment(finish_by, "finish_by"),
        between=_checked_hours(between),
        zone=zone,
        zone_column=zone_column,
    )


def _checked_moment(value: Any, what: str) -> str | None:
    if value is None:
        return None
    from promomsg.hours import find_zone, parse_moment

    if isinstance(value, datetime):
        return parse_moment(value, None, what).isoformat(" ")
    # In UTC every time is there once: whether it is in the campaign's zone is asked once that is known.
    parse_moment(value, find_zone("UTC"), what)
    return str(value).strip()


def _checked_hours(between: Any) -> tuple[str, ...] | None:
    if between is None:
        return None
    from promomsg.hours import parse_hours

    if not isinstance(between, Iterable) or isinstance(between, bytes):
        raise UsageError(
            f'between={between!r}: hours as text, like "09:00-21:00", or a list of them'
        )
    return parse_hours(between).texts


def _zone(name: Any) -> ZoneInfo | None:
    if name is None:
        return None
    from promomsg.hours import find_zone

    return find_zone(name)


def _with_offset(text: str | None, zone: ZoneInfo | None, what: str) -> str | None:
    if text is None:
        return None
    from promomsg.hours import parse_moment

    return parse_moment(text, zone, what).isoformat(" ")


def _seconds(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()
