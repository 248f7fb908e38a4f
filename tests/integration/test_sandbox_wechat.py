"""The WeChat stand-in answers as docs/facts/wechat.md says."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from sandbox_client import MESSAGE, ids, wired

from promomsg.sandbox import SandboxPromoter, SandboxSettings

pytestmark = pytest.mark.asyncio
DAY = 86_400


async def test_a_single_send_reaches_its_address_and_keeps_the_raw_bytes() -> None:
    async with wired() as (box, wire):
        assert await wire.single(openid="o1") == {"errcode": 0, "errmsg": "OK"}
        assert await wire.single(id="7") == {"errcode": 0, "errmsg": "OK"}
        assert dict(box.ledger.delivered) == {"o1": 1, "7": 1}
        assert "今日优惠活动".encode() in box.calls.bodies("singlesendmsg")[0]
        assert box.ledger.messages["7"] == MESSAGE["content"]
        assert box.calls["singlesendmsg"] == 2
        assert [name for name, _ in box.calls.arrivals][-1] == "singlesendmsg"
        assert not box.complaints


async def test_answers_are_text_plain_and_a_refusal_carries_a_rid() -> None:
    async with wired() as (box, wire):
        await wire.single(id="1")
        url = f"{box.url}/promoter/singlesendmsg"
        async with wire.http.post(url, params={"access_token": "no"}) as response:
            assert response.content_type == "text/plain"
            answer = json.loads(await response.read())
        assert answer["errcode"] == 40014
        assert re.search(r"rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$", answer["errmsg"])


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"openid": "o1"}, 103001),
        ({"id": None}, 103001),
        ({"id": 7}, 103001),
        ({"msg_type": "1"}, 103001),
        ({"msg_type": None}, 103001),
        ({"msg_type": True}, 103001),
        ({"path": ""}, 103001),
        ({"content": {"title": "x"}}, 103001),
        ({"content": "not JSON"}, 47003),
        ({"content": '{"title": 1}'}, 47003),
        ({"content": '{"title": {"value": "x"}}'}, 47003),
        ({"content": "{}"}, 47003),
    ],
)
async def test_a_single_send_that_is_not_one_reaches_nobody(
    change: dict[str, object], errcode: int
) -> None:
    async with wired() as (box, wire):
        answer = await wire.promoter("singlesendmsg", MESSAGE | {"id": "1"} | change)
        assert answer["errcode"] == errcode
        assert not box.ledger.delivered


async def test_malformed_calls() -> None:
    async with wired(settings=SandboxSettings(max_body=2000)) as (box, wire):
        token = (await wire.stable())["access_token"]
        path = "/promoter/singlesendmsg"
        assert (await wire.call(path, b"{", access_token=token))["errcode"] == 47001
        assert (await wire.call(path, b"[]", access_token=token))["errcode"] == 47001
        assert (await wire.call(path, b'{"a":"\xff"}', access_token=token))["errcode"] == 47001
        assert (await wire.call(path, b"", access_token=token))["errcode"] == 44002
        assert (await wire.call(path, b"x" * 3000, access_token=token))["errcode"] == 45002
        assert (await wire.call(path, {}))["errcode"] == 41001
        assert (await wire.call("/promoter/nosuch", {}))["errcode"] == 40066
        for get, errcode in ((path, 43002), ("/cgi-bin/token?grant_type=x", 40002)):
            async with wire.http.get(box.url + get) as response:
                assert json.loads(await response.read())["errcode"] == errcode
        assert (await wire.call("/cgi-bin/token"))["errcode"] == 43001


async def test_people_who_refuse_and_people_who_are_not_promoters() -> None:
    settings = SandboxSettings(
        promoters=[SandboxPromoter(id="1", openid="o1", unionid="u1")],
        only_listed=True,
        refuse_single={"o1": 43101},
    )
    async with wired(settings=settings) as (box, wire):
        assert (await wire.single(openid="o1"))["errcode"] == 43101
        assert (await wire.single(openid="o2"))["errcode"] == 40003
        assert (await wire.single(id="2"))["errcode"] == 103001
        assert (await wire.single(id="1"))["errcode"] == 0
        assert (await wire.single(openid="u1"))["errcode"] == 0
        assert dict(box.ledger.delivered) == {"1": 1, "u1": 1}


async def test_oddities_are_complained_about_or_refused_when_strict() -> None:
    async with wired() as (box, wire):
        await wire.promoter("singlesendmsg", MESSAGE | {"id": "1", "dimension": 0})
        escaped = json.dumps(MESSAGE | {"id": "2"}).encode()
        await wire.promoter("singlesendmsg", escaped)
        assert list(box.complaints) == [
            "singlesendmsg: unknown field 'dimension'",
            "singlesendmsg: the body has \\uXXXX where raw UTF-8 was meant",
        ]
        box.settings.strict = True
        answer = await wire.promoter("singlesendmsg", MESSAGE | {"id": "3", "dimension": 0})
        assert answer["errcode"] == 103001
        assert box.ledger.deliveries("3") == 0


async def test_forty_nine_ids_are_refused_and_fifty_are_a_group() -> None:
    async with wired() as (box, wire):
        assert (await wire.group(ids(49)))["errcode"] == 103001
        assert (await wire.group([*ids(49), "49"]))["errcode"] == 103001
        assert not box.ledger.groups
        answer = await wire.group(ids(50))
        assert (answer["errcode"], answer["errmsg"]) == (0, "OK")
        group = box.ledger.group(answer["msg_id"])
        assert group is not None
        assert group.delivered == tuple(ids(50))
        assert not group.everyone
        assert box.ledger.total == 50


async def test_getmsg_grows_and_names_failures_only_at_the_end() -> None:
    settings = SandboxSettings(refuse_group={"5": 103010, "6": 43101})
    async with wired(settings=settings) as (box, wire):
        msg_id = (await wire.group(ids(60)))["msg_id"]
        first, second, third, fourth = [await wire.result(msg_id) for _ in range(4)]
        assert (first["percent"], first["send_cnt"], first["fail_cnt"]) == (30, 18, 0)
        assert (second["percent"], second["send_cnt"], second["fail_info"]) == (70, 42, [])
        assert third == fourth
        assert third == {
            "percent": 100,
            "send_cnt": 60,
            "fail_cnt": 2,
            "fail_info": [{"id": "5", "errcode": 103010}, {"id": "6", "errcode": 43101}],
            **MESSAGE,
            "list_type": 3,
            "id": ids(60),
            "errcode": 0,
            "errmsg": "OK",
        }
        assert box.ledger.deliveries("5") == 0
        assert box.ledger.deliveries("7") == 1


async def test_getmsg_echoes_the_appid_that_was_sent() -> None:
    async with wired() as (_, wire):
        body = MESSAGE | {"appid": "wx9", "list_type": 3, "id": ids(50)}
        answer = await wire.result((await wire.promoter("sendmsg", body))["msg_id"])
        assert answer["appid"] == "wx9"


async def test_percent_by_the_clock_or_left_out() -> None:
    settings = SandboxSettings(poll_steps=(None, 50, None), poll_step_seconds=60)
    async with wired(settings=settings) as (box, wire):
        msg_id = (await wire.group(ids(50)))["msg_id"]
        answer = await wire.result(msg_id)
        assert "percent" not in answer
        assert "fail_cnt" not in answer
        assert await wire.result(msg_id) == answer
        box.clock.advance(60)
        assert (await wire.result(msg_id))["percent"] == 50
        box.clock.advance(60)
        answer = await wire.result(msg_id)
        assert "percent" not in answer
        assert (answer["send_cnt"], answer["fail_cnt"]) == (50, 0)


async def test_unnamed_and_missing_members() -> None:
    settings = SandboxSettings(
        refuse_group={"1": 103010, "2": 103010},
        unnamed_failures=1,
        missing_from_group=3,
        poll_steps=(100,),
    )
    async with wired(settings=settings) as (box, wire):
        answer = await wire.result((await wire.group(ids(60)))["msg_id"])
        assert (answer["send_cnt"], answer["fail_cnt"]) == (57, 2)
        assert answer["fail_info"] == [{"id": "1", "errcode": 103010}]
        assert [box.ledger.deliveries(i) for i in ("2", "57", "58")] == [0, 1, 0]


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl"])
async def test_over_a_thousand_failures_come_as_a_file(kind: str) -> None:
    settings = SandboxSettings(
        group_fail_fraction=1.0,
        failure_format=kind,
        poll_steps=(100,),
        failure_url_field="fail_openid_url" if kind == "tsv" else "fail_info_url",
    )
    async with wired(settings=settings) as (box, wire):
        answer = await wire.result((await wire.group(ids(1001)))["msg_id"])
        assert answer["fail_cnt"] == 1001
        assert "fail_info" not in answer
        async with wire.http.get(answer[settings.failure_url_field]) as response:
            text = await response.text()
        if kind == "json":
            rows = json.loads(text)
        elif kind == "jsonl":
            rows = [json.loads(line) for line in text.splitlines()]
        else:
            delimiter = "," if kind == "csv" else "\t"
            rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
        assert [row["id"] for row in rows] == ids(1001)
        assert {str(row["errcode"]) for row in rows} == {"103010"}
        assert not box.complaints


async def test_a_thousand_failures_come_in_the_answer_and_a_file_address_can_be_forced() -> None:
    settings = SandboxSettings(group_fail_fraction=1.0, poll_steps=(100,))
    async with wired(settings=settings) as (box, wire):
        answer = await wire.result((await wire.group(ids(1000)))["msg_id"])
        assert len(answer["fail_info"]) == 1000
        box.settings.failure_threshold = 10
        box.settings.failure_url = "https://10.0.0.1/x"
        answer = await wire.result((await wire.group(ids(50)))["msg_id"])
        assert answer["fail_info_url"] == "https://10.0.0.1/x"
        async with wire.http.get(f"{box.url}/failures/0.csv", params={"access_token": "t"}) as got:
            assert got.status == 404
        assert list(box.complaints) == ["failure_file: came with a query"]


async def test_the_same_seed_fails_the_same_members() -> None:
    async def failed(seed: int) -> set[str]:
        settings = SandboxSettings(group_fail_fraction=0.2, promoters=0, group_fail_code=43101)
        async with wired(settings=settings, seed=seed) as (box, wire):
            await wire.group(ids(200))
            assert set(box.ledger.groups[0].failed.values()) == {43101}
            return set(box.ledger.groups[0].failed)

    first = await failed(1)
    assert await failed(1) == first
    assert await failed(2) != first
    assert 20 <= len(first) <= 60


async def test_a_result_can_be_had_for_seven_days() -> None:
    async with wired() as (box, wire):
        msg_id = (await wire.group(ids(50)))["msg_id"]
        wire.token = ""
        box.clock.advance(7 * DAY - 60)
        assert (await wire.result(msg_id))["errcode"] == 0
        box.clock.advance(120)
        assert (await wire.result(msg_id))["errcode"] == 103001
        assert (await wire.result("12"))["errcode"] == 103001
        assert (await wire.promoter("getmsg", {"msg_type": 1}))["errcode"] == 103001


async def test_a_missing_list_type_reaches_everyone_and_the_ledger_says_so() -> None:
    people = [
        SandboxPromoter(id=str(n), role_id=n % 2 + 1, retail_id=f"r{n % 3}") for n in range(60)
    ]
    people.append(SandboxPromoter(id="gone", auth_status=2))
    async with wired(settings=SandboxSettings(promoters=people)) as (box, wire):
        await wire.promoter("sendmsg", MESSAGE | {"id": ["1"]})
        await wire.promoter("sendmsg", MESSAGE | {"list_type": 0})
        await wire.promoter("sendmsg", MESSAGE | {"list_type": 1, "role_id": [1]})
        await wire.promoter("sendmsg", MESSAGE | {"list_type": 2, "retail_id": ["r0", "r1"]})
        assert [g.everyone for g in box.ledger.groups] == [True, True, False, False]
        assert [len(g.delivered) for g in box.ledger.groups] == [60, 60, 30, 40]
        assert box.ledger.deliveries("gone") == 0
        assert list(box.complaints) == [
            "sendmsg: id is given, but without its list_type everyone is reached"
        ]
        first = box.ledger.groups[2]
        answer = await wire.result(first.msg_id)
        assert (answer["list_type"], answer["role_id"]) == (1, [1])


@pytest.mark.parametrize(
    "audience",
    [
        {"list_type": 1, "role_id": []},
        {"list_type": 1, "role_id": ["1"]},
        {"list_type": 2, "retail_id": []},
        {"list_type": 3, "id": []},
        {"list_type": 3, "id": [1, 2]},
        {"list_type": 3},
        {"list_type": 4},
        {"list_type": "3"},
    ],
)
async def test_a_wrong_audience_reaches_nobody(audience: dict[str, object]) -> None:
    async with wired() as (box, wire):
        assert (await wire.promoter("sendmsg", MESSAGE | audience))["errcode"] == 103001
        assert not box.ledger.groups


async def test_only_listed_fails_strangers_in_a_group() -> None:
    settings = SandboxSettings(only_listed=True, poll_steps=(100,))
    async with wired(settings=settings) as (_, wire):
        known = [str(100_001 + n) for n in range(60)]
        answer = await wire.result((await wire.group([*known, "9"]))["msg_id"])
        assert answer["fail_info"] == [{"id": "9", "errcode": 103010}]


async def test_getpromoter_pages_filters_and_ends_in_an_empty_list() -> None:
    async with wired(settings=SandboxSettings(promoters=4500)) as (_, wire):
        seen: list[str] = []
        query: dict[str, object] = {}
        while (answer := await wire.promoter("getpromoter", query))["errcode"] == 0:
            assert answer["total_cnt"] == 4500
            assert len(answer["promoter_list"]) <= 2000
            seen += [p["id"] for p in answer["promoter_list"]]
            query = {"start_id": seen[-1]}
        assert answer["errcode"] == 103006
        assert len(set(seen)) == len(seen) == 4500
        one = (await wire.promoter("getpromoter", {"role_id": 2, "retail_id": "r2"}))[
            "promoter_list"
        ][0]
        assert (one["role_id"], one["retail_id"]) == (2, "r2")
        assert "unionid" not in one
        query = {
            "openid": one["openid"],
            "need_unionid": 1,
            "begin_time": one["update_time"],
            "end_time": one["update_time"],
            "auth_status": 1,
            "decl_status": 1,
        }
        answer = await wire.promoter("getpromoter", query)
        assert answer["total_cnt"] == 1
        assert answer["promoter_list"][0]["unionid"].startswith("u")
        assert (await wire.promoter("getpromoter", {"auth_status": 2}))["errcode"] == 103006
        assert (await wire.promoter("getpromoter", {"start_id": "x"}))["errcode"] == 103001
        assert (await wire.promoter("getpromoter", {"role_id": "1"}))["errcode"] == 103001


async def test_getrole() -> None:
    async with wired() as (box, wire):
        answer = await wire.promoter("getrole", b"")
        assert [r["role_id"] for r in answer["role_list"]] == [1, 2, 3]
        assert answer["total_cnt"] == 3
        box.settings.roles = {}
        assert (await wire.promoter("getrole"))["errcode"] == 103006


async def test_clicks_come_the_day_after_grow_for_a_week_and_go_after_ninety_days() -> None:
    async with wired(settings=SandboxSettings(click_rate=0.7, token_life=400 * DAY)) as (box, wire):
        msg_id = (await wire.group(ids(100)))["msg_id"]
        await wire.single(id="200")
        day = box.clock.china_day()
        sent = int(box.ledger.groups[0].at)

        async def clicks(dimension: int = 0, **more: object) -> list[dict[str, int]]:
            body = {"send_date": day, "dimonsion": dimension, "msg_type": 1} | more
            answer = await wire.promoter("getmsgclickdata", body)
            assert answer["errcode"] == 0
            rows = answer["data_list"]
            assert isinstance(rows, list)
            return rows

        assert await clicks() == []
        box.clock.advance(DAY)
        assert await clicks() == [
            {"msg_id": msg_id, "send_time": sent, "click_uv": 10, "click_pv": 15}
        ]
        assert await clicks(1) == [{"msg_type": 1, "click_uv": 10, "click_pv": 15}]
        assert await clicks(msg_id="1") == []
        assert await clicks(begin_send_time=sent, end_send_time=sent) != []
        assert await clicks(1, msg_type=9) == []
        assert box.clock.china_day(sent) == day
        for wrong in (
            {"send_date": "2023-8-4"},
            {"send_date": "20230804"},
            {"dimonsion": 2},
            {"dimonsion": None},
            {"begin_send_time": sent - 2 * DAY},
        ):
            body = {"send_date": day, "dimonsion": 0, "msg_type": 1} | wrong
            assert (await wire.promoter("getmsgclickdata", body))["errcode"] == 103001
        box.clock.advance(6 * DAY)
        assert (await clicks())[0]["click_uv"] == 70
        box.clock.advance(30 * DAY)
        assert (await clicks())[0]["click_uv"] == 70
        box.clock.advance(60 * DAY)
        assert await clicks() == []
        assert await clicks(1) == []


async def test_declared_template_kinds_are_checked_and_the_field_is_named() -> None:
    kinds = {"title": "thing", "date": "time"}
    async with wired(settings=SandboxSettings(templates={1: kinds})) as (box, wire):

        async def send(content: dict[str, str], msg_type: int = 1) -> dict[str, object]:
            text = json.dumps(content, ensure_ascii=False)
            body = MESSAGE | {"id": "1", "content": text, "msg_type": msg_type}
            return await wire.promoter("singlesendmsg", body)

        assert (await send({"title": "x" * 20, "date": "2022/10/28"}))["errcode"] == 0
        answer = await send({"title": "x" * 21, "date": "2022/10/28"})
        assert answer["errcode"] == 47003
        assert "data.title" in str(answer["errmsg"])
        assert "data.date" in str((await send({"title": "x"}))["errmsg"])
        assert (await send({"title": "x", "date": "2022/10/28"}, 2))["errcode"] == 47003
        assert box.ledger.deliveries("1") == 1
