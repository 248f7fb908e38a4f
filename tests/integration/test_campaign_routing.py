"""Who gets a group call and who a single one, and who none: the plan as the provider sees it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, group_ids, honest, ids, wechat
from journal_rows import has_campaign

import promomsg
from promomsg import Campaign, Recipient, UsageError, WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.sandbox import Sandbox, SandboxPromoter

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("count", "singles", "groups"), [(1, 1, 0), (49, 49, 0), (50, 0, 1), (51, 0, 1)]
)
async def test_fifty_is_where_the_group_call_begins(
    box: Sandbox,
    channel: WeChatPromoter,
    journal: Journal,
    count: int,
    singles: int,
    groups: int,
) -> None:
    report = await promomsg.send(channel, MESSAGE, ids(count), journal=journal, **QUICK)
    assert (box.calls["singlesendmsg"], box.calls["sendmsg"]) == (singles, groups)
    assert (report.planned, report.sent, report.state) == (count, count, "done")
    assert box.complaints == type(box.complaints)()
    honest(report, box)


@pytest.mark.parametrize(
    ("more", "groups", "singles"),
    [
        ("", [60], 0),
        ("\n\n", [60], 0),
        ("1,a\n", [60], 0),
        ("1.5E+3,a\n", [60], 0),
        ("1,a\n" * 60, [60], 0),
        ('"61",a\n', [61], 0),
    ],
    ids=["even", "blank lines", "twice", "bad", "all twice", "quoted"],
)
async def test_lines_that_are_nobody_are_in_no_group_of_a_file(
    box: Sandbox,
    channel: WeChatPromoter,
    journal: Journal,
    tmp_path: Path,
    more: str,
    groups: list[int],
    singles: int,
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,shop\n" + "".join(f"{n},a\n" for n in range(1, 61)) + more)
    campaign = Campaign(channel, MESSAGE, promomsg.read_csv(path), journal=journal, **QUICK)
    plan = await campaign.plan()
    assert (list(plan.groups), plan.singles) == (groups, singles)
    async with campaign as run:
        report = await run.wait()
    assert report.sent == sum(groups)
    honest(report, box)


async def test_49_people_in_60_rows_are_49_single_calls_and_11_skipped(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = ids(49) + ids(11)
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, **QUICK)
    assert (box.calls["singlesendmsg"], box.calls["sendmsg"]) == (49, 0)
    assert (report.planned, report.sent, report.skipped) == (60, 49, 11)
    assert report.by_code == {"DUPLICATE_KEY": 11}
    assert box.ledger.twice() == []


async def test_a_user_token_is_no_address_of_a_promoter(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"key": f"k{n}", "id": str(n), "access_token": "SHARED"} for n in range(1, 11)]
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, **QUICK)
    assert (report.sent, report.skipped) == (10, 0)


async def test_one_address_under_two_keys_is_sent_to_once(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"key": f"k{n}", "id": str(900_001 + n % 49)} for n in range(60)]
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, **QUICK)
    assert (report.sent, report.skipped) == (49, 11)
    assert report.by_code == {"DUPLICATE_ADDRESS": 11}
    last = [o for o in report.outcomes() if o.state == "skipped"][-1]
    assert last.recipient.key == "k59"
    assert "k10" in last.detail
    assert box.ledger.twice() == []


@pytest.mark.parametrize("count", [7, 60])
async def test_keys_that_are_not_ids_come_back_in_every_outcome(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, count: int
) -> None:
    box.settings.refuse_single = box.settings.refuse_group = {"500003": 43101}
    rows = [Recipient(f"顾客-{n}", id=address) for n, address in enumerate(ids(count))]
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, **QUICK)
    keys = {o.recipient.key: (o.recipient.id, o.state) for o in report.outcomes()}
    assert keys == {r.key: (r.id, "failed" if r.id == "500003" else "sent") for r in rows}
    assert [(o.recipient.key, o.code) for o in report.failures()] == [("顾客-2", "43101")]


async def test_10020_with_a_limit_of_10000_are_two_groups_of_5010(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    report = await promomsg.send(
        channel, MESSAGE, ids(10_020), max_group_size=10_000, durability="process", **QUICK
    )
    assert [len(g) for g in group_ids(box)] == [5_010, 5_010]
    assert box.calls["singlesendmsg"] == 0
    assert [g.planned for g in report.groups] == [5_010, 5_010]
    assert report.sent == 10_020
    assert box.ledger.twice() == []


async def test_no_group_is_over_the_limit_or_under_fifty(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await promomsg.send(channel, MESSAGE, ids(199), journal=journal, max_group_size=99, **QUICK)
    assert sorted(len(g) for g in group_ids(box)) == [66, 66, 67]


async def test_those_who_get_the_same_text_form_one_set(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    names = ["阿里"] * 55 + ["小明"] * 50 + ["老王"] * 49
    rows = [{"id": i, "name": name} for i, name in zip(ids(154), names, strict=True)]
    report = await promomsg.send(channel, PERSONAL, rows, journal=journal, **QUICK)
    assert sorted(len(g) for g in group_ids(box)) == [50, 55]
    assert box.calls["singlesendmsg"] == 49
    assert report.sent == 154
    said = {i: json.loads(box.ledger.messages[i])["title"] for i in ids(154)}
    assert list(said.values()) == names


async def test_a_fallback_counts_as_the_text_it_becomes(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"id": i, "name": "客官" if n % 2 else ""} for n, i in enumerate(ids(60))]
    report = await promomsg.send(channel, PERSONAL, rows, journal=journal, **QUICK)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"], report.sent) == (1, 0, 60)


async def test_rows_without_an_id_are_sent_to_one_by_one(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [
        *({"id": i} for i in ids(50)),
        *({"openid": f"oABC{n}"} for n in range(30)),
        *({"unionid": f"uABC{n}"} for n in range(30)),
    ]
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, **QUICK)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"], report.sent) == (1, 60, 110)
    assert box.ledger.deliveries("uABC7") == 1
    honest(report, box)


async def test_a_single_goes_to_openid_then_unionid_then_id(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    rows = [
        {"key": "a", "openid": "oA", "unionid": "uA", "id": "1"},
        {"key": "b", "unionid": "uB", "id": "2"},
        {"key": "c", "id": "3"},
    ]
    await promomsg.send(channel, MESSAGE, rows, **QUICK)
    assert box.ledger.delivered == {"oA": 1, "uB": 1, "3": 1}


async def test_resolve_maps_openids_to_ids_and_so_to_a_group(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.promoters = [
        SandboxPromoter(id=str(700 + n), openid=f"oP{n}", unionid=f"uP{n}") for n in range(80)
    ]
    rows = [
        *({"openid": f"oP{n}"} for n in range(40)),
        *({"unionid": f"uP{n}"} for n in range(40, 60)),
        {"openid": "oStranger"},
    ]
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, resolve=True, **QUICK)
    assert sorted(group_ids(box)[0], key=int) == [str(700 + n) for n in range(60)]
    assert box.calls["singlesendmsg"] == 1
    assert (report.sent, box.ledger.deliveries("oStranger")) == (61, 1)
    assert [o.recipient.key for o in report.outcomes()][:2] == ["oP0", "oP1"]


async def test_an_openid_that_resolves_to_an_id_already_listed_is_a_duplicate(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.promoters = [SandboxPromoter(id="700", openid="oP0", unionid="uP0")]
    rows = [{"key": "a", "id": "700"}, {"key": "b", "openid": "oP0"}]
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, resolve=True, **QUICK)
    assert (report.sent, report.by_code) == (1, {"DUPLICATE_ADDRESS": 1})


async def test_route_single_makes_no_group_call(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    report = await promomsg.send(
        channel, MESSAGE, ids(60), journal=journal, route="single", **QUICK
    )
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"], report.sent) == (0, 60, 60)


async def test_route_group_under_fifty_is_refused_before_anything_is_sent(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    with pytest.raises(UsageError, match="50 or more"):
        await promomsg.send(channel, MESSAGE, ids(49), journal=journal, route="group", **QUICK)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 0)
    assert not await has_campaign(journal)


async def test_route_group_from_fifty_on_is_what_it_says(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, route="group", **QUICK)
    assert (box.calls["sendmsg"], report.sent) == (1, 50)


async def test_who_is_suppressed_by_key_or_address_is_skipped(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"key": f"k{n}", "id": i} for n, i in enumerate(ids(52))]
    report = await promomsg.send(
        channel, MESSAGE, rows, journal=journal, suppress=["k1", "500003", "nobody"], **QUICK
    )
    assert report.by_code == {"SUPPRESSED": 2}
    assert sorted(group_ids(box)[0]) == sorted(set(ids(52)) - {"500002", "500003"})


@pytest.mark.parametrize("order", [["p1", "p9"], ["p9", "p1"]], ids=str)
@pytest.mark.parametrize("listed", ["p1", "p9", "100"])
async def test_who_is_suppressed_is_not_reached_through_a_second_row(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, order: list[str], listed: str
) -> None:
    rows = [{"key": key, "id": "100"} for key in order]
    report = await promomsg.send(
        channel, MESSAGE, [*rows, "101"], journal=journal, suppress=[listed], **QUICK
    )
    assert (report.sent, report.skipped) == (1, 2)
    assert report.by_code == {"SUPPRESSED": 1, "DUPLICATE_ADDRESS": 1}
    assert list(box.ledger.delivered) == ["101"]


async def test_suppression_that_leaves_49_leaves_single_calls(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked.csv"
    blocked.write_text("key\n500001\n", encoding="utf-8")
    report = await promomsg.send(channel, MESSAGE, ids(50), suppress=blocked, **QUICK)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 49)
    assert (report.sent, report.skipped) == (49, 1)


async def test_a_long_suppression_list_is_taken_in_parts(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    blocked = ids(4_500)
    report = await promomsg.send(
        channel, MESSAGE, [*blocked[::500], "1", "2"], journal=journal, suppress=blocked, **QUICK
    )
    assert (report.skipped, report.sent, sorted(box.ledger.delivered)) == (9, 2, ["1", "2"])


async def test_only_sends_to_these_keys_alone(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    report = await promomsg.send(
        channel, MESSAGE, ids(60), journal=journal, only=("500007", "500009"), **QUICK
    )
    assert sorted(box.ledger.delivered) == ["500007", "500009"]
    assert (report.sent, report.by_code) == (2, {"NOT_SELECTED": 58})


async def test_only_with_nobody_in_it_is_refused(box: Sandbox, channel: WeChatPromoter) -> None:
    with pytest.raises(UsageError, match="'x'"):
        await promomsg.send(channel, MESSAGE, ids(60), only=("x",), **QUICK)
    assert box.calls["singlesendmsg"] == 0


async def test_a_plan_over_max_recipients_is_refused_before_the_first_call(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    with pytest.raises(UsageError, match=r"51 recipients.*cap of 50"):
        await promomsg.send(channel, MESSAGE, ids(51), journal=path, max_recipients=50, **QUICK)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 0)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("temporary", [False, True])
async def test_a_plan_that_was_refused_is_not_sent_by_entering_the_block(
    box: Sandbox, channel: WeChatPromoter, path: Path, temporary: bool
) -> None:
    campaign = Campaign(
        channel,
        MESSAGE,
        ids(51),
        journal=None if temporary else path,
        max_recipients=50,
        **QUICK,
    )
    for _ in range(2):
        with pytest.raises(UsageError, match=r"51 recipients.*cap of 50"):
            await campaign.plan()
        assert list(path.parent.iterdir()) == []
    with pytest.raises(UsageError, match=r"51 recipients.*cap of 50"):
        async with campaign:
            pass
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 0)
    assert list(path.parent.iterdir()) == []


async def test_rows_that_are_not_sent_to_do_not_count_against_max_recipients(
    channel: WeChatPromoter,
) -> None:
    rows = ids(5) + ids(5)
    report = await promomsg.send(channel, MESSAGE, rows, max_recipients=5, **QUICK)
    assert report.sent == 5


async def test_a_bad_row_fails_alone(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [
        {"key": "good", "id": "1", "name": "小明"},
        {"key": "nobody", "name": "小明"},
        {"key": "float", "id": "1.5", "name": "小明"},
        {"key": "big", "id": "1.2E+17", "name": "小明"},
        {"key": "fine", "id": "2", "name": "老王"},
        {"key": "nameless", "id": "3", "name": ""},
    ]
    message = promomsg.WeChatMessage(1, {"title": "{name}"}, "p")
    report = await promomsg.send(channel, message, rows, journal=journal, **QUICK)
    assert {o.recipient.key: o.code for o in report.failures()} == {
        "nobody": "NO_ADDRESS",
        "float": "BAD_ADDRESS",
        "big": "BAD_ADDRESS",
        "nameless": "MISSING_PARAM",
    }
    assert sorted(box.ledger.delivered) == ["1", "2"]
    honest(report, box)


async def test_a_text_over_its_limit_fails_its_row(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    message = promomsg.WeChatMessage(1, {"t": "{name}"}, "p", templates={"t": "thing"})
    rows = [{"id": "1", "name": "字" * 20}, {"id": "2", "name": "字" * 21}]
    report = await promomsg.send(channel, message, rows, journal=journal, **QUICK)
    assert [(o.recipient.key, o.code) for o in report.failures()] == [("2", "OVER_LIMIT")]
    assert box.ledger.delivered == {"1": 1}


@pytest.mark.parametrize("empty", [[], (), iter([])])
async def test_an_empty_list_is_refused(
    box: Sandbox, channel: WeChatPromoter, path: Path, empty: object
) -> None:
    with pytest.raises(UsageError, match="empty"):
        await promomsg.send(channel, MESSAGE, empty, journal=path, **QUICK)
    assert not box.calls
    assert not path.exists()


async def test_all_bad_or_suppressed_is_a_campaign_without_calls(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    report = await promomsg.send(
        channel, MESSAGE, ids(3), journal=journal, suppress=ids(3), **QUICK
    )
    assert (report.state, report.skipped, report.sent) == ("done", 3, 0)
    assert box.calls["singlesendmsg"] == 0
    report.raise_for_failures()


async def test_recipients_may_come_as_an_async_iterable(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async def rows() -> AsyncIterator[Recipient]:
        for i in ids(50):
            yield Recipient(id=i)

    report = await promomsg.send(channel, MESSAGE, rows(), journal=journal, **QUICK)
    assert (box.calls["sendmsg"], report.sent) == (1, 50)


async def test_a_generator_that_fails_half_way_leaves_nothing(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    async def rows() -> AsyncIterator[str]:
        yield "1"
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError, match="went away"):
        await promomsg.send(channel, MESSAGE, rows(), journal=path, **QUICK)
    assert box.calls["singlesendmsg"] == 0
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("recipients", "names"), [("123", "str"), (["oABC"], "openids"), (b"123", "bytes")]
)
async def test_recipients_of_the_wrong_shape_name_the_right_call(
    box: Sandbox, channel: WeChatPromoter, recipients: object, names: str
) -> None:
    with pytest.raises(UsageError, match=names) as caught:
        await promomsg.send(channel, MESSAGE, recipients, **QUICK)
    assert "\n" not in str(caught.value)
    assert box.calls["singlesendmsg"] == 0


async def test_a_mapping_without_an_address_fails_its_row(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    report = await promomsg.send(channel, MESSAGE, [{"key": "x", "name": "小明"}], **QUICK)
    assert report.by_code == {"NO_ADDRESS": 1}
    assert box.calls["singlesendmsg"] == 0


async def test_openids_are_recipients_too(box: Sandbox, channel: WeChatPromoter) -> None:
    await promomsg.send(channel, MESSAGE, promomsg.openids(["oA", "oB"]), **QUICK)
    assert box.ledger.delivered == {"oA": 1, "oB": 1}


async def test_promoters_are_recipients_by_id(box: Sandbox, channel: WeChatPromoter) -> None:
    report = await promomsg.send(channel, MESSAGE, promomsg.Promoters(ids(51)), **QUICK)
    assert (box.calls["sendmsg"], report.sent) == (1, 51)


async def test_a_plan_can_be_looked_at_and_thrown_away(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    rows = [{"id": i, "name": "小" * (n % 3 + 1)} for n, i in enumerate(ids(10))]
    campaign = Campaign(
        channel, PERSONAL, rows, name="autumn", journal=path, suppress=["500001"], **QUICK
    )
    plan = await campaign.plan()
    assert plan is await campaign.plan()
    assert (plan.name, plan.channel, plan.account) == ("autumn", "wechat", "wx0001")
    assert (plan.rows, plan.singles, plan.groups, plan.to_send) == (10, 9, (), 9)
    assert plan.not_sent == {"SUPPRESSED": 1}
    assert len(plan.samples) == 3
    assert plan.longest is not None
    assert plan.longest.fields["title"].endswith("小小小")
    assert not path.exists()
    await campaign.discard()
    assert list(path.parent.iterdir()) == []
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 0)


async def test_a_plan_that_was_looked_at_is_the_one_that_is_sent(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = iter(ids(50))  # can be read once only
    campaign = Campaign(channel, MESSAGE, rows, journal=journal, **QUICK)
    plan = await campaign.plan()
    assert (plan.singles, plan.groups) == (0, (50,))
    async with campaign as run:
        report = await run.wait()
    assert report.sent == 50


async def test_the_plan_says_what_each_route_gives_up_and_how_long_it_takes(
    box: Sandbox,
) -> None:
    async with wechat(box, pace=promomsg.Pace(singles_per_second=10)) as channel:
        campaign = Campaign(channel, MESSAGE, [{"openid": "o"}, *ids(60)], **QUICK)
        plan = await campaign.plan()
        await campaign.discard()
    assert any("clicks" in notice for notice in plan.notices)
    assert any("polled" in notice for notice in plan.notices)
    assert plan.seconds is None or plan.seconds >= 0.1
    assert "singles a second" in plan.pace


async def test_a_journal_of_another_campaign_is_not_written_over(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    await promomsg.send(channel, MESSAGE, ids(2), journal=path, **QUICK)
    with pytest.raises(promomsg.JournalError, match="resume"):
        await promomsg.send(channel, MESSAGE, ids(2), journal=path, **QUICK)
    assert box.calls["singlesendmsg"] == 2
