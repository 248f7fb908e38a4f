"""How a campaign is run: values that cannot be right are named before anything happens."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import pytest

import promomsg
from promomsg import PollPolicy, RetryPolicy, UsageError
from promomsg.engine.campaign import Campaign, send
from promomsg.engine.settings import Options, Settings, settings_of


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": 1.5}, "concurrency=1.5"),
        ({"concurrency": True}, "concurrency=True"),
        ({"groups_in_flight": 0}, "groups_in_flight=0"),
        ({"max_recipients": 0}, "max_recipients=0"),
        ({"max_group_size": 98}, "at least 99"),
        ({"max_group_size": "many"}, "max_group_size='many'"),
        ({"route": "groups"}, "'single', 'group'"),
        ({"on_daily_quota": "park"}, "'stop' or 'wait'"),
        ({"durability": "none"}, "'power' or 'process'"),
        ({"max_error_rate": 0}, "max_error_rate=0"),
        ({"max_error_rate": 1.01}, "max_error_rate=1.01"),
        ({"max_error_rate": True}, "max_error_rate=True"),
        ({"concurency": 4}, "did you mean concurrency"),
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


def test_options_are_the_settings() -> None:
    assert set(Options.__annotations__) == set(Settings.__struct_fields__)
    assert get_type_hints(Options) == get_type_hints(Settings)


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


def test_everything_public_says_what_it_is() -> None:
    for name in promomsg.__all__:
        assert (getattr(promomsg, name).__doc__ or "").strip(), name
