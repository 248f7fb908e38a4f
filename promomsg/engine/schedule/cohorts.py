"""Cohorts: the recipients of a campaign that may be sent to at the same times
(docs/design.md, "Cohorts").

A campaign has one, number 0, unless it sends to a first few or its list names each recipient's zone. A
chunk and a group send are of one cohort each, so that what is taken may be sent as a whole.
"""

from __future__ import annotations

import msgspec

from promomsg.journal.records import CampaignRecord

__all__ = ["ALL", "Cohort", "cohorts_of", "first_cohorts", "zones_of"]


class Cohort(msgspec.Struct, frozen=True, omit_defaults=True):
    """Recipients that may be sent to at the same times.

    Attributes:
        first: they are sent to first, and the others only when it went well.
        zone: the name of the zone whose hours are theirs (`Europe/Paris`); None: the campaign's.
    """

    first: bool = False
    zone: str | None = None


ALL = (Cohort(),)
"""The cohorts of a campaign that has no first few and no column of zones."""


def cohorts_of(record: CampaignRecord) -> tuple[Cohort, ...]:
    """The cohorts of a campaign, by their number in its journal."""
    return msgspec.convert(record.cohorts, tuple[Cohort, ...]) or ALL


def zones_of(record: CampaignRecord) -> tuple[str | None, ...]:
    """The zone of each of them; None: the campaign's."""
    return tuple(cohort.zone for cohort in cohorts_of(record))


def first_cohorts(record: CampaignRecord) -> tuple[int, ...]:
    """The numbers of those that are sent to first; empty: there is no first few."""
    return tuple(no for no, cohort in enumerate(cohorts_of(record)) if cohort.first)
