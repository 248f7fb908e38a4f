"""What a campaign file says of its account beside keys: proxy, timeout, token, extra; and `{date}`."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_texts import ENV, WALLET, WECHAT

from promomsg.alipay.message import AlipayMessage
from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.campaign_values import (
    AlipaySection,
    CampaignFile,
    WeChatSection,
)
from promomsg.errors import UsageError

AT = 1_796_918_400.0  # 2026-12-10 16:00 UTC: the next day in China


def load(folder: Path, text: str) -> CampaignFile:
    (folder / "key.pem").write_text("pem")
    (folder / "wallet.pem").write_text("pem")
    file = folder / "autumn.toml"
    file.write_text(text, encoding="utf-8")
    environ = {**ENV, "PROXY": "http://me:pa55@proxy:3128"}
    return load_campaign(file, environ=environ, now=AT)


def wechat(folder: Path, lines: str) -> WeChatSection:
    account = load(folder, WECHAT.replace("[message]\n", f"{lines}\n[message]\n", 1)).account
    assert isinstance(account, WeChatSection)
    return account


def test_usually_the_environment_says_the_proxy_and_a_call_has_30_s(tmp_path: Path) -> None:
    account = wechat(tmp_path, "")
    assert account.proxy.reveal() == "env"
    assert account.timeout == 30.0
    assert account.token_command == ()


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("env:PROXY", "http://me:pa55@proxy:3128"),
        ("file:proxy.txt", "http://me:pa55@other:1"),
    ],
)
def test_a_proxy_is_named_or_referred_to(text: str, proxy: str, tmp_path: Path) -> None:
    (tmp_path / "proxy.txt").write_text("http://me:pa55@other:1\n")
    account = wechat(tmp_path, f'proxy = "{text}"')
    assert account.proxy.reveal() == proxy
    assert "pa55" not in repr(account)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('proxy = "http://me:pa55@proxy:3128"', "a password does not stand in the file"),
        ('timeout = "0s"', "timeout.* is 0"),
        ('timeout = "soon"', "not a duration"),
        ('token = "command:./t"', "a secret and a token; keep one"),
    ],
)
def test_what_cannot_be_right_names_its_key(lines: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        wechat(tmp_path, lines)
    assert "pa55" not in str(caught.value)
    assert "autumn.toml" in str(caught.value)


def test_a_command_prints_the_token_instead_of_a_secret(tmp_path: Path) -> None:
    text = WECHAT.replace('secret = "env:WECHAT_SECRET"', "token = \"command:./t 'wx 1'\"")
    account = load(tmp_path, text).account
    assert isinstance(account, WeChatSection)
    assert account.token_command == ("./t", "wx 1")
    assert account.secret is None


@pytest.mark.parametrize("token", ["./t", "command:", "command:'", "a-literal-token"])
def test_a_token_that_is_no_command_is_refused_without_being_said(
    token: str, tmp_path: Path
) -> None:
    text = WECHAT.replace('secret = "env:WECHAT_SECRET"', f'token = "{token}"')
    with pytest.raises(UsageError, match=r"\[wechat\] token") as caught:
        load(tmp_path, text)
    assert "literal" not in str(caught.value)


def test_extra_fields_of_a_wallet_stand_with_the_account_or_the_message(tmp_path: Path) -> None:
    text = WALLET.replace("[message]\n", 'extra = { a = "1" }\n[message]\nextra = { b = 2 }\n', 1)
    file = load(tmp_path, text)
    assert isinstance(file.account, AlipaySection)
    assert isinstance(file.message, AlipayMessage)
    assert (file.account.extra, file.message.extra) == ({"a": "1"}, {"b": 2})
    with pytest.raises(UsageError, match="extra is text; expected a table"):
        load(tmp_path, WALLET.replace("[message]\n", 'extra = "a"\n[message]\n', 1))


def test_the_date_stands_in_name_and_journal(tmp_path: Path) -> None:
    file = load(tmp_path, WECHAT.replace("[campaign]\n", '[campaign]\nname = "daily-{date}"\n'))
    assert file.name == "daily-2026-12-11"
    assert file.journal == tmp_path / "daily-2026-12-11.db"
    text = WECHAT.replace("[campaign]\n", '[campaign]\njournal = "sent/{date}.db"\n')
    assert load(tmp_path, text).journal == tmp_path / "sent" / "2026-12-11.db"
    with pytest.raises(UsageError, match=r"only \{date\} can stand in braces"):
        load(tmp_path, WECHAT.replace("[campaign]\n", '[campaign]\nname = "daily-{day}"\n'))
