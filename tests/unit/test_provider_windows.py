"""Until when the provider can be asked, and what is said of clicks."""

from __future__ import annotations

import pytest
from clocks import china
from journal_rows import record

from promomsg.engine.later_days.provider_windows import click_notes, closing_windows
from promomsg.journal.records import CampaignRecord, ClickDay, GroupRow
from promomsg.states import GroupState

SENT = "2026-09-01"
SENT_AT = china("2026-09-01 10:00")


def campaign(**more: object) -> CampaignRecord:
    return record(planned_at=SENT_AT - 60, **more)


def group(state: GroupState = GroupState.DONE, **more: object) -> GroupRow:
    msg_id = None if state is GroupState.UNKNOWN else "m1"
    return GroupRow(group_no=3, state=state, planned=60, msg_id=msg_id, sent_at=SENT_AT, **more)  # type: ignore[arg-type]


def closing(
    now: str,
    *groups: GroupRow,
    kept: tuple[ClickDay, ...] = (),
    days: tuple[str, ...] = (),
    unnamed: int = 0,
    running: bool = False,
    of: CampaignRecord | None = None,
) -> list[str]:
    return closing_windows(
        of or campaign(),
        groups,
        kept,
        days,
        unnamed=unnamed,
        running=running,
        journal="my autumn.db",
        now=china(now),
    )


def asked(day: str, on: str, *, by_message: bool = True) -> ClickDay:
    return ClickDay(day=day, by_message=by_message, asked_at=china(f"{on} 12:00"))


@pytest.mark.parametrize(
    ("now", "left"),
    [
        ("2026-11-23 00:01", "in 7 days"),
        ("2026-11-28 12:00", "in 2 days"),
        ("2026-11-30 23:00", "in 1 h"),
    ],
)
def test_clicks_that_nobody_asked_for_are_said_a_week_before_they_are_gone(
    now: str, left: str
) -> None:
    assert closing(now, group()) == [
        f"the clicks of 2026-09-01 can be had until 2026-11-30 (China time), {left}: "
        "`promomsg clicks 'my autumn.db'` keeps them"
    ]


@pytest.mark.parametrize("now", ["2026-09-03 12:00", "2026-11-22 23:59", "2026-12-01 00:01"])
def test_neither_earlier_nor_once_they_are_gone(now: str) -> None:
    assert closing(now, group(), days=(SENT,)) == []


def test_what_was_kept_while_it_moved_is_to_be_asked_once_more_and_what_stands_is_not() -> None:
    now = "2026-11-28 12:00"
    assert closing(now, group(), kept=(asked(SENT, "2026-09-03"),)) != []
    assert closing(now, group(), kept=(asked(SENT, "2026-09-09"),)) == []
    [text] = closing(now, days=(SENT, "2026-09-04", "2026-10-20"))
    assert text.startswith("the clicks of 2026-09-01 to 2026-09-04 can be had until 2026-11-30")


def test_wallets_have_no_windows() -> None:
    assert closing("2026-11-28 12:00", days=(SENT,), of=campaign(channel="alipay")) == []


def test_a_result_that_nobody_follows_is_said_two_days_before_it_is_gone() -> None:
    sent = group(GroupState.ACCEPTED)
    assert closing("2026-09-06 09:00", sent) == []
    assert closing("2026-09-07 10:00", sent) == [
        "group 3 (m1): its result can be had until 2026-09-08 10:00 (China time), in 1 day: "
        "`promomsg resume 'my autumn.db'` follows it"
    ]
    assert closing("2026-09-07 10:00", sent, running=True) == []
    assert closing("2026-09-08 10:00", sent) == []


def test_a_lost_group_is_said_while_it_can_be_looked_for_unless_somebody_did() -> None:
    lost = group(GroupState.UNKNOWN)
    assert closing("2026-09-01 23:59", lost) == []
    [text] = closing("2026-09-02 00:01", lost)
    assert "its answer was lost, and it can be looked for until 2026-09-08 10:00" in text
    assert "`promomsg reconcile 'my autumn.db'`" in text
    found = campaign(warnings=["group 3: its answer was lost, and the message m1 can only be it"])
    assert closing("2026-09-02 00:01", lost, of=found) == []


def test_failures_whose_names_could_not_be_had_are_said_while_they_can() -> None:
    warning = "group 3 (m1): the failure file could not be had: no connection"
    found = campaign(warnings=[warning], campaign_file="/here/autumn.toml")
    [text] = closing("2026-09-04 12:00", group(), of=found, unnamed=5)
    assert "`promomsg follow m1 --campaign /here/autumn.toml` names them" in text
    assert closing("2026-09-04 12:00", group(), of=found, unnamed=0) == []
    assert closing("2026-09-04 12:00", group(), unnamed=5) == []
    assert closing("2026-09-09 12:00", group(), of=found, unnamed=5) == []


def notes(
    now: str, *groups: GroupRow, kept: tuple[ClickDay, ...] = (), days: tuple[str, ...] = ()
) -> list[str]:
    return click_notes(campaign(), groups, kept, days, journal="a.db", now=china(now))


def test_what_is_said_of_clicks_by_their_age() -> None:
    first, *rest = notes("2026-09-01 12:00", group())
    assert first == "WeChat counts clicks by group send, and never says who clicked"
    assert rest == ["the clicks of 2026-09-01 can be had from the day after on (China time)"]
    assert notes("2026-09-03 12:00", group())[1:] == [
        "the clicks of 2026-09-01 were not asked for yet: `promomsg clicks a.db` keeps them"
    ]
    early = (asked(SENT, "2026-09-03"),)
    assert notes("2026-09-08 12:00", group(), kept=early)[1:] == [
        "the clicks of 2026-09-01 still move, until the 7th day after the send"
    ]
    assert notes("2026-09-20 12:00", group(), kept=early)[1:] == [
        "the clicks of 2026-09-01 are those of 2026-09-03, when they still moved: "
        "`promomsg clicks a.db` asks once more"
    ]
    assert notes("2026-12-20 12:00", group(), kept=early)[1:] == [
        "the clicks of 2026-09-01 are those of 2026-09-03: what came later was not asked for within "
        "90 days, and nobody has it"
    ]
    assert notes("2026-12-20 12:00", group())[1:] == [
        "the clicks of 2026-09-01 could be had for 90 days and were not asked for: nobody has them"
    ]
    assert notes("2026-12-20 12:00", group(), kept=(asked(SENT, "2026-09-09"),))[1:] == []


def test_single_sends_have_those_of_their_type_and_nothing_sent_has_none() -> None:
    [first, *_] = notes("2026-09-03 12:00", days=(SENT,))
    assert "by message type and day, those of other campaigns too" in first
    assert notes("2026-09-03 12:00") == []


def test_a_provider_without_clicks_is_said() -> None:
    for channel, said in (
        ("alipay", "the API of Alipay+ wallets has no clicks"),
        ("sms", "sms has no clicks"),
    ):
        found = click_notes(campaign(channel=channel), [], [], [SENT], journal=None, now=SENT_AT)
        assert found == [said]
