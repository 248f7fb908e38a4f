"""What a campaign file and the command line say of a campaign whose plan is made, and which comes too late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promomsg.cli.campaign.campaign_values import CampaignFile
from promomsg.engine.schedule.plan_digest import unused_settings_notice
from promomsg.engine.settings import settings_of
from promomsg.errors import UsageError
from promomsg.journal.records import CampaignRecord

__all__ = ["too_late"]


def too_late(
    file: CampaignFile,
    record: CampaignRecord,
    *,
    first: int | str | None,
    times: Mapping[str, Any],
) -> list[str]:
    """What to say of the first few and of the times when they are not those that the journal has.

    Args:
        record: the journal's.
        first: `--first`; None: not given.
        times: those of the command line, which do count.
    """
    kept = record.settings
    if kept.get("only") is not None:
        return []  # a test was planned without them
    said = file.first if first is None else {**file.first, "first": first}
    given = said | {name: value for name, value in file.times.items() if name not in times}
    try:
        settings = settings_of(given).in_zone_of(record.channel)
        now = {name: getattr(settings, name) for name in given}
    except UsageError:  # a moment that is none in the zone: other than planned in any case
        now = given
    return unused_settings_notice(kept, now, given)
