"""Campaigns as the console saw them, made without a journal: `look`, `visitor`, `pages`, `outcome`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from promomsg.cli.language.page_languages import page_languages
from promomsg.console.console_types import Look, Visitor
from promomsg.console.pages import Pages
from promomsg.engine.report import Report
from promomsg.journal.records import CampaignRecord, Counts, GroupRow
from promomsg.model import Outcome, Recipient, State
from promomsg.states import GroupState
from promomsg.timeline import EMPTY, Timeline

__all__ = ["COUNTS", "HOSTILE", "UNSEEN", "group", "look", "outcome", "pages", "record", "visitor"]

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\u202e\x1b[31m\u200b"
    + "名" * 300
)
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]")
COUNTS = Counts(
    planned=1203,
    sent=1100,
    failed=60,
    unknown=3,
    skipped=20,
    cancelled=5,
    pending=15,
    by_code={"43101": 59, "BAD_ROW": 1, "NO_ANSWER": 3, "DUPLICATE_KEY": 20, "CANCELLED": 5},
)


class _NoRows:
    """A journal in which nobody is."""

    def rows(self, states: object = None) -> Iterator[Outcome]:
        return iter(())

    def timeline(self, most: int) -> Timeline:
        return EMPTY

    def keep(self) -> None: ...

    def close(self) -> None: ...


pages = Pages(page_languages(), has_fleet=True)


def visitor(language: str = "en", *, may_act: bool = True) -> Visitor:
    """Who asks; the token of a path is `token of PATH`."""
    return Visitor(
        language=language, may_act=may_act, signs_in=True, csrf=lambda path: f"token of {path}"
    )


def record(**changes: Any) -> CampaignRecord:
    """What a campaign was begun with."""
    given: dict[str, Any] = {
        "name": "autumn",
        "channel": "wechat",
        "account": "wx0123",
        "run_id": "0" * 32,
        "message": {
            "msg_type": 1,
            "content": [["title", "优惠"], ["desc", "{name|客官}，您好"]],
            "path": "pages/index?k={key}",
        },
        "settings": {"concurrency": 64, "pace": {"singles_per_second": 20}, "first": 20},
        "source": {"path": "/lists/people.csv", "rows": 1203},
        "created_at": 1_790_000_000.0,
        "planned_at": 1_790_000_000.0,
        "base_url": "https://api.weixin.qq.com",
    }
    return CampaignRecord(**{**given, **changes})


def group(number: int, **changes: Any) -> GroupRow:
    """One group send."""
    given: dict[str, Any] = {
        "group_no": number,
        "state": GroupState.ACCEPTED,
        "planned": 80,
        "msg_id": str(1_000_000 + number),
        "percent": 40,
        "send_cnt": 32,
        "fail_cnt": 1,
        "next_poll_at": 1_790_000_900.0,
    }
    return GroupRow(**{**given, **changes})


def look(
    *,
    counts: Counts = COUNTS,
    state: str = "halted",
    reason: str = "45009: reach max api daily quota limit",
    groups: tuple[GroupRow, ...] = (),
    warnings: tuple[str, ...] = (),
    kept: CampaignRecord | None = None,
    **changes: Any,
) -> Look:
    """A campaign as it was seen."""
    kept = record() if kept is None else kept
    report = Report(
        kept, counts, groups, state=state, reason=reason, rows=_NoRows(), warnings=warnings
    )
    given: dict[str, Any] = {
        "place": "1",
        "name": "autumn.db",
        "journal": "/campaigns/autumn.db",
        "size": 106_500,
        "account": "wechat wx0123",
        "record": kept,
        "report": report,
        "state": state,
        "at": 1_790_000_800.0,
        "rate": 38.4,
        "seconds_left": 700.0,
        "singles_today": 1204,
        "singles_per_day": 100_000,
    }
    return Look(**{**given, **changes})


def outcome(key: str = "k1", **changes: Any) -> Outcome:
    """Where somebody stands."""
    given: dict[str, Any] = {
        "recipient": Recipient(key=key, openid="o1"),
        "state": State.FAILED,
        "code": "43101",
        "detail": "user refuse to accept the msg",
        "rid": "r-1",
        "attempts": 2,
        "at": 1_790_000_100.0,
    }
    return Outcome(**{**given, **changes})
