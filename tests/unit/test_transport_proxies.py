"""Which proxy: the one given, or the environment's, which names no host of this machine."""

from __future__ import annotations

import pytest
from yarl import URL

import promomsg
from promomsg.errors import UsageError
from promomsg.transport.proxies import choose_proxy

WECHAT = URL("https://api.weixin.qq.com")
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_one_the_way_is_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_proxy("env", WECHAT) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert choose_proxy(None, WECHAT) is None  # in Python it has to be asked for


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("https_proxy", "http://proxy:3128"),
        ("ALL_PROXY", "http://proxy:3128"),
        ("https_proxy", "proxy:3128"),
        ("HTTPS_PROXY", "http://me:pass@proxy:3128"),
    ],
)
def test_the_environment_names_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    found = choose_proxy("env", WECHAT)
    assert found is not None
    assert (found.host, found.port) == ("proxy", 3128)


@pytest.mark.parametrize(
    "no_proxy", ["api.weixin.qq.com", "qq.com", ".qq.com", "*", "a, weixin.qq.com"]
)
def test_no_proxy_names_hosts_that_are_called_straight(
    no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert choose_proxy("env", WECHAT) is None
    assert choose_proxy("http://other:1", WECHAT) == URL("http://other:1")


def test_a_plain_http_proxy_is_not_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert choose_proxy("env", WECHAT) is None


@pytest.mark.parametrize("base", ["http://127.0.0.1:8765", "https://localhost/api", "http://[::1]"])
def test_this_machine_is_never_reached_through_one_of_the_environment(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy:3128")
    assert choose_proxy("env", URL(base)) is None


@pytest.mark.parametrize("value", ["socks5://me:pa55@proxy:1080", "http://me:pa55@", "http://:1"])
def test_what_is_no_proxy_is_refused_without_being_said(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(UsageError, match="HTTPS_PROXY") as caught:
        promomsg.WeChatPromoter("wx1", "a-secret", proxy="env")
    assert "pa55" not in str(caught.value)
    with pytest.raises(UsageError, match="proxy="):
        choose_proxy(value, WECHAT)
