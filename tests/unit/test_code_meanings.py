"""Every code that a report can show has a meaning and says what to do."""

from __future__ import annotations

import json

import pytest

from promomsg.alipay.codes import CODES
from promomsg.channels.alipay_tokens import TOKEN_STORE
from promomsg.cli import main
from promomsg.code_meanings import brief_meaning, explain
from promomsg.engine.schedule.first_few import FIRST_ASK, FIRST_STOPPED
from promomsg.engine.sending.run_control import JOURNAL_GONE
from promomsg.errors import UsageError
from promomsg.model import Code
from promomsg.transport.access_token import TOKEN_REFUSED
from promomsg.transport.quota.limiter import SINGLES_PER_DAY
from promomsg.wechat.codes import ROWS

HALTS = (
    "MAX_ERROR_RATE",
    SINGLES_PER_DAY,
    JOURNAL_GONE,
    TOKEN_REFUSED,
    TOKEN_STORE,
    FIRST_STOPPED,
    FIRST_ASK,
)
EVERY = [*(code.value for code in Code), *ROWS, *CODES, *HALTS]


@pytest.mark.parametrize("code", EVERY)
def test_every_code_has_a_meaning_and_something_to_do(code: str) -> None:
    for found in explain(code):
        assert found.code == code
        assert found.meaning
        assert found.outcome
        assert found.advice
        assert found.source
    assert brief_meaning(code)


@pytest.mark.parametrize("code", HALTS)
def test_a_halt_by_a_rule_of_ours_is_explained_as_ours(code: str) -> None:
    (found,) = explain(code)
    assert (found.origin, found.outcome) == ("promomsg", "pending")


def test_what_is_said_of_a_code_is_what_the_engine_does() -> None:
    (refused,) = explain("43101")
    assert refused.origin == "WeChat errcode"
    assert refused.outcome.startswith("failed")
    (quota,) = explain("45009")
    assert quota.outcome.startswith("pending")
    assert "midnight China time" in quota.advice
    (lost,) = explain("NO_ANSWER")
    assert lost.outcome == "unknown"
    assert "--unknown" in lost.advice
    (either,) = explain("103001")
    assert "single send: failed" in either.outcome
    assert "group send" in either.outcome


@pytest.mark.parametrize("code", ["99999", "-5", "SOMETHING_NEW_OF_A_WALLET"])
def test_a_code_that_nobody_has_published_says_so(code: str) -> None:
    (found,) = explain(code)
    assert "not among the published codes" in found.meaning
    assert brief_meaning(code) == ""


@pytest.mark.parametrize(
    ("code", "hint"),
    [("no_anser", "did you mean NO_ANSWER?"), ("?", "43101"), ("", "43101")],
)
def test_what_is_no_code_is_refused_with_a_hint(code: str, hint: str) -> None:
    with pytest.raises(UsageError, match="there is no code") as caught:
        explain(code)
    assert hint in str(caught.value)


def test_the_terminal_explains_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("-1 (WeChat errcode): system busy")
    assert "what to do" in out
    assert main(["explain", "user_not_subscribed", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["code"] == "USER_NOT_SUBSCRIBED"
    assert said["meanings"][0]["outcome"].startswith("failed")
    assert main(["explain", "nonsense!"]) == 1
    assert "there is no code" in capsys.readouterr().err
