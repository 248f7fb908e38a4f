"""What is read of a PostgreSQL journal: statements, and the records that their rows are."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from promomsg.journal.counts import STATES, RunningCounts
from promomsg.journal.postgres.schema import SENDERS
from promomsg.journal.postgres.statements.transaction import CampaignReads
from promomsg.journal.reasons import INTERRUPTED
from promomsg.journal.records import Counts
from promomsg.journal.state_sql import (
    group_move,
    in_group_state,
    in_state,
    number,
    recipient_move,
)
from promomsg.model import Outcome, Recipient, State
from promomsg.states import FINAL, GROUP_REACHED_NOBODY, MAYBE_REACHED, Event, GroupEvent

__all__ = [
    "AS_ASKED_AGAIN",
    "AS_LOST",
    "AS_THEY_ARE",
    "COUNTS",
    "LAST_AT",
    "PAGE",
    "SENDERS_AT_WORK",
    "SENDING",
    "STANDING",
    "bounds_text",
    "counts_of",
    "kept_counts",
    "outcome",
    "outcomes",
    "outcomes_end",
    "outcomes_text",
    "page",
    "page_text",
    "stretches_text",
    "untouched",
]

PAGE: Final = 1_000
"""Rows read at a time."""

_LOSE: Final = recipient_move(Event.UNKNOWN, State.INTENDED)
_LOST_MEMBER: Final = recipient_move(Event.GROUP_LOST, State.PENDING)

COUNTS: Final = """
SELECT state, code, sum(recipients)::bigint FROM tally WHERE campaign = %(campaign)s
GROUP BY state, code
"""
LAST_AT: Final = """
SELECT greatest(
    (SELECT max(last_at) FROM tally WHERE campaign = %(campaign)s),
    (SELECT max(sent_at) FROM group_send WHERE campaign = %(campaign)s))
"""

SENDERS_AT_WORK: Final = """
SELECT DISTINCT holder FROM chunk WHERE campaign = %(campaign)s AND NOT done
AND deadline > extract(epoch FROM clock_timestamp()) ORDER BY holder
"""

_OUTCOMES: Final = """
SELECT r.seq, r.state, r.key, r.id, r.openid, r.unionid, r.request_id, r.code, r.detail, r.rid,
       r.attempts, r.at, r.extra, coalesce(g.msg_id, r.group_no::text)
FROM {rows} AS r LEFT JOIN group_send AS g ON g.campaign = %(campaign)s AND g.group_no = r.group_no
ORDER BY r.seq
"""
_LEFT_BY_PLANNING: Final = in_state(State.FAILED, State.SKIPPED)
_BY_PLANNING: Final = _OUTCOMES.format(
    rows="(SELECT * FROM this.recipient WHERE campaign = %(campaign)s AND seq >= %(first)s"
    f" AND {_LEFT_BY_PLANNING} AND at IS NULL ORDER BY seq LIMIT %(limit)s)"
)
_BY_SEQ: Final = _OUTCOMES.format(
    rows="(SELECT * FROM this.recipient WHERE campaign = %(campaign)s"
    f" AND seq = ANY(%(seqs)s::bigint[]) AND {in_state(*FINAL)})"
)


_HAS_REASON: Final = "maybe_sent AND code <> ''"
_OF_LOST_GROUP: Final = (
    f"{_LOST_MEMBER.where} AND group_no IN (SELECT group_no FROM group_send"
    f" WHERE campaign = %(campaign)s AND {group_move(GroupEvent.LOST).where})"
)
# Recipients with what a resume makes of those whom a sender that died left intended: unknown, or asked
# for again where the provider deduplicates; members of a lost group are unknown.
_TAKEN_OVER: Final = f"""(
    SELECT seq, key, id, openid, unionid, request_id, group_no, at, extra,
        CASE fate WHEN 1 THEN {{called_end}} WHEN 2 THEN {number(_LOST_MEMBER.end)}
             ELSE state END AS state,
        CASE WHEN fate = 0 OR {{keeps}} THEN code ELSE '{INTERRUPTED.code}' END AS code,
        CASE WHEN fate = 0 OR {{keeps}} THEN detail ELSE '{INTERRUPTED.detail}' END AS detail,
        CASE WHEN fate = 0 OR {{keeps}} THEN rid END AS rid,
        CASE fate WHEN 2 THEN attempts + (SELECT attempts FROM group_send AS g
             WHERE g.campaign = %(campaign)s AND g.group_no = f.group_no) ELSE attempts END AS attempts
    FROM (SELECT *, CASE WHEN {_LOSE.where} THEN 1 WHEN {_OF_LOST_GROUP} THEN 2 ELSE 0 END AS fate
          FROM this.recipient WHERE campaign = %(campaign)s) AS f
)"""
AS_LOST: Final = _TAKEN_OVER.format(called_end=number(_LOSE.end), keeps="false")
"""What rows are read from after a sender died whose provider does not deduplicate."""
AS_ASKED_AGAIN: Final = _TAKEN_OVER.format(
    called_end=number(recipient_move(Event.NOT_SENT).end), keeps=f"fate = 1 AND {_HAS_REASON}"
)
"""The same where it does."""
AS_THEY_ARE: Final = "(SELECT * FROM this.recipient WHERE campaign = %(campaign)s)"

SENDING: Final = f"""
SELECT objid::bigint AS campaign FROM pg_locks
WHERE locktype = 'advisory' AND classid = {SENDERS} AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The campaigns that senders have open."""
STANDING: Final = f"""
SELECT EXISTS (SELECT FROM ({SENDING}) AS open WHERE open.campaign = %(campaign)s)
    OR EXISTS (SELECT FROM chunk WHERE campaign = %(campaign)s AND NOT done
               AND deadline > extract(epoch FROM clock_timestamp())),
       (SELECT count(*) FROM chunk AS c JOIN this.recipient AS r
            ON r.campaign = %(campaign)s AND r.seq BETWEEN c.first_seq AND c.last_seq
            AND r.cohort = c.cohort
        WHERE c.campaign = %(campaign)s AND NOT c.done AND c.epoch > 0 AND r.group_no IS NULL
          AND {in_state(State.INTENDED, row="r")})
"""
"""Whether a sender is at work or one that is gone holds a lease still, and how many singles are
intended."""


def page_text(states: Collection[State] | None, rows: str = AS_THEY_ARE) -> str:
    """The statement of a page of rows behind %(after)s, in order of seq.

    Args:
        states: those that are wanted; None: all.
        rows: what they are read from.
    """
    wanted = "" if states is None else f" AND {in_state(*states)}" if states else " AND false"
    return _OUTCOMES.format(
        rows=f"(SELECT * FROM {rows} AS p WHERE seq > %(after)s{wanted} ORDER BY seq LIMIT {PAGE})"
    )


_REACHED_AT: Final = f"at IS NOT NULL AND {in_state(*FINAL)}"


def bounds_text(rows: str) -> str:
    """The statement of when the first and the last outcome came; `rows`: what they are read from."""
    return f"SELECT min(at), max(at) FROM {rows} AS p WHERE {_REACHED_AT}"


def stretches_text(rows: str) -> str:
    """The statement of (stretch number, state number, how many), in stretches of %(step)s seconds."""
    return (
        f"SELECT floor(at / %(step)s)::bigint, state, count(*) FROM {rows} AS p"
        f" WHERE {_REACHED_AT} GROUP BY 1, 2"
    )


def outcomes_text(rows: str) -> str:
    """The statement that `outcome` takes the rows of, in order of seq; `rows`: what they are read from."""
    return _OUTCOMES.format(rows=rows)


def outcome(row: Sequence[Any]) -> Outcome:
    """A row of `page_text`."""
    (_, state, key, id, openid, unionid, request_id, code, detail, rid, attempts, at, extra,
     group) = row  # fmt: skip
    who = Recipient(key=key, id=id, openid=openid, unionid=unionid, request_id=request_id)
    return Outcome(who, STATES[state], code, detail, rid, attempts, group, at, extra)


def counts_of(rows: Iterable[tuple[Any, ...]]) -> Counts:
    """The rows of `COUNTS`."""
    counts = RunningCounts()
    counts.fill((state, code, number) for state, code, number in rows)
    return counts.totals()


async def kept_counts(reads: CampaignReads) -> Counts:
    """All counts: no recipient is looked at."""
    return counts_of(await reads.rows(COUNTS))


_COHORTS: Final = """
SELECT cohort, state, code, count(*) FROM this.recipient {some} GROUP BY cohort, state, code
ORDER BY cohort
"""


async def cohort_counts(reads: CampaignReads, cohorts: Collection[int] | None) -> dict[int, Counts]:
    """See `Handle.cohort_counts`."""
    return cohort_counts_of(await reads.rows(*cohorts_asked(cohorts)))


def cohorts_asked(cohorts: Collection[int] | None) -> tuple[str, dict[str, Any]]:
    """The statement that `cohort_counts_of` takes the rows of, and what it binds."""
    if cohorts is None:
        return _COHORTS.format(some=""), {}
    some = "WHERE cohort = ANY(%(cohorts)s::smallint[])"
    return _COHORTS.format(some=some), {"cohorts": list(cohorts)}


def cohort_counts_of(rows: Iterable[Sequence[Any]]) -> dict[int, Counts]:
    """The counts of each cohort."""
    found: dict[int, RunningCounts] = {}
    for cohort, state, code, recipients in rows:
        found.setdefault(cohort, RunningCounts()).fill([(state, code, recipients)])
    return {cohort: counts.totals() for cohort, counts in found.items()}


async def page(
    reads: CampaignReads, after: int, states: Collection[State] | None
) -> tuple[list[Outcome], int]:
    """Rows behind `after`, and the last one's seq; none left: an empty list."""
    rows = await reads.rows(page_text(states), {"after": after})
    return [outcome(row) for row in rows], rows[-1][0] if rows else after


_UNTOUCHED: Final = f"""
SELECT NOT EXISTS (SELECT FROM this.recipient WHERE {in_state(*MAYBE_REACHED)} OR maybe_sent)
   AND NOT EXISTS (SELECT FROM attempt_history
                   WHERE campaign = %(campaign)s AND {in_state(State.UNKNOWN)})
   AND NOT EXISTS (SELECT FROM group_send
                   WHERE campaign = %(campaign)s AND NOT {in_group_state(*GROUP_REACHED_NOBODY)})
"""


async def untouched(reads: CampaignReads) -> bool:
    """Whether a message has surely reached nobody; see `Handle.untouched`."""
    return bool((await reads.row(_UNTOUCHED))[0])


# The stream of outcomes. A cursor is (-1, seq) in what planning left, then (xid, place): the place is
# the number of a row of the log, and how far into it, in one number.

_INDEX_BITS: Final = 24

# What is committed below every transaction that is open, in whatever database of the server, is all that
# will ever be there: numbers of transactions are given at their first write, and not in the order of
# their commits.
_LOG: Final = """
SELECT xid::text::bigint, log_no, final_seqs, xid < pg_snapshot_xmin(pg_current_snapshot())
FROM commit_log WHERE campaign = %(campaign)s AND final_seqs IS NOT NULL
  AND (xid, log_no) >= (%(xid)s::text::xid8, %(log_no)s)
  AND (log_no <> %(log_no)s OR cardinality(final_seqs) > %(index)s)
ORDER BY xid, log_no LIMIT %(limit)s
"""
_LAST: Final = """
SELECT xid::text::bigint, log_no, cardinality(final_seqs),
       xid < pg_snapshot_xmin(pg_current_snapshot())
FROM commit_log WHERE campaign = %(campaign)s AND final_seqs IS NOT NULL
ORDER BY xid DESC, log_no DESC LIMIT 1
"""
# When something else keeps a transaction open for long: only those count that may write into this log.
# Each locks a table of ours before it has a number; so whoever is not found here gets a later one than
# the next one was before the look.
_NEXT_XID: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_OPEN_WRITERS: Final = """
WITH locks AS MATERIALIZED (SELECT * FROM pg_locks)
SELECT t.transactionid::text::bigint FROM locks AS t
WHERE t.locktype = 'transactionid' AND t.mode = 'ExclusiveLock' AND t.virtualtransaction IN (
    SELECT r.virtualtransaction FROM locks AS r JOIN pg_class AS c ON c.oid = r.relation
    WHERE r.locktype = 'relation' AND r.mode <> 'AccessShareLock'
      AND r.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'commit_log'::regclass)
      AND (c.relname NOT LIKE 'recipient\\_%%' OR c.relname = %(recipients)s))
"""
_TAKEN_BACK: Final = """
SELECT seq, max(before_xid::text::bigint) FROM attempt_history
WHERE campaign = %(campaign)s AND seq = ANY(%(seqs)s::bigint[]) GROUP BY seq
"""
_SHORT: Final = 0.01
_TRIES: Final = 20
"""Looks, and seconds between them, until the locks are looked at."""


async def _horizon(reads: CampaignReads) -> int:
    """The transaction below which nothing is to come in this campaign's log."""
    (next_xid,) = await reads.row(_NEXT_XID)
    rows = await reads.rows(_OPEN_WRITERS, {"recipients": f"recipient_{reads.campaign}"})
    # A lock has the lower 32 bits of the number.
    return int(min([next_xid, *(next_xid - (next_xid - xid) % 2**32 for (xid,) in rows)]))


async def _settled_log(reads: CampaignReads, text: str, args: dict[str, Any]) -> list[Any]:
    """Rows of the log that nothing will ever come before, as far as `text` finds some."""
    for _ in range(_TRIES):
        rows = await reads.rows(text, args)
        settled = [row for row in rows if row[3]]
        if settled or not rows:
            return settled
        await asyncio.sleep(_SHORT)
    horizon = await _horizon(reads)
    return [row for row in await reads.rows(text, args) if row[0] < horizon]


async def outcomes(
    reads: CampaignReads, after: tuple[int, int], limit: int
) -> tuple[list[Outcome], tuple[int, int]]:
    """See `Handle.outcomes`."""
    xid, place = after
    if xid < 0:
        rows = await reads.rows(_BY_PLANNING, {"first": place, "limit": limit})
        if rows:
            return [outcome(row) for row in rows], (-1, rows[-1][0] + 1)
        xid, place = 0, 0
    while True:
        log_no, index = place >> _INDEX_BITS, place & ((1 << _INDEX_BITS) - 1)
        args = {"xid": str(xid), "log_no": log_no, "index": index, "limit": limit + 1}
        start = (xid, place)
        wanted: list[tuple[int, int]] = []
        for entry_xid, entry_no, seqs, _ in await _settled_log(reads, _LOG, args):
            first = index if (entry_xid, entry_no) == (xid, log_no) else 0
            some = seqs[first:][: limit - len(wanted)]
            wanted += [(entry_xid, seq) for seq in some]
            xid, log_no, index = entry_xid, entry_no, first + len(some)
            if len(wanted) >= limit:
                break
        place = log_no << _INDEX_BITS | index
        found = await _by_seq(reads, await _not_taken_back(reads, wanted))
        if found or (xid, place) == start:
            return found, (xid, place)


async def _not_taken_back(reads: CampaignReads, logged: list[tuple[int, int]]) -> list[int]:
    """Of (xid, seq) those that no retry and no adoption took back after that transaction."""
    if not logged:
        return []
    back = dict(await reads.rows(_TAKEN_BACK, {"seqs": [seq for _, seq in logged]}))
    return [seq for xid, seq in logged if back.get(seq, 0) <= xid]


async def _by_seq(reads: CampaignReads, seqs: list[int]) -> list[Outcome]:
    if not seqs:
        return []
    rows = {row[0]: row for row in await reads.rows(_BY_SEQ, {"seqs": seqs})}
    return [outcome(rows[seq]) for seq in seqs if seq in rows]


async def outcomes_end(reads: CampaignReads) -> tuple[int, int]:
    """The cursor behind everything that is final now."""
    for xid, log_no, count, _ in await _settled_log(reads, _LAST, {}):
        return xid, log_no << _INDEX_BITS | count
    return (0, 0) if await reads.first(_LAST) is None else (await _horizon(reads), 0)
