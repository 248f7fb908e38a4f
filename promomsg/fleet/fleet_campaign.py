"""One campaign of a fleet's database: where it stands, and who sends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from promomsg.engine.opened_journal import report_of_view
from promomsg.engine.report import ENDED, Report
from promomsg.journal.locate import fleet_journal
from promomsg.journal.records import CampaignRecord

if TYPE_CHECKING:
    from promomsg.fleet.worker_table import FleetWorker
    from promomsg.journal.postgres.overview import CampaignOverview, PlainConnection
    from promomsg.journal.postgres.reader import PostgresView

__all__ = [
    "FleetCampaign",
    "SeenCampaign",
    "all_campaigns",
    "looking",
    "newest_campaigns",
    "seen_campaigns",
    "workers_now",
]


class FleetCampaign(msgspec.Struct, frozen=True):
    """One campaign of a fleet's database, as it stands.

    Attributes:
        name: what it is asked for by: `fleet.journal(name)`, `journal="fleet:NAME"`.
        state: as `Report.state` has it; `"planning"` while its plan is not complete. While workers are
            there a campaign is `"sending"` (or `"waiting"` for the next day), also when none of them holds
            work of it at this moment.
        report: where it stands; its `outcomes` are read when they are asked for. None: its plan is not
            complete, and nothing was sent.
        senders: who holds work of it now, each as `host:process`. One that died is named until its
            leases end.
        created_at: Unix seconds.
        ended_at: when its last result came; None: it has not ended.
        trouble: what workers say of why they cannot do it now, a line each.
    """

    name: str
    state: str
    report: Report | None
    senders: tuple[str, ...]
    created_at: float
    ended_at: float | None = None
    trouble: tuple[str, ...] = ()


class SeenCampaign(NamedTuple):
    """A campaign of a fleet.

    Attributes:
        record: what it was begun with; None: its plan is not complete.
        size: the bytes that its recipients take in the database; None: they were not asked for.
    """

    campaign: FleetCampaign
    record: CampaignRecord | None
    size: int | None = None


def looking(
    url: str, workers: Iterable[FleetWorker]
) -> Callable[[CampaignOverview, PostgresView], SeenCampaign]:
    """What tells where a campaign stands, while these workers are there.

    Args:
        url: of the database.
    """
    trouble: dict[str, list[str]] = {}
    goes_on = False
    for worker in workers:
        goes_on = goes_on or worker.takes_work
        for one in worker.trouble if worker.alive else ():
            trouble.setdefault(one.name, []).append(f"{worker.name}: {one.text}")

    def look(found: CampaignOverview, view: PostgresView) -> SeenCampaign:
        journal = fleet_journal(found.name, url)
        report, record, state, ended_at = None, None, "planning", None
        if found.planned_at is not None:
            report = report_of_view(view, journal, journal.address, goes_on=goes_on)
            record, state = view.record, report.state
            if state in ENDED:
                ended_at = found.planned_at + report.elapsed_s
            elif goes_on and state in ("stopped", "sending"):
                state = "waiting" if found.is_parked else "sending"
        campaign = FleetCampaign(
            found.name,
            state,
            report,
            tuple(view.senders()),
            found.created_at,
            ended_at,
            tuple(trouble.get(found.name, ())) if ended_at is None else (),
        )
        return SeenCampaign(campaign, record)

    return look


def all_campaigns(url: str) -> list[tuple[SeenCampaign, int]]:
    """Every campaign of a database, in the order in which they were begun, with the bytes that its recipients
    take there.

    Raises:
        JournalError: it cannot be reached, or has no tables of this version.
    """
    from promomsg.journal.postgres.overview import overview, sizes

    found, size = overview(url, looking(url, workers_now(url))), sizes(url)
    return [(one, size.get(one.campaign.name, 0)) for one in found]


def newest_campaigns(
    url: str, before: tuple[float, str] | None = None, most: int = 50
) -> tuple[list[SeenCampaign], int]:
    """The newest campaigns of a database, the newest first, and how many it has. No other is looked at.

    Args:
        before: `created_at` and `name` of a campaign: those begun before it; None: from the newest on.
        most: how many.

    Raises:
        JournalError: it cannot be reached, or has no tables of this version.
    """
    from promomsg.fleet.worker_table import read_workers_now
    from promomsg.journal.postgres.overview import connected, newest

    with connected(url) as db:
        found, number = newest(db, before, most, looking(url, read_workers_now(db)))
        return _sized(db, found), number


def seen_campaigns(url: str, names: Sequence[str]) -> list[SeenCampaign]:
    """The campaigns of these names as they stand, as far as the database has any.

    Raises:
        JournalError: it cannot be reached, or has no tables of this version.
    """
    from promomsg.fleet.worker_table import read_workers_now
    from promomsg.journal.postgres.overview import connected, named

    with connected(url) as db:
        return _sized(db, named(db, names, looking(url, read_workers_now(db))))


def _sized(db: PlainConnection, found: Sequence[SeenCampaign]) -> list[SeenCampaign]:
    from promomsg.journal.postgres.overview import sizes_of

    sizes = sizes_of(db, [one.campaign.name for one in found])
    return [one._replace(size=sizes.get(one.campaign.name)) for one in found]


def workers_now(url: str) -> list[FleetWorker]:
    """Every worker of the database, by name.

    Raises:
        JournalError: it cannot be reached, or has no tables of this version.
    """
    from promomsg.fleet.worker_table import read_workers_now
    from promomsg.journal.postgres.overview import connected

    with connected(url) as db:
        return read_workers_now(db)
