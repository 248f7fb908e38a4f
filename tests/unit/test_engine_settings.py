"""How a campaign is run: values that cannot be right are named before anything happens."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import pytest

import promomsg
from promomsg import JournalError, PollPolicy, RetryPolicy, UsageError
from promomsg.engine.campaign import Campaign, send
from promomsg.engine.settings import Options, Settings, settings_of


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": 1.5}, "concurrency=1.5"),
        ({"concurrency": True}, "concurrency=True"),
        ({"concurrency": 1001}, "concurrency=1001: a whole number from 1 to 1000"),
        ({"groups_in_flight": 0}, "groups_in_flight=0"),
        ({"groups_in_flight": 1001}, "from 1 to 1000"),
        ({"max_recipients": 0}, "max_recipients=0"),
        ({"max_group_size": 98}, "at least 99"),
        ({"max_group_size": "many"}, "max_group_size='many'"),
        ({"route": "groups"}, "'single' or 'group'"),
        ({"on_daily_quota": "park"}, "'stop' or 'wait'"),
        ({"durability": "none"}, "'power' or 'process'"),
        ({"max_error_rate": 0}, "max_error_rate=0"),
        ({"max_error_rate": 1.01}, "max_error_rate=1.01"),
        ({"max_error_rate": True}, "max_error_rate=True"),
        ({"max_error_rate": "0.2"}, "max_error_rate='0.2'"),
        ({"max_error_rate": float("nan")}, "max_error_rate=nan"),
        ({"route": ["single"]}, "route="),
        ({"on_daily_quota": None}, "'stop' or 'wait'"),
        ({"resolve": "no"}, "resolve='no': say True or False"),
        ({"expand": 1}, "expand=1: say True or False"),
        ({"poll": 60}, r"poll=60: give promomsg\.PollPolicy\(first_after=60"),
        ({"poll": "60s"}, r"poll='60s': give promomsg\.PollPolicy"),
        ({"poll": None}, r"poll=None: give promomsg\.PollPolicy"),
        ({"retry": 5}, r"retry=5: give promomsg\.RetryPolicy\(attempts=8\)"),
        ({"only": "12"}, r"only='12': give a list of keys, like only=\['12'\]"),
        ({"only": 12}, r"only=12: give a list of keys, like only=\['12'\]"),
        ({"only": [12]}, "only: 12 is not a str; keys are text, like '12'"),
        ({"only": ["\ud800"]}, r"only: '\\ud800' is not a str"),
        ({"only": ()}, "only is empty"),
        ({"concurency": 4}, "did you mean 'concurrency'"),
        ({"zzz": 4}, "no option 'zzz'"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_right_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        settings_of(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"concurrency": 1, "groups_in_flight": 4, "max_group_size": 99, "max_error_rate": 1},
        {"route": "single", "only": ("a", "b"), "on_daily_quota": "wait"},
        {"poll": PollPolicy(first_after=1), "retry": RetryPolicy(attempts=2)},
    ],
    ids=str,
)
def test_the_journal_keeps_the_settings_as_they_are(given: dict[str, Any]) -> None:
    settings = settings_of(given)
    kept = msgspec.json.decode(msgspec.json.encode(settings.snapshot()))
    assert Settings.from_snapshot(kept) == settings


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"concurrency": 8, "turbo": True}, "unknown field `turbo`"),
        ({"poll": {"every": 60.0, "at_once": 1}}, r"unknown field `at_once` - at `\$.poll`"),
        ({"retry": {"attempts": 3, "forever": True}}, r"unknown field `forever` - at `\$.retry`"),
        ({"concurrency": "many"}, "Expected `int`, got `str`"),
    ],
    ids=str,
)
def test_settings_that_this_version_does_not_know_are_refused(
    kept: dict[str, Any], said: str
) -> None:
    with pytest.raises(JournalError, match=f"settings are of another version: .*{said}") as caught:
        Settings.from_snapshot(kept)
    assert "\n" not in str(caught.value)


def test_options_are_the_settings() -> None:
    assert set(Options.__annotations__) == set(Settings.__struct_fields__)
    # `only` may be any iterable, and is kept as a tuple; times are kept as text.
    kept_as_another = dict.fromkeys(("only", "start_at", "finish_by", "between"), 0)
    assert get_type_hints(Options) | kept_as_another == get_type_hints(Settings) | kept_as_another


def test_send_takes_what_a_campaign_takes() -> None:
    of_campaign = set(Campaign.__init__.__annotations__) - {"campaign_file", "base_url", "rng"}
    of_send = set(send.__annotations__)
    assert of_campaign - of_send == set()


@pytest.mark.parametrize(
    "given", [{"first_after": -1}, {"every": "60s"}, {"give_up_after": float("nan")}], ids=str
)
def test_a_poll_policy_is_checked(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(given))):
        PollPolicy(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": 2.0},
        {"retry_allowance": -1},
        {"outage_after": 0},
        {"retry_share": "25%"},
        {"retry_share": float("nan")},
        {"first_pause": -0.5},
        {"longest_pause": float("inf")},
        {"longest_pause": None},
    ],
    ids=str,
)
def test_a_retry_policy_is_checked(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"RetryPolicy: {next(iter(given))}="):
        RetryPolicy(**given)


def test_the_keys_to_send_to_may_be_any_iterable_of_strings() -> None:
    assert settings_of({"only": (key for key in ["b", "a"])}).only == ("b", "a")
    assert settings_of({"only": {"a"}}).only == ("a",)


def test_everything_public_says_what_it_is() -> None:
    for name in promomsg.__all__:
        assert (getattr(promomsg, name).__doc__ or "").strip(), name
