"""The contract of a channel, which ours pass as a stranger's does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from promomsg import (
    AlipayMessage,
    AlipayMiniProgram,
    Pace,
    Recipient,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.testing.channel_contract import ChannelContract, ProviderCall, Reply
from promomsg.testing.wallet_key import private_key

EXAMPLE = Path(__file__).parents[2] / "examples" / "subscribe_channel"


def loaded(path: Path) -> ModuleType:
    """A module of the example, which is installed nowhere."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


loaded(EXAMPLE / "promomsg_subscribe.py")
example = loaded(EXAMPLE / "tests" / "test_subscribe_channel.py")

APPSECRET = "an-appsecret-of-the-tests"
ACCESS_TOKEN = "an-access-token-of-the-tests"
USER_TOKEN = "a-token-of-a-wallet-user"


class TestWeChatPromoter(ChannelContract):
    message = WeChatMessage(
        1, {"title": "{name},三件五折", "desc": "{what|优惠}"}, "pages/index?n={name}"
    )
    recipient = Recipient(openid="o-0001", params={"name": "小明", "what": "今日"})
    good = Reply({"errcode": 0, "errmsg": "ok"})
    refused = Reply({"errcode": 43101, "errmsg": "user refuse rid: 65b0a77b-3857ef84-7d2c553e"})
    throttled = Reply({"errcode": 45011, "errmsg": "api minute-quota reach limit"})
    halting = Reply({"errcode": 48001, "errmsg": "api unauthorized"})
    secrets = (APPSECRET, ACCESS_TOKEN)

    def channel(self, base_url: str) -> WeChatPromoter:
        return WeChatPromoter("wx0001", APPSECRET, base_url=base_url, pace=Pace(unlimited=True))

    def other_call(self, call: ProviderCall) -> Reply | None:
        if call.path == "/cgi-bin/stable_token":
            return Reply({"access_token": ACCESS_TOKEN, "expires_in": 7200})
        return None


def result(code: str, status: str) -> Reply:
    words = {"resultCode": code, "resultStatus": status, "resultMessage": f"the wallet: {code}"}
    return Reply({"result": words})


class TestAlipayMiniProgram(ChannelContract):
    message = AlipayMessage(
        "TP_1",
        [{"language": "en-US", "parameters": {"who": "{who}", "what": "{what|a gift}"}}],
        redirect_url="/page/x",
    )
    recipient = Recipient(
        key="user-1", access_token=USER_TOKEN, params={"who": "Ann", "what": "tea"}
    )
    good = result("SUCCESS", "S")
    refused = result("USER_NOT_SUBSCRIBED", "F")
    throttled = result("REQUEST_TRAFFIC_EXCEED_LIMIT", "U")
    halting = result("INVALID_CLIENT", "F")

    def channel(self, base_url: str) -> AlipayMiniProgram:
        return AlipayMiniProgram(
            "CLIENT0000000000",
            "P0000000000",
            private_key(),
            verify=False,
            base_url=f"{base_url}/api",
            pace=Pace(unlimited=True),
        )


class TestSubscribeChannel(example.TestSubscribeChannel):  # type: ignore[name-defined,misc]
    """The example's, as its own tests have it."""
