"""The contract of a channel, for this one. `promomsg.testing` says how each failure is to be read."""

from promomsg_subscribe import SubscribeChannel, SubscribeMessage

from promomsg import Recipient
from promomsg.channel import Pace
from promomsg.testing.channel_contract import ChannelContract, ProviderCall, Reply

APPSECRET = "an-appsecret-of-the-tests"
TOKEN = "an-access-token-of-the-tests"


class TestSubscribeChannel(ChannelContract):
    message = SubscribeMessage(
        template_id="T1",
        data={"thing1": "{name},三件五折", "time2": "{when|今天}"},
        page="pages/a?n={name}",
    )
    recipient = Recipient(openid="o-0001", params={"name": "小明", "when": "15:01"})
    good = Reply({"errcode": 0, "errmsg": "ok"})
    refused = Reply({"errcode": 43101, "errmsg": "user refuse to accept the msg"})
    throttled = Reply({"errcode": 45011, "errmsg": "api minute-quota reach limit"})
    halting = Reply({"errcode": 43107, "errmsg": "banned"})
    secrets = (APPSECRET, TOKEN)

    def channel(self, base_url: str) -> SubscribeChannel:
        return SubscribeChannel("wx0001", APPSECRET, base_url=base_url, pace=Pace(unlimited=True))

    def other_call(self, call: ProviderCall) -> Reply | None:
        if call.path == "/cgi-bin/stable_token":
            return Reply({"access_token": TOKEN, "expires_in": 7200})
        return None
