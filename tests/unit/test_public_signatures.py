"""What completion, `help` and a type checker show a user of the library."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import promomsg
from promomsg.alipay.signing import make_key_pair

CALLS = [
    promomsg.send,
    promomsg.Campaign,
    promomsg.Campaign.resume,
    promomsg.Campaign.retry,
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_every_option_is_in_the_signature_with_its_type_and_default(call: object) -> None:
    shown = inspect.signature(call).parameters  # type: ignore[arg-type]
    settings = promomsg.Settings()
    for name in promomsg.Settings.__struct_fields__:
        assert shown[name].default == getattr(settings, name)
        assert shown[name].annotation not in ("Any", inspect.Parameter.empty)
    assert not [p for p in shown.values() if p.kind is p.VAR_KEYWORD]
    assert "Any" not in [p.annotation for p in shown.values()]


def test_help_of_send_names_the_options() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import promomsg; help(promomsg.send)"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(promomsg.__file__).parents[1])},
    )
    for name in ("concurrency", "max_error_rate", "on_daily_quota", "poll"):
        assert name in done.stdout


def test_a_wrong_filter_of_promoters_is_wrong_at_once() -> None:
    assert {"role_id", "retail_id", "auth_status"} <= set(
        inspect.signature(promomsg.WeChatPromoter.iter_promoters).parameters
    )
    client = promomsg.WeChatPromoter("wx1", "a-secret-of-nobody")
    with pytest.raises(TypeError, match="role"):
        client.iter_promoters(role=1)  # type: ignore[call-arg]


def test_completion_offers_the_calls_and_leaves_the_engines_own_out() -> None:
    wechat = promomsg.WeChatPromoter("wx1", "a-secret-of-nobody")
    keys = make_key_pair()
    wallet = promomsg.AlipayMiniProgram(
        "c", "P1", keys.private_pem, verify=False, base_url="https://wallet.example"
    )
    offered = {n for n in dir(wechat) if not n.startswith("_")}
    assert {"send_one", "send_group", "follow", "get_clicks", "close", "with_account"} <= offered
    assert {"send_one", "apply_token"} <= set(dir(wallet))
    assert "with_options" in offered & set(dir(wallet))
    for client in (wechat, wallet):
        hidden = {"deliver", "compile", "check_address", "prepare", "expect", "renew", "pacer"}
        assert not hidden & set(dir(client))
        assert all(hasattr(client, name) for name in hidden)  # they work all the same
