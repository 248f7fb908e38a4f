"""A fault plan picks the same calls every time, and says what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.errors import UsageError
from promomsg.sandbox import Fault, FaultPlan, SandboxSettings


def fired(plan: FaultPlan, calls: int, endpoint: str = "getmsg", seed: int = 0) -> list[int]:
    return [n for n in range(1, calls + 1) if plan.next(endpoint, seed) is not None]


def rule(**more: object) -> FaultPlan:
    return FaultPlan([Fault.from_table({"kind": "html", **more})])


def test_calls_every_after_and_limit() -> None:
    assert fired(rule(calls=[3, 7]), 10) == [3, 7]
    assert fired(rule(every=4), 10) == [4, 8]
    assert fired(rule(after=8), 10) == [9, 10]
    assert fired(rule(limit=2), 10) == [1, 2]
    assert fired(rule(every=2, after=3, limit=1), 10) == [4]


@settings(max_examples=25)
@given(seed=st.integers(), probability=st.floats(0, 1))
def test_a_probability_is_decided_by_seed_endpoint_and_call(seed: int, probability: float) -> None:
    first = fired(rule(probability=probability), 50, seed=seed)
    assert fired(rule(probability=probability), 50, seed=seed) == first
    plan = rule(probability=probability)
    interleaved = []
    for number in range(1, 51):
        plan.next("sendmsg", seed)
        if plan.next("getmsg", seed):
            interleaved.append(number)
    assert interleaved == first


def test_a_probability_is_about_met_and_differs_by_seed() -> None:
    hits = fired(rule(probability=0.1), 5000, seed=1)
    assert 400 <= len(hits) <= 600
    assert fired(rule(probability=0.1), 5000, seed=2) != hits
    own = FaultPlan(rule(probability=0.1).faults, seed=1)
    assert fired(own, 5000, seed=99) == hits


def test_the_first_rule_wins_and_patterns_match() -> None:
    plan = FaultPlan(
        [
            Fault(endpoint="token", kind="throttle", calls=[2]),
            Fault(endpoint="alipay.*", kind="hang"),
            Fault(endpoint="*", kind="html", calls=[4]),
        ]
    )
    seen = []
    for name in ("stable_token", "token", "alipay.send", "getmsg", "connect", "getmsg"):
        injection = plan.next(name)
        seen.append(injection and injection.fault.kind)
    assert seen == [None, "throttle", "hang", "html", None, None]


def test_errcode_and_result_imply_their_kind_and_some_kinds_are_always_delivered() -> None:
    assert Fault(errcode=45009).kind == "errcode"
    assert Fault(result="PROCESS_FAIL").kind == "result"
    assert Fault(kind="truncate").delivered
    assert not Fault(kind="html").delivered


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fault]", "not TOML"),
        ("[[faults]]", "did you mean 'fault'"),
        ("fault = 1", r"\[\[fault\]\]"),
        ("seed = 'x'", "seed a whole number"),
        ("[[fault]]\nkind = 'htm'", "fault 1: kind is 'htm'; did you mean 'html'"),
        ("[[fault]]\n", "kind is ''; it is one of refuse"),
        ("[[fault]]\nkind='html'\nprobabilty=1", "did you mean 'probability'"),
        ("[[fault]]\nkind='html'\nprobability='x'", "probability is 'x'"),
        ("[[fault]]\nkind='html'\nprobability=2", "between 0 and 1"),
        ("[[fault]]\nkind='html'\ncalls=['1']", "calls is"),
        ("[[fault]]\nkind='html'\nevery=1.5", "every is 1.5"),
        ("[[fault]]\nkind='html'\nevery=0", "at least 1"),
        ("[[fault]]\nkind='html'\nevery=true", "every is True"),
        ("[[fault]]\nkind='html'\nset=[1]", "set is"),
        ("[[fault]]\nkind='html'\nbody={a=1}", "body is"),
        ("[[fault]]\nkind='html'\nevery=2\ncalls=[1]", "exclude each other"),
        ("[[fault]]\nkind='html'\nendpoint='sndmsg'", "did you mean 'sendmsg'"),
        ("[[fault]]\nkind='html'\nendpoint='connect'", "can only be refused"),
        ("[[fault]]\nkind='errcode'", "needs errcode"),
        ("[[fault]]\nkind='result'", "needs result"),
        ("[[fault]]\nkind='redirect'", "needs location"),
        ("[[fault]]\nkind='refuse'\ndelivered=true", "never delivered"),
    ],
)
def test_a_plan_that_cannot_be_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        FaultPlan.parse(text, "faults.toml")
    assert str(caught.value).startswith("faults.toml: ")
    assert "\n" not in str(caught.value)


def test_a_plan_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        'seed = 5\n[settings]\nstrict = true\n[[fault]]\nendpoint = "getmsg"\nkind = "alter"\n'
        'unset = ["percent"]\nset = {fail_cnt = 3}\nseconds = 1\nreset = false\n',
        encoding="utf-8",
    )
    plan = FaultPlan.load(path)
    assert plan.seed == 5
    assert plan.faults[0].set == {"fail_cnt": 3}
    assert SandboxSettings().updated(plan.settings, plan.where).strict
    with pytest.raises(UsageError, match="cannot be read"):
        FaultPlan.load(tmp_path / "nosuch.toml")
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        FaultPlan.load(path)


def test_settings_from_a_table() -> None:
    table = {
        "promoters": [{"id": "1"}],
        "users": [{"access_token": "u"}],
        "templates": {"1": {"title": "thing"}},
        "roles": {"4": "owner"},
    }
    got = SandboxSettings().updated(table, "x")
    assert got.templates == {1: {"title": "thing"}}
    assert got.roles == {4: "owner"}
    assert got.users[0].access_token == "u"
    assert SandboxSettings().updated({"promoters": 5}, "x").promoters == 5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"token_lif": 1}, "did you mean 'token_life'"),
        ({"zzz": 1}, "remove it"),
        ({"failure_format": "xml"}, "failure_format is 'xml'; it is one of csv"),
        ({"success_signature": "x"}, "success_signature"),
        ({"signature_encoding": "x"}, "signature_encoding"),
        ({"templates": {"1": {"a": "x"}}}, "templates: a is 'x'"),
        ({"templates": {"x": {}}}, "cannot be used"),
        ({"promoters": [{"nosuch": 1}]}, "cannot be used"),
        ({"roles": 7}, "cannot be used"),
        ({"poll_steps": []}, "poll_steps is empty"),
    ],
)
def test_settings_that_cannot_be(table: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SandboxSettings().updated(table, "faults.toml")
