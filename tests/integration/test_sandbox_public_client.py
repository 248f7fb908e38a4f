"""A public client that this project did not write (wechatpy) against the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

from promomsg.sandbox import Sandbox

CONTENT = '{"title":"今日优惠活动","desc":"三件五折","date":"2022/10/28"}'


class Client(WeChatClient):  # type: ignore[misc] # it has no types
    """wechatpy at another address: it has api.weixin.qq.com written into it in two places."""

    def __init__(self, base: str, secret: str = "secret") -> None:
        self.API_BASE_URL = f"{base}/"
        super().__init__("wx0123456789", secret)

    def fetch_access_token(self) -> Any:
        return self._fetch_access_token(
            url=f"{self.API_BASE_URL}cgi-bin/token",
            params={"grant_type": "client_credential", "appid": self.appid, "secret": self.secret},
        )


def body(**more: Any) -> dict[str, Any]:
    return {"msg_type": 1, "content": CONTENT, "path": "pages/index/index", **more}


def test_token_group_poll_and_single(served: Sandbox) -> None:
    client = Client(served.url)
    try:
        ids = [str(500_001 + n) for n in range(60)]
        taken = client.post("promoter/sendmsg", data=body(list_type=3, id=ids))
        assert taken["errcode"] == 0
        while True:
            look = client.post("promoter/getmsg", data={"msg_id": taken["msg_id"]})
            if look["percent"] == 100:
                break
        assert (look["send_cnt"], look["fail_cnt"]) == (60, 0)
        assert client.post("promoter/singlesendmsg", data=body(openid="o1"))["errcode"] == 0
        assert served.ledger.deliveries("o1") == 1
        assert served.ledger.deliveries("500001") == 1
        served.settings.refuse_single = {"o2": 43101}
        with pytest.raises(WeChatClientException) as caught:
            client.post("promoter/singlesendmsg", data=body(openid="o2"))
        assert caught.value.errcode == 43101
        assert list(served.complaints) == []
    finally:
        client._http.close()


def test_an_expired_token_is_fetched_again(served: Sandbox) -> None:
    client = Client(served.url)
    try:
        client.post("promoter/singlesendmsg", data=body(openid="o1"))
        before = client.access_token
        served.clock.advance(8_000)
        client.post("promoter/singlesendmsg", data=body(openid="o2"))
        assert client.access_token != before
        assert served.ledger.deliveries("o2") == 1
    finally:
        client._http.close()


def test_a_wrong_appsecret(served: Sandbox) -> None:
    served.settings.accounts = {"wx0123456789": "right"}
    client = Client(served.url, "wrong")
    with pytest.raises(WeChatClientException) as caught:
        client.post("promoter/singlesendmsg", data=body(openid="o1"))
    assert caught.value.errcode == 40125
    client._http.close()
