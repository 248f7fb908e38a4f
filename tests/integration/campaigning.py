"""What the campaign tests share: quick policies, messages, lists, whole runs, and the sums that must hold."""

from __future__ import annotations

import inspect
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from waiting import until

from promomsg import (
    Campaign,
    Pace,
    PollPolicy,
    Report,
    RetryPolicy,
    SqliteJournal,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.journal.contract import Journal
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.sqlite.memory import MemoryJournal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

QUICK: dict[str, Any] = {
    "poll": PollPolicy(first_after=0.01, every=0.02),
    "retry": RetryPolicy(first_pause=0.005, longest_pause=0.02),
}
MESSAGE = WeChatMessage(
    1, {"title": "今日优惠活动", "desc": "三件五折", "date": "2022/10/28"}, "pages/index/index"
)
PERSONAL = WeChatMessage(1, {"title": "{name|客官}", "desc": "三件五折"}, "pages/index/index")
JOURNALS = ("sqlite", "memory")
"""Kinds of journal that every campaign test with a `journal` runs with."""
ON_POSTGRES = frozenset(
    f"test_{suite}"
    for suite in (
        "campaign_audience", "campaign_groups", "campaign_hours", "campaign_later_answers", "campaign_parts", "campaign_reconcile", "campaign_report",
        "campaign_resume", "campaign_retry", "campaign_stream", "campaign_verdicts",
        "suppression_given",
    )
)  # fmt: skip
"""Suites that run with one in a PostgreSQL database too."""
KEYS = {
    "campaign",
    "state",
    "reason",
    "planned",
    "sent",
    "failed",
    "unknown",
    "skipped",
    "cancelled",
    "pending",
    "by_code",
    "groups",
    "warnings",
    "elapsed_s",
}
"""Of the document of `--json` (docs/design.md, "The document")."""


def wechat(box: Sandbox, **changes: Any) -> WeChatPromoter:
    """A client of the sandbox that nothing slows down."""
    given = {"secret": "s3cret", "base_url": box.url, "pace": Pace(unlimited=True), **changes}
    return WeChatPromoter("wx0001", **given)


def ids(count: int, start: int = 500_001) -> list[str]:
    """So many promoter ids."""
    return [str(start + n) for n in range(count)]


def journal_at(kind: str, folder: Path, database: str = "") -> Journal:
    """A new journal of that kind. `database`: the URL of PostgreSQL's."""
    if kind == "postgres":
        return PostgresJournal(database, secrets.token_hex(8))
    if kind == "memory":
        return MemoryJournal()
    return SqliteJournal(folder / "campaign.db", durability="process")


def kept_in(journal: Journal) -> bytes:
    """All that a journal has kept, wherever that is."""
    if isinstance(journal, PostgresJournal):
        with psycopg.connect(journal.url) as db:
            tables = db.execute(
                b"SELECT relname FROM pg_class"
                b" WHERE relnamespace = 'promomsg'::regnamespace AND relkind = 'r'"
            ).fetchall()
            rows = (db.execute(f"SELECT t::text FROM promomsg.{t} t".encode()) for (t,) in tables)
            return "".join(text for cursor in rows for (text,) in cursor).encode()
    return b"" if journal.path is None else Path(journal.path).read_bytes()


async def run_to_end(
    campaign: Campaign,
    *,
    when: Callable[[], object] | None = None,
    act: Callable[[Campaign], object] | None = None,
) -> Report:
    """Opens a campaign, waits until it has ended, closes it, and returns its report.

    Args:
        when: as soon as this is true,
        act: this is called with the campaign, and awaited if it can be.
    """
    async with campaign as run:
        if when is not None:
            await until(when)
        if act is not None and inspect.isawaitable(done := act(run)):
            await done
        return await run.wait()


def add_up(document: dict[str, Any]) -> None:
    """The sum of docs/design.md, "The counts add up", and the keys of "The document" there (`first` only
    where there are first few)."""
    assert set(document) - {"first"} == KEYS
    parts = ("sent", "failed", "unknown", "skipped", "cancelled", "pending")
    assert document["planned"] == sum(document[part] for part in parts), document
    not_sent = sum(document[part] for part in ("failed", "unknown", "skipped", "cancelled"))
    assert sum(document["by_code"].values()) == not_sent, document


def honest(report: Report, box: Sandbox) -> None:
    """What the report says of each recipient against what the sandbox really delivered."""
    add_up(report.to_dict())
    seen = 0
    for outcome in report.outcomes():
        who = outcome.recipient
        reached = box.ledger.deliveries(who.openid or who.unionid or who.id or "")
        seen += 1
        if outcome.state == "sent":
            assert reached == 1, outcome
        elif outcome.state in ("failed", "pending", "cancelled"):
            assert reached == 0, outcome
        elif outcome.state == "unknown":
            assert reached <= 1, outcome
    assert seen == report.planned


def group_ids(box: Sandbox) -> list[list[str]]:
    """The id lists of the group calls, in order."""
    return [json.loads(body).get("id", []) for body in box.calls.bodies("sendmsg")]


def single(**rule: object) -> FaultPlan:
    """A plan of one rule for single sends."""
    return FaultPlan([Fault(endpoint="singlesendmsg", **rule)])  # type: ignore[arg-type]
