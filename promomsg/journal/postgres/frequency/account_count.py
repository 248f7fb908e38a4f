"""Counting the messages of an account's campaigns in a database, and skipping who is over the cap, in SQL.

What is counted is in temporary tables of the one connection, so memory does not grow with the recipients.
"""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from promomsg.errors import JournalError, UsageError
from promomsg.journal.contract import FLEET
from promomsg.journal.postgres.planning.anew import cut_again, leave_groups, skip_blocked
from promomsg.journal.postgres.planning.suppression import make_blocked
from promomsg.journal.postgres.statements.chunks import refuse_intended
from promomsg.journal.postgres.statements.reading import SENDERS_AT_WORK
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction, statement
from promomsg.journal.records import Control, Reason
from promomsg.journal.state_sql import in_group_state, in_state, recipient_move
from promomsg.model import IDEMPOTENT_CHANNELS, Code, State
from promomsg.states import GROUP_REACHED_NOBODY, MAYBE_REACHED, Event, GroupState
from promomsg.url_origins import origin

__all__ = [
    "CountedAccount",
    "begin_count",
    "check_held",
    "count_messages",
    "hold",
    "is_counted",
    "is_left_alone",
    "keep_counted",
    "release",
    "skip_over",
    "skip_planned_over",
]

_SKIP: Final = recipient_move(Event.SKIP)
_PENDING: Final = in_state(State.PENDING)
_LOCKS: Final = 0x50524F50 << 32
"""Advisory locks of those who count for an account: 'PROP', and a digest of the account."""


class CountedAccount(NamedTuple):
    """Whose campaigns are counted together."""

    channel: str
    account: str
    origin: str

    @property
    def key(self) -> int:
        """Its advisory lock."""
        text = "\0".join(self).encode()
        return _LOCKS + int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


async def hold(tx: Transaction, account: CountedAccount) -> bool:
    """Whether this connection is the one that counts, until `release` or its end."""
    (held,) = await tx.row("SELECT pg_try_advisory_lock(%(key)s::bigint)", {"key": account.key})
    return bool(held)


async def release(tx: Transaction, account: CountedAccount) -> None:
    """Lets others count."""
    await tx.row("SELECT pg_advisory_unlock(%(key)s::bigint)", {"key": account.key})


_IS_HELD: Final = """
SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
AND classid = %(high)s AND objid = %(low)s AND objsubid = 1
"""


async def check_held(tx: Transaction, account: CountedAccount) -> None:
    """Raises JournalError unless this is still the connection that holds it."""
    high, low = divmod(account.key, 1 << 32)
    if await tx.first(_IS_HELD, {"high": high, "low": low}) is None:
        raise JournalError(
            "max_per_person: the connection was lost while messages were counted; nothing was sent: try again"
        )


async def is_left_alone(tx: Transaction) -> bool:
    """Whether nobody sends the campaign now, nor begins to before this transaction ends. Who does has
    counted before."""
    try:
        await refuse_intended(tx)
    except JournalError:
        return False
    return await tx.first(SENDERS_AT_WORK) is None


async def keep_counted(tx: Transaction, at: float) -> None:
    """Keeps when the campaign is counted, for its other senders."""
    await tx.change(
        "UPDATE campaign SET cap_counted_at = %(at)s WHERE campaign = %(campaign)s", {"at": at}
    )


async def is_counted(reads: CampaignReads, since: float) -> bool:
    """Whether it was at that moment or later."""
    (found,) = await reads.row(
        "SELECT coalesce(cap_counted_at >= %(since)s, false) FROM campaign WHERE campaign = %(campaign)s",
        {"since": since},
    )
    return bool(found)


_TABLES: Final = (
    "person (value text NOT NULL, seq bigint NOT NULL)",
    "had (seq bigint NOT NULL, messages bigint NOT NULL)",
)
_NAMELESS: Final = "{row}.key ~ '^row [0-9]+$'"
"""Its key only says where a recipient stood in its list (`intake.sources.NAMELESS_KEY`)."""
# An address that is the key too is one value.
_VALUES: Final = (
    f"(VALUES (CASE WHEN {_NAMELESS} THEN NULL ELSE {{row}}.key END), (nullif({{row}}.id, {{row}}.key)),"
    " (nullif({row}.openid, {row}.key)), (nullif({row}.unionid, {row}.key))) AS v (value)"
)
_PEOPLE: Final = f"""
INSERT INTO pg_temp.person
SELECT DISTINCT v.value, r.seq FROM this.recipient AS r CROSS JOIN LATERAL {_VALUES.format(row="r")}
WHERE {in_state(State.PENDING, row="r")} AND v.value IS NOT NULL
"""
# A row that is there twice is the same person by another address.
_DUPLICATES: Final = f"""
INSERT INTO pg_temp.person
SELECT DISTINCT v.value, p.seq FROM this.recipient AS d CROSS JOIN LATERAL {_VALUES.format(row="d")}
JOIN pg_temp.person AS p ON p.value IN (d.key, d.id, d.openid, d.unionid)
WHERE {in_state(State.SKIPPED, row="d")} AND v.value IS NOT NULL
AND d.code IN ('{Code.DUPLICATE_KEY}', '{Code.DUPLICATE_ADDRESS}')
AND NOT EXISTS (SELECT FROM pg_temp.person AS o WHERE o.value = v.value AND o.seq = p.seq)
"""
_ANONYMOUS: Final = f"""
SELECT key FROM {{people}} AS r WHERE {_NAMELESS.format(row="r")}
AND coalesce(id, openid, unionid) IS NULL LIMIT 1
"""


async def begin_count(tx: Transaction) -> None:
    """A count of everybody who is pending, at nothing.

    Raises:
        UsageError: one of them has neither key nor address in the journal.
    """
    nameless = await tx.first(
        _ANONYMOUS.format(people=f"(SELECT * FROM this.recipient WHERE {_PENDING})")
    )
    if nameless is not None:
        raise UsageError(
            f"max_per_person: {nameless[0]} has no key, and its address is not kept, so nobody knows how many "
            "messages it had; give the list a column key"
        )
    await tx.change("SET LOCAL work_mem = '64MB'")
    for table in _TABLES:
        name = table.partition(" ")[0]
        await tx.change(f"DROP TABLE IF EXISTS pg_temp.{name}")
        await tx.change(f"CREATE TEMP TABLE {table}")
    await tx.change(_PEOPLE)
    await tx.change("CREATE INDEX ON pg_temp.person (value)")
    await tx.change("ANALYZE pg_temp.person")
    await tx.change(_DUPLICATES)


_LATE: Final = "coalesce({at}, %(since)s) >= %(since)s"
_REACHED: Final = f"{in_state(*MAYBE_REACHED, row='r')} AND {_LATE.format(at='r.at')}"
_TAKEN: Final = f"campaign = %(other)s AND NOT {in_group_state(*GROUP_REACHED_NOBODY)}"
_OUT: Final = f"SELECT group_no FROM group_send WHERE {_TAKEN}"
# Members of a group that is out stay pending: their message went out when the group was called.
_TO_COME: Final = f"""{in_state(State.PENDING, row="r")} AND CASE
    WHEN r.group_no IN ({_OUT}) THEN r.group_no IN ({_OUT} AND {_LATE.format(at="sent_at")})
    ELSE %(unsent)s OR r.maybe_sent END"""
# The lost answer of a group that was taken over since (`reconcile --adopt`): it is the one message that its
# member has now. Who is retried is in a group that was sent later, if in any.
_ADOPTED: Final = """(h.msg_id IS NULL AND EXISTS (SELECT FROM group_send AS g
    WHERE g.campaign = %(other)s AND g.group_no = r.group_no AND g.msg_id IS NOT NULL AND g.sent_at <= h.at))"""
_BEFORE: Final = (
    "(SELECT count(*) FROM attempt_history AS h WHERE h.campaign = %(other)s AND h.seq = r.seq"
    f" AND {in_state(*MAYBE_REACHED, row='h')} AND {_LATE.format(at='h.at')} AND NOT {_ADOPTED})"
)
_NOW: Final = f"({_REACHED} OR {_TO_COME})"
_FOUND: Final = f"SELECT r.*, 1 AS messages FROM this.recipient AS r WHERE {_NOW}"
_FOUND_WITH_HISTORY: Final = f"""
SELECT * FROM (SELECT r.*, {_NOW}::integer + {_BEFORE} AS messages FROM this.recipient AS r) AS r
WHERE messages > 0
"""
# Only added to: a row that one transaction changes again and again is found ever more slowly.
_ADD: Final = f"""
INSERT INTO pg_temp.had (seq, messages)
SELECT seq, sum(messages) FROM (
    SELECT DISTINCT p.seq, m.seq AS message_no, {{messages}} AS messages
    FROM ({{found}}) AS m CROSS JOIN LATERAL {_VALUES.format(row="m")}
    JOIN pg_temp.person AS p ON p.value = v.value
) AS one GROUP BY seq
"""

# Its row is kept from being removed meanwhile, and from nothing else.
_OTHERS: Final = f"""
SELECT c.campaign, c.journal, c.base_url,
       (SELECT requested FROM control AS o WHERE o.campaign = c.campaign),
       EXISTS (SELECT FROM attempt_history AS h WHERE h.campaign = c.campaign) AS retried
FROM campaign AS c
WHERE c.channel = %(channel)s AND c.account = %(account)s AND c.planned_at IS NOT NULL
  AND c.campaign <> %(campaign)s
  AND (EXISTS (SELECT FROM attempt_history AS h WHERE h.campaign = c.campaign)
       OR (SELECT coalesce(sum(recipients), 0) > 0 FROM tally AS t
           WHERE t.campaign = c.campaign AND {in_state(State.PENDING, row="t")})
       OR EXISTS (SELECT FROM tally AS t WHERE t.campaign = c.campaign AND t.recipients > 0
                  AND {in_state(*MAYBE_REACHED, row="t")} AND {_LATE.format(at="t.last_at")}))
ORDER BY c.campaign FOR KEY SHARE OF c
"""
_AUDIENCE: Final = f"""
SELECT 1 FROM group_send WHERE campaign = %(other)s AND audience IS NOT NULL AND (
    NOT {in_group_state(*GROUP_REACHED_NOBODY)} AND {_LATE.format(at="sent_at")}
    OR {in_group_state(GroupState.PLANNED)} AND %(unsent)s) LIMIT 1
"""


async def count_messages(tx: Transaction, account: CountedAccount, since: float) -> int:
    """Counts the messages of the account's other campaigns; returns how many those are.

    Raises:
        JournalError: one of them does not say whom it sent to.
    """
    args = {"channel": account.channel, "account": account.account, "since": since}
    others = await tx.rows(_OTHERS, args)
    counted = 0
    idempotent = account.channel in IDEMPOTENT_CHANNELS
    for other, journal, base_url, requested, retried in others:
        if origin(base_url) != account.origin:
            continue
        one = {"other": other, "since": since, "unsent": requested != Control.CANCEL}
        if await tx.first(_AUDIENCE, one) is not None:
            raise _refusal(
                journal, "it sends to an audience as one group, whose members it does not name"
            )
        found = _FOUND_WITH_HISTORY if retried else _FOUND
        anonymous = statement(_ANONYMOUS.format(people=f"({found})"), other)
        if await (await tx.db.execute(anonymous, one)).fetchone() is not None:
            raise _refusal(
                journal,
                "it sent to recipients with neither key nor address in it, so who they are cannot be told",
            )
        # Whoever is asked for again with the same key gets one message.
        add = _ADD.format(found=found, messages="1" if idempotent else "m.messages")
        await tx.db.execute(statement(add, other), one)
        counted += 1
    return counted


def _refusal(journal: str, why: str) -> JournalError:
    return JournalError(
        f"max_per_person: {FLEET}{journal}: {why}: it may have reached any of these recipients; wait until it is "
        "older than the time of the cap, or remove it from the database"
    )


async def _find_over(tx: Transaction, most: int, reason: Reason) -> bool:
    await make_blocked(tx)
    found = await tx.change(
        "INSERT INTO pg_temp.blocked SELECT seq, %(detail)s, 0 FROM pg_temp.had"
        " GROUP BY seq HAVING sum(messages) >= %(most)s",
        {"detail": reason.detail, "most": most},
    )
    for table in _TABLES:
        await tx.change(f"DROP TABLE pg_temp.{table.partition(' ')[0]}")
    return bool(found)


async def skip_planned_over(tx: Transaction, most: int, reason: Reason, smallest_group: int) -> int:
    """Before the plan is complete: who is over the cap is skipped, and in no group."""
    if not await _find_over(tx, most, reason):
        return 0
    await leave_groups(tx, reason, smallest_group, planning=True)
    changed = await tx.change(
        f"UPDATE this.recipient AS r SET {_SKIP.sets}, code = %(code)s, detail = b.detail"
        f" FROM pg_temp.blocked AS b WHERE b.seq = r.seq AND {_SKIP.where}",
        {"code": reason.code},
    )
    tx.counts.move(State.PENDING, "", _SKIP.end, reason.code, changed)
    return changed


async def skip_over(
    tx: Transaction, most: int, reason: Reason, smallest_group: int, at: float
) -> int:
    """The same once it is, of a campaign that is left alone: groups that are out keep their members."""
    if not await _find_over(tx, most, reason):
        return 0
    changed, _ = await skip_blocked(tx, reason, at, smallest_group)
    if changed:
        # No lease of before fits a chunk any more.
        await cut_again(tx)
    return changed
