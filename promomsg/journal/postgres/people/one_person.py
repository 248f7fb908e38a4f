"""One recipient of a campaign on PostgreSQL with everything that is kept of them, and the account's day."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from promomsg.journal.counts import STATES
from promomsg.journal.people.asked_people import request_id_of_calls
from promomsg.journal.people.people_contract import EarlierAttempt, Person
from promomsg.journal.postgres.statements.reading import outcome, outcomes_text
from promomsg.journal.records import CampaignRecord, GroupRow
from promomsg.model import State
from promomsg.states import FINAL
from promomsg.url_origins import origin

__all__ = [
    "ACCOUNT_DAY",
    "HISTORY",
    "KEPT",
    "QUOTA",
    "SAMPLES",
    "person_of",
    "person_text",
    "singles_of_account",
    "values_of",
]

_FIRST: Final = 10_000
"""Recipients that are looked at for a sample."""

KEPT: Final = """
SELECT message_values, cohort, group_no, maybe_sent, generation, state
FROM this.recipient WHERE seq = %(seq)s
"""
HISTORY: Final = """
SELECT state, attempts, code, detail, rid, at, msg_id FROM attempt_history
WHERE campaign = %(campaign)s AND seq = %(seq)s ORDER BY history_no
"""
SAMPLES: Final = (
    f"SELECT message_values FROM (SELECT * FROM this.recipient ORDER BY seq LIMIT {_FIRST}) AS r"
    " WHERE message_values IS NOT NULL LIMIT 1",
    "SELECT message_values FROM (SELECT * FROM group_send WHERE campaign = %(campaign)s"
    f" ORDER BY group_no LIMIT {_FIRST}) AS g WHERE message_values IS NOT NULL LIMIT 1",
)
QUOTA: Final = """
SELECT state FROM quota
WHERE (channel, origin, account, kind) = (%(channel)s, %(origin)s, %(account)s, 'singles')
"""
ACCOUNT_DAY: Final = """
SELECT c.base_url, sum(d.singles)::bigint FROM intent_day AS d JOIN campaign AS c USING (campaign)
WHERE d.day = %(day)s AND c.channel = %(channel)s AND c.account = %(account)s GROUP BY c.base_url
"""

_values = msgspec.json.Decoder(tuple[str, ...]).decode


class _QuotaDays(msgspec.Struct):
    """What this looks at of a quota's row (`promomsg.transport.quota.quota_state`)."""

    days: dict[str, int] = {}


_days = msgspec.json.Decoder(_QuotaDays).decode


def person_text(source: str) -> str:
    """The statement of %(seq)s; `source`: what rows are read from."""
    return outcomes_text(f"(SELECT * FROM {source} AS p WHERE p.seq = %(seq)s)")


def values_of(text: str | None) -> tuple[str, ...]:
    """The values of a message's placeholders, as they are kept."""
    return _values(text) if text else ()


def person_of(
    record: CampaignRecord,
    found: Sequence[Any],
    kept: Sequence[Any],
    group: GroupRow | None,
    history: Iterable[Sequence[Any]],
) -> Person:
    """Somebody, of the rows of `person_text`, `KEPT` and `HISTORY`."""
    values, cohort, _, maybe_sent, generation, state = kept
    stands = outcome(found)
    who = stands.recipient
    is_asked_again = (STATES[state], stands.state) == (State.INTENDED, State.PENDING)
    return Person(
        seq=found[0],
        outcome=stands,
        values=values_of(values),
        cohort=cohort,
        group=group,
        request_id=request_id_of_calls(record, who.key or "", who.request_id, generation),
        maybe_sent=stands.state not in FINAL and (maybe_sent or is_asked_again),
        history=tuple(
            EarlierAttempt(
                state=STATES[was],
                attempts=calls,
                code=code,
                detail=detail,
                rid=rid,
                at=at,
                group=msg,
            )
            for was, calls, code, detail, rid, at, msg in history
        ),
    )


def singles_of_account(
    record: CampaignRecord, day: str, quota: Iterable[Sequence[Any]], days: Iterable[Sequence[Any]]
) -> int:
    """How many singles the account had on a day, of the rows of `QUOTA` and `ACCOUNT_DAY`: the higher count
    is right, since the quota's row may be a new one, and a campaign may have been removed."""
    ours = origin(record.base_url)
    by_campaigns: int = sum(singles for base_url, singles in days if origin(base_url) == ours)
    by_quota = [_days(text).days.get(day, 0) for (text,) in quota if text]
    return max(by_campaigns, *by_quota, 0)
