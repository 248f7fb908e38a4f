"""What pages show of a campaign, as plain values."""

from __future__ import annotations

from itertools import pairwise

import pytest
from console_looks import COUNTS, look, record

from promomsg.journal.records import Counts
from promomsg.report_formats.page_parts import (
    ShownMessage,
    codes_meant,
    funnel,
    segments,
    shown_message,
)
from promomsg.wechat.message import CompiledWeChatMessage


def texts(shown: ShownMessage) -> dict[str, str]:
    fields = (shown.title, *shown.fields, shown.link, *shown.facts)
    return {
        one.name: "".join(piece.text for piece in one.pieces) for one in fields if one is not None
    }


@pytest.mark.parametrize(
    "counts",
    [
        COUNTS,
        Counts(planned=1_000_000, sent=999_997, failed=1, unknown=1, pending=1),
        Counts(planned=5, sent=5),
        Counts(planned=400, failed=1, unknown=1, skipped=1, cancelled=1, sent=396),
        Counts(planned=10, pending=10),
        Counts(),
    ],
)
def test_a_bar_holds_every_state_and_is_full_only_when_nobody_is_pending(counts: Counts) -> None:
    bar = segments(counts)
    assert {piece.state: piece.people for piece in bar} == {
        name: getattr(counts, name)
        for name in ("sent", "failed", "unknown", "skipped", "cancelled")
        if getattr(counts, name)
    }
    assert all(piece.width >= 0.5 for piece in bar)
    for one, following in pairwise(bar):
        assert following.x == pytest.approx(one.x + one.width, abs=0.01)
    end = bar[-1].x + bar[-1].width if bar else 0
    assert end <= 100.01
    assert (end == pytest.approx(100, abs=0.01)) is (counts.planned > 0 and counts.pending == 0)


def test_a_message_is_shown_as_it_is_sent() -> None:
    kept = record()
    values = ("王 芳", "k 1/2")
    preview = CompiledWeChatMessage.from_snapshot(kept.message).preview(values)
    shown = shown_message(kept, values)
    found = texts(shown)
    assert {name: found[name] for name in preview} == preview
    assert not shown.has_holes


def test_placeholders_stand_where_values_are_not_known() -> None:
    shown = shown_message(record())
    assert shown.has_holes
    assert texts(shown)["desc"] == "{name|客官}，您好"
    assert [piece.text for piece in shown.fields[0].pieces if piece.hole] == ["{name|客官}"]


def test_messages_of_wallets_and_of_other_channels() -> None:
    wallet = record(
        channel="alipay",
        message={
            "template_code": "T1",
            "templates": [{"language": "en", "parameters": {"title": "Hi {name}", "off": "10%"}}],
            "redirect_url": "https://shop.example/?k={key}",
            "extend_info": None,
            "extra": {"scene": "sale"},
        },
    )
    assert texts(shown_message(wallet, ("Ann", "k&1"))) == {
        "en title": "Hi Ann",
        "en off": "10%",
        "redirectUrl": "https://shop.example/?k=k%261",
        "templateCode": "T1",
        "scene": "sale",
    }
    other = record(channel="sms", message={"text": "code {code}", "parts": [1, 2]})
    assert texts(shown_message(other)) == {"text": "code {code}", "parts 1": "1", "parts 2": "2"}


def test_a_message_that_is_none_is_shown_as_it_is_kept() -> None:
    assert (
        texts(shown_message(record(message={"content": [["title", "a } b"]]})))["title"] == "a } b"
    )


def test_codes_of_most_people_come_first_with_what_they_mean() -> None:
    found = codes_meant(COUNTS.by_code)
    assert [one.people for one in found] == [59, 20, 5, 3, 1]
    assert all(one.meaning.meaning for one in found)


def test_the_funnel_leaves_out_who_was_never_to_be_sent_to() -> None:
    report = look().report
    assert report is not None
    steps = funnel(COUNTS, report.click_summary())
    assert [(step.name, step.people) for step in steps] == [
        ("rows read", 1203),
        ("to send to", 1203 - 20 - 1),
        ("sent", 1100),
    ]
