"""One look at one campaign, by plain calls: whatever is wrong with its journal is what the look says."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Final

from promomsg.console.console_types import Look
from promomsg.engine.opened_journal import open_journal
from promomsg.errors import PromoError
from promomsg.journal.records import CampaignRecord
from promomsg.log_events import log_event

if TYPE_CHECKING:
    from promomsg.fleet.fleet_campaign import SeenCampaign

__all__ = ["FLEET", "log_failure", "look_at_file", "look_at_seen"]

FLEET: Final = "fleet"
"""The place of the fleet's campaigns in URLs."""

_log: Final = logging.getLogger("promomsg.console")


def look_at_file(place: str, path: str, size: int) -> Look:
    """Looks at a journal in a file; a sender is never in the way.

    Args:
        place: of its URL.
        size: bytes, as `Look.size`.
    """
    name, at = os.path.basename(path), time.time()
    try:
        with open_journal(path) as opened:
            report, record = opened.report(), opened.record
    except PromoError as error:
        return Look(place=place, name=name, journal=path, size=size, error=str(error), at=at)
    except Exception as error:  # noqa: BLE001 - one journal must not take the others off the page
        log_failure("look", error)
        text = f"it cannot be read ({type(error).__name__})"
        return Look(place=place, name=name, journal=path, size=size, error=text, at=at)
    return Look(
        place=place,
        name=name,
        journal=path,
        size=size,
        account=_account(record),
        record=record,
        report=report,
        state=report.state,
        at=at,
        singles_per_day=_singles_per_day(record),
    )


def look_at_seen(seen: SeenCampaign) -> Look:
    """The same of a campaign in a fleet's database, as it was read there."""
    campaign, record = seen.campaign, seen.record
    return Look(
        place=FLEET,
        name=campaign.name,
        journal=f"fleet:{campaign.name}",
        size=seen.size,
        account="" if record is None else _account(record),
        record=record,
        report=campaign.report,
        state=campaign.state,
        at=time.time(),
        senders=campaign.senders,
        singles_per_day=None if record is None else _singles_per_day(record),
        trouble=campaign.trouble,
    )


def _account(record: CampaignRecord) -> str:
    return f"{record.channel} {record.account}"


def _singles_per_day(record: CampaignRecord) -> int | None:
    pace = record.settings.get("pace")
    found = pace.get("singles_per_day") if isinstance(pace, dict) else None
    return found if isinstance(found, int) else None


def log_failure(what: str, error: BaseException) -> None:
    """Says that something failed inside, and where: its kind alone, since its text may name people.

    Args:
        what: was being done.
    """
    trace, where = error.__traceback__, "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        where = f"{os.path.basename(code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    log_event(
        _log,
        "console.failed",
        "%(what)s failed: %(error)s at %(where)s",
        level=logging.ERROR,
        what=what,
        error=type(error).__name__,
        where=where,
    )
