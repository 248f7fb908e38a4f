"""The digest of a plan: what a person says yes to, and what that yes is not for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from promomsg import UsageError
from promomsg.engine.schedule.plan_digest import check_planned_settings, plan_digest
from promomsg.journal.records import CampaignRecord

PLAN = CampaignRecord(
    name="autumn",
    channel="wechat",
    account="wx0123456789",
    run_id="0" * 32,
    message={"msg_type": 1, "content": [["title", "sale"], ["date", "today"]]},
    settings={"route": None, "max_group_size": 10_000, "concurrency": 64},
    source={"path": "/a/list.csv", "digest": "ab", "rows": 3},
    created_at=1.0,
)


def other(**changes: Any) -> str:
    return plan_digest(msgspec.structs.replace(PLAN, **changes))


def test_it_is_the_same_wherever_and_whenever_it_is_taken() -> None:
    again = msgspec.json.decode(msgspec.json.encode(PLAN), type=CampaignRecord)
    assert plan_digest(again) == plan_digest(PLAN)
    turned = {"content": PLAN.message["content"], "msg_type": 1}
    assert other(message=turned) == plan_digest(PLAN)


@pytest.mark.parametrize(
    "changes",
    [
        {"message": {**PLAN.message, "msg_type": 2}},
        {"source": {**PLAN.source, "digest": "cd"}},
        {"source": {**PLAN.source, "rows": 4}},
        {"settings": {**PLAN.settings, "route": "single"}},
        {"settings": {**PLAN.settings, "only": ["a"]}},
        {"account": "wx9876543210"},
    ],
)
def test_another_message_list_account_or_route_is_another_plan(changes: dict[str, Any]) -> None:
    assert other(**changes) != plan_digest(PLAN)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "winter"},
        {"source": {**PLAN.source, "path": "/b/list.csv"}},
        {"settings": {**PLAN.settings, "concurrency": 8}},
        {"warnings": ["it was slow"], "halted": "FIRST_ASK: look"},
    ],
)
def test_where_it_lies_and_how_fast_it_goes_are_no_part_of_it(changes: dict[str, Any]) -> None:
    assert other(**changes) == plan_digest(PLAN)


def test_settings_that_are_given_with_an_approval_are_those_of_the_plan() -> None:
    kept = {"route": None, "max_group_size": 10_000, "only": ["a"]}
    check_planned_settings(kept, {"route": None, "only": ("a",), "concurrency": 2})
    check_planned_settings(kept, {})
    with pytest.raises(
        UsageError, match="route was None and is 'group' now; max_group_size was 10000"
    ):
        check_planned_settings(kept, {"route": "group", "max_group_size": 99})
    with pytest.raises(UsageError, match="…"):
        check_planned_settings(kept, {"only": [str(n) for n in range(100)]})
