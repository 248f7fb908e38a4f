"""Intents and results of many chunks as one statement, which is all of a commit.

It is all or nothing. It locks the chunks that it writes for, in order, and leaves out every batch whose
lease has moved on; if a row of another batch is not as that batch needs it, a division by zero undoes
all of it, and the batches are looked at one by one (`one_batch`). The log and the counts are made from
what the changes returned, never from what was to be changed.
"""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from promomsg.journal.postgres.commits.batches import OTHER_NAMES, Intent, Settlement
from promomsg.journal.records import Control
from promomsg.journal.state_sql import in_state, number, recipient_move
from promomsg.model import State
from promomsg.states import FINAL, Event

__all__ = ["array", "commit_arguments", "commit_text"]

_encode = msgspec.json.Encoder().encode

_INTEND: Final = recipient_move(Event.INTEND)
_SENT: Final = recipient_move(Event.SENT, State.INTENDED)
_PENDING: Final = number(State.PENDING)

# The parts of the statement. `asked` and `told` are the batches of the commit, `may` and `held` those
# whose lease is still theirs.

_FENCE: Final = """
fence AS MATERIALIZED (
    SELECT chunk_no, epoch, first_seq, last_seq, deadline FROM chunk
    WHERE campaign = %(campaign)s AND chunk_no = ANY(%(chunks)s::integer[])
    ORDER BY chunk_no FOR SHARE
)"""

_ASKED: Final = f"""
asked AS MATERIALIZED (
    SELECT * FROM unnest(
        %(i_chunks)s::integer[], %(i_epochs)s::integer[], %(i_counts)s::integer[],
        %(i_ats)s::float8[], %(i_days)s::text[], %(i_seqs)s::text[]
    ) WITH ORDINALITY AS a (chunk_no, epoch, rows, at, day, seqs, op)
),
may AS MATERIALIZED (
    SELECT a.*, f.first_seq, f.last_seq FROM asked a JOIN fence f USING (chunk_no, epoch)
    WHERE f.deadline > extract(epoch FROM clock_timestamp())
      AND (SELECT requested FROM control WHERE campaign = %(campaign)s) = '{Control.RUN.value}'
),
intended AS (
    UPDATE this.recipient AS r
    SET {_INTEND.sets}, attempts = attempts + 1, at = w.at, intended_at = w.at
    FROM (SELECT may.op, may.at, may.day, s.seq FROM may, unnest(may.seqs::bigint[]) AS s (seq)
          WHERE s.seq BETWEEN may.first_seq AND may.last_seq) AS w
    WHERE r.campaign = %(campaign)s AND r.seq = w.seq AND r.{_INTEND.where} AND r.group_no IS NULL
    RETURNING w.op, w.at, w.day
)"""

_TOLD: Final = """
told AS MATERIALIZED (
    SELECT * FROM unnest(
        %(s_chunks)s::integer[], %(s_epochs)s::integer[], %(s_counts)s::integer[],
        %(s_seqs)s::text[], %(s_ats)s::text[]
    ) WITH ORDINALITY AS t (chunk_no, epoch, rows, seqs, ats, op)
),
held AS MATERIALIZED (
    SELECT t.*, f.first_seq, f.last_seq FROM told t JOIN fence f USING (chunk_no, epoch)
)"""

_SENT_ROWS: Final = f"""
sent AS (
    UPDATE this.recipient AS r
    SET {_SENT.sets}, at = w.at, code = '', detail = '', rid = NULL, maybe_sent = false, extra = NULL
    FROM (SELECT held.op, s.* FROM held,
                 unnest(held.seqs::bigint[], held.ats::float8[]) WITH ORDINALITY AS s (seq, at, place)
          WHERE s.seq BETWEEN held.first_seq AND held.last_seq) AS w
    WHERE r.campaign = %(campaign)s AND r.seq = w.seq AND r.{_SENT.where}
    RETURNING w.op, w.place::float8 AS place, 0 AS no, r.seq, r.at, r.state, r.code,
              0 AS uncalled, r.intended_at
)"""

# Whoever may have been sent to already and is pending again keeps the reason of that.
_KEEPS: Final = "r.maybe_sent AND r.code <> '' AND w.doubtful"
_OTHERS: Final = f"""
others AS (
    UPDATE this.recipient AS r
    SET state = w.state, at = w.at, maybe_sent = w.doubtful, extra = w.extra,
        attempts = r.attempts - w.uncalled,
        code = CASE WHEN {_KEEPS} THEN r.code ELSE w.code END,
        detail = CASE WHEN {_KEEPS} THEN r.detail ELSE w.detail END,
        rid = CASE WHEN {_KEEPS} THEN r.rid ELSE w.rid END
    FROM (SELECT j.* FROM held JOIN json_to_recordset(%(others)s::json) AS j (
              op bigint, no integer, seq bigint, state smallint, code text, detail text, rid text,
              at float8, doubtful boolean, extra text, uncalled integer, place float8
          ) USING (op) WHERE j.seq BETWEEN held.first_seq AND held.last_seq) AS w
    WHERE r.campaign = %(campaign)s AND r.seq = w.seq AND r.{_SENT.where}
    RETURNING w.op, w.place + 0.5 AS place, w.no, r.seq, r.at, r.state, r.code,
              w.uncalled, r.intended_at
)"""

_COUNTED: Final = f"""
ended AS MATERIALIZED ({{rows}}),
final AS MATERIALIZED (SELECT * FROM ended WHERE {in_state(*FINAL)}),
counted AS (
    INSERT INTO tally (campaign, worker, state, code, recipients, last_at)
    SELECT %(campaign)s, %(worker)s, c.state, c.code, c.n, (SELECT max(at) FROM ended)
    FROM (SELECT state, CASE WHEN {in_state(State.SENT)} THEN '' ELSE code END AS code, count(*) AS n
          FROM final GROUP BY 1, 2
          UNION ALL SELECT {_PENDING}, '', -count(*) FROM final) AS c
    WHERE EXISTS (SELECT FROM ended) ORDER BY c.state, c.code
    ON CONFLICT (campaign, worker, state, code) DO UPDATE
    SET recipients = tally.recipients + excluded.recipients,
        last_at = greatest(tally.last_at, excluded.last_at)
)"""

_CHINA_DAY: Final = (
    "to_char(timestamp 'epoch' + interval '1 second' * (intended_at + 28800), 'YYYY-MM-DD')"
)
_DAYS: Final = """
days AS (
    INSERT INTO intent_day (campaign, day, worker, singles)
    SELECT %(campaign)s, d.day, %(worker)s, sum(d.n) FROM ({days}) AS d (day, n) GROUP BY d.day ORDER BY d.day
    ON CONFLICT (campaign, day, worker) DO UPDATE SET singles = intent_day.singles + excluded.singles
)"""
_DAYS_OF_INTENTS: Final = "SELECT day, count(*) AS n FROM intended GROUP BY day"
_DAYS_OF_UNCALLED: Final = (
    f"SELECT {_CHINA_DAY}, -sum(uncalled) FROM others WHERE uncalled > 0 GROUP BY 1"
)

_LOG: Final = """
logged AS (
    INSERT INTO commit_log (campaign, intended_at, intended_singles, final_seqs)
    SELECT %(campaign)s, i.at, i.n, f.seqs
    FROM ({intents}) AS i (at, n), ({final}) AS f (seqs)
    WHERE i.n IS NOT NULL OR f.seqs IS NOT NULL
)"""
_LOG_INTENTS: Final = "SELECT max(at), nullif(count(*), 0) FROM intended"
_NO_INTENTS: Final = "SELECT NULL::float8, NULL::integer"
_LOG_FINAL: Final = "SELECT array_agg(seq ORDER BY op, place, no) FROM final"
_NO_FINAL: Final = "SELECT NULL::bigint[]"


@lru_cache(maxsize=8)
def commit_text(intents: bool, sent: bool, others: bool) -> str:
    """The statement of a commit that has intents, plain successes, other results. It returns which
    intents and which settlements had their lease, by their place from 1."""
    parts = [_FENCE]
    days = []
    wanted, changed = [], []
    if intents:
        parts.append(_ASKED)
        days.append(_DAYS_OF_INTENTS)
        wanted.append("coalesce((SELECT sum(rows) FROM may), 0)")
        changed.append("(SELECT count(*) FROM intended)")
    ended = []
    if sent or others:
        parts.append(_TOLD)
        wanted.append("coalesce((SELECT sum(rows) FROM held), 0)")
        changed.append("(SELECT count(*) FROM ended)")
        if sent:
            parts.append(_SENT_ROWS)
            ended.append("SELECT * FROM sent")
        if others:
            parts.append(_OTHERS)
            days.append(_DAYS_OF_UNCALLED)
            ended.append("SELECT * FROM others")
        parts.append(_COUNTED.format(rows=" UNION ALL ".join(ended)))
    if days:
        parts.append(_DAYS.format(days=" UNION ALL ".join(days)))
    log = {
        "intents": _LOG_INTENTS if intents else _NO_INTENTS,
        "final": _LOG_FINAL if ended else _NO_FINAL,
    }
    parts.append(_LOG.format(**log))
    asked = "ARRAY(SELECT op FROM may)" if intents else "NULL"
    told = "ARRAY(SELECT op FROM held)" if ended else "NULL"
    return (
        f"WITH {', '.join(parts)}"
        f" SELECT {asked}, {told}, 1 / ({' + '.join(wanted)} = {' + '.join(changed)})::integer"
    )


def array(values: Iterable[object]) -> str:
    """Numbers as PostgreSQL writes an array of them."""
    return "{" + ",".join(map(str, values)) + "}"


def _texts(values: Iterable[str]) -> str:
    return '{"' + '","'.join(values) + '"}'


def commit_arguments(
    intents: Sequence[Intent], settlements: Sequence[Settlement], worker: str
) -> dict[str, Any]:
    """What `commit_text` binds. Arrays go as texts: a value of its own for each number costs more."""
    chunks = {i.lease.chunk_no for i in intents} | {s.lease.chunk_no for s in settlements}
    args: dict[str, Any] = {"worker": worker, "chunks": array(sorted(chunks))}
    if intents:
        args["i_chunks"] = array([i.lease.chunk_no for i in intents])
        args["i_epochs"] = array([i.lease.epoch for i in intents])
        args["i_counts"] = array([len(i.seqs) for i in intents])
        args["i_ats"] = array([repr(float(i.at)) for i in intents])
        args["i_days"] = [i.day for i in intents]
        args["i_seqs"] = _texts([array(i.seqs) for i in intents])
    if settlements:
        args["s_chunks"] = array([s.lease.chunk_no for s in settlements])
        args["s_epochs"] = array([s.lease.epoch for s in settlements])
        args["s_counts"] = array([len(s.results) for s in settlements])
        args["s_seqs"] = _texts([array([seq for seq, _ in s.sent]) for s in settlements])
        args["s_ats"] = _texts([array([repr(float(at)) for _, at in s.sent]) for s in settlements])
        others = [
            {"op": op, "no": no, **dict(zip(OTHER_NAMES, other, strict=True))}
            for op, settlement in enumerate(settlements, 1)
            for no, other in enumerate(settlement.others)
        ]
        if others:
            args["others"] = _encode(others).decode()
    return args
