"""A wallet message: limits of the page's table, placeholders everywhere, one serialisation."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from promomsg.alipay.message import AlipayMessage, CompiledAlipayMessage
from promomsg.alipay.models import ContentTemplate
from promomsg.errors import UsageError
from promomsg.model import Code, Secret
from promomsg.placeholders import MissingParam

PLAIN = [ContentTemplate({"who": "everybody"}, "en-US")]


def message(**changed: Any) -> AlipayMessage:
    given = {"template_code": "TP_1", "templates": PLAIN, "redirect_url": "/page/x", **changed}
    return AlipayMessage(**given)


def sent(compiled: CompiledAlipayMessage, values: tuple[str, ...] = ()) -> dict[str, Any]:
    raw = compiled.body(values, app_id="P1", access_token=Secret("token"), request_id="r1")
    parsed: dict[str, Any] = json.loads(raw)
    return parsed


def test_the_body_has_the_tables_fields_and_no_others() -> None:
    assert sent(CompiledAlipayMessage(message())) == {
        "appId": "P1",
        "accessToken": "token",
        "requestId": "r1",
        "templateCode": "TP_1",
        "redirectUrl": "/page/x",
        "templates": [{"templateParameters": {"who": "everybody"}, "language": "en-US"}],
    }


def test_placeholders_are_filled_everywhere() -> None:
    compiled = CompiledAlipayMessage(
        message(
            templates=[
                ContentTemplate({"who": "{who}", "fixed": "{{x}}"}, "en-US"),
                {"language": "zh-CN", "parameters": {"who": "{who|客官}"}},
                ContentTemplate(),
            ],
            redirect_url="/page?who={who}&k={key}",
            extend_info={"memo": "{who}", "deep": [{"n": 1, "k": "{key}"}, None]},
            extra={"customerBelongsTo": "{wallet}"},
        )
    )
    assert compiled.names == {"who", "wallet"}
    assert compiled.has_placeholders
    values = compiled.values({"who": '小"明 🎉&', "wallet": "TNG"}, "k 1")
    assert compiled.problem(values) is None
    body = sent(compiled, values)
    assert body["templates"] == [
        {"templateParameters": {"who": '小"明 🎉&', "fixed": "{x}"}, "language": "en-US"},
        {"templateParameters": {"who": '小"明 🎉&'}, "language": "zh-CN"},
        {"templateParameters": {}},
    ]
    assert body["redirectUrl"] == "/page?who=%E5%B0%8F%22%E6%98%8E%20%F0%9F%8E%89%26&k=k%201"
    assert json.loads(body["extendInfo"]) == {
        "memo": '小"明 🎉&',
        "deep": [{"n": 1, "k": "k 1"}, None],
    }
    assert body["customerBelongsTo"] == "TNG"
    with pytest.raises(MissingParam):
        compiled.values({"who": "x"}, "k")


def test_text_goes_out_as_raw_utf8() -> None:
    compiled = CompiledAlipayMessage(
        message(templates=[ContentTemplate({"who": "小明🎉"}, "zh-CN")])
    )
    raw = compiled.body((), app_id="P1", access_token=Secret("t"), request_id="r")
    assert "小明🎉".encode() in raw


def test_extend_info_text_is_sent_as_it_is() -> None:
    compiled = CompiledAlipayMessage(message(extend_info='{"memo": "{not a placeholder}"}'))
    assert not compiled.has_placeholders
    assert sent(compiled)["extendInfo"] == '{"memo": "{not a placeholder}"}'
    assert (
        sent(CompiledAlipayMessage(message(extend_info={"memo": "m"})))["extendInfo"]
        == '{"memo":"m"}'
    )


def test_the_channels_extra_fields_give_way_to_the_messages() -> None:
    compiled = CompiledAlipayMessage(
        message(extra={"customerBelongsTo": "B"}),
        {"customerBelongsTo": "A", "authClientId": "C"},
    )
    body = sent(compiled)
    assert (body["customerBelongsTo"], body["authClientId"]) == ("B", "C")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"template_code": ""}, "template_code: give text"),
        ({"template_code": 5}, "template_code: give text"),
        ({"template_code": "x" * 65}, "template_code: 65 characters, at most 64"),
        ({"template_code": "a\x00"}, "control character"),
        ({"templates": []}, "templates: 0 of them; 1 to 5"),
        ({"templates": PLAIN * 6}, "templates: 6 of them"),
        ({"templates": "x"}, "give a list"),
        ({"templates": {"parameters": {}}}, "give a list"),
        ({"templates": [5]}, "templates[0]: give a ContentTemplate, not int"),
        ({"templates": [{"params": {}}]}, "templates[0]: no field 'params'"),
        ({"templates": [ContentTemplate({"n": 5})]}, "templates[0].parameters.n: give text"),  # type: ignore[dict-item]
        ({"templates": [{"parameters": 5}]}, "templates[0].parameters: give a mapping"),
        ({"templates": [{"language": 5}]}, "templates[0].language: give text"),
        ({"templates": [ContentTemplate({"n": "{a b}"})]}, "placeholder '{a b}'"),
        ({"templates": [ContentTemplate({"n": "a\x07"})]}, "control character"),
        ({"templates": [ContentTemplate({"n": "\ud800"})]}, "half a character"),
        ({"redirect_url": ""}, "redirect_url: give text"),
        ({"redirect_url": "/a b"}, "redirect_url: a space"),
        ({"redirect_url": "/" * 2049}, "redirectUrl: 2049 characters, at most 2048"),
        ({"extend_info": "x" * 4097}, "extendInfo: 4097 characters, at most 4096"),
        ({"extend_info": {"m": "x" * 4090}}, "extendInfo: 4098 characters"),
        ({"extend_info": 5}, "extend_info: give text or a mapping"),
        ({"extend_info": {5: "x"}}, "the name 5 is not text"),
        ({"extend_info": {"x": b""}}, "bytes is not a JSON value"),
        ({"extra": {"requestId": "x"}}, "'requestId' is a field of its own"),
    ],
)
def test_what_no_wallet_takes_is_refused_before_sending(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        CompiledAlipayMessage(message(**changed))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_count_code_points() -> None:
    CompiledAlipayMessage(message(template_code="🎉" * 64, redirect_url="/" + "é" * 2047))
    CompiledAlipayMessage(message(extend_info="🎉" * 4096))


def test_a_rendered_field_over_its_limit_is_that_rows_problem() -> None:
    compiled = CompiledAlipayMessage(message(redirect_url="{u}"))
    assert compiled.problem(("a" * 2048,)) is None
    found = compiled.problem(("a" * 2049,))
    assert found is not None
    assert found.code is Code.OVER_LIMIT
    compiled = CompiledAlipayMessage(message(extend_info={"m": "{u}"}))
    assert compiled.problem(("a" * 4088,)) is None
    found = compiled.problem(("a" * 4089,))
    assert found is not None
    assert (found.code, found.detail) == (
        Code.OVER_LIMIT,
        "extendInfo: 4097 characters, at most 4096 are allowed",
    )


@pytest.mark.parametrize("value", ["a\x00", "\x1b[0m", "\x9f", "\ud83d"])
def test_a_value_that_cannot_go_out_is_that_rows_problem(value: str) -> None:
    compiled = CompiledAlipayMessage(message(redirect_url="/{who}"))
    found = compiled.problem((value,))
    assert found is not None
    assert found.code is Code.BAD_ROW
    assert "{who}" in found.detail


def test_a_redirect_url_of_nothing_is_that_rows_problem() -> None:
    compiled = CompiledAlipayMessage(message(redirect_url="{u|}"))
    found = compiled.problem(compiled.values({}, "k"))
    assert found is not None
    assert found.code is Code.MISSING_PARAM


def test_line_ends_and_tabs_are_text() -> None:
    compiled = CompiledAlipayMessage(message(templates=[ContentTemplate({"who": "a\n\t{who}"})]))
    assert compiled.problem(("b\r\nc",)) is None


def test_what_a_user_should_know() -> None:
    assert CompiledAlipayMessage(message()).notices == ()
    (notice,) = CompiledAlipayMessage(message(redirect_url=None)).notices
    assert "redirect_url" in notice
    (notice,) = CompiledAlipayMessage(message(templates=PLAIN * 2)).notices
    assert "same language" in notice
    (notice,) = CompiledAlipayMessage(
        message(templates=[ContentTemplate({"who": "${who}"})])
    ).notices
    assert notice.startswith("templates[0].parameters.who: ${who}: the placeholder is written")


def test_forms_are_the_same_for_the_same_rendered_message_only() -> None:
    assert CompiledAlipayMessage(message()).message_digest(()) is None
    compiled = CompiledAlipayMessage(message(redirect_url="/{a}{b}"))
    assert compiled.message_digest(("x", "y")) == compiled.message_digest(("xy", ""))
    assert compiled.message_digest(("x", "y")) != compiled.message_digest(("x", "z"))
    assert len(compiled.message_digest(("x", "y")) or b"") == 16


def test_the_preview_shows_the_rendered_fields() -> None:
    compiled = CompiledAlipayMessage(
        message(
            templates=[ContentTemplate({"who": "{who}"}, "en-US")],
            extend_info={"m": "{who}"},
            extra={"customerBelongsTo": "TNG", "n": 1},
        )
    )
    assert compiled.preview(("明",)) == {
        "templateCode": "TP_1",
        "en-US who": "明",
        "redirectUrl": "/page/x",
        "extendInfo": '{"m":"明"}',
        "customerBelongsTo": "TNG",
        "n": "1",
    }
    assert "redirectUrl" not in CompiledAlipayMessage(message(redirect_url=None)).preview(())


def test_a_compiled_message_survives_the_journal() -> None:
    compiled = CompiledAlipayMessage(
        message(
            templates=[{"language": "en-US", "parameters": {"who": "{who}"}}],
            extend_info={"m": ["{who}"]},
        ),
        {"authClientId": "C"},
    )
    stored = msgspec.json.decode(msgspec.json.encode(compiled.snapshot()))
    again = CompiledAlipayMessage.from_snapshot(stored)
    values = again.values({"who": "x"}, "k")
    assert sent(again, values) == sent(compiled, values)
    assert again.message_digest(values) == compiled.message_digest(values)
    assert again.snapshot() == compiled.snapshot()
    with pytest.raises(UsageError, match="not a wallet's"):
        CompiledAlipayMessage.from_snapshot({"msg_type": 1})


def test_changing_the_callers_mapping_later_changes_nothing() -> None:
    parameters = {"who": "a"}
    compiled = CompiledAlipayMessage(message(templates=[ContentTemplate(parameters)]))
    parameters["who"] = "b"
    assert sent(compiled)["templates"][0]["templateParameters"] == {"who": "a"}
    assert compiled.snapshot()["templates"][0]["parameters"] == {"who": "a"}
