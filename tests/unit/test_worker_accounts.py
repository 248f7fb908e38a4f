"""The accounts of `promomsg worker`: from its environment, or from a file; never from the database."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from promomsg.channels.wechat import WeChatPromoter
from promomsg.cli.campaign.worker_accounts import AccountsOfFile, worker_accounts
from promomsg.errors import UsageError
from promomsg.fleet.accounts import AccountMissing
from promomsg.journal.records import CampaignRecord
from promomsg.transport.pace import Pace

AT_HOME = "https://api.weixin.qq.com"
ENV = {"WECHAT_SECRET": "s3cret-value", "OTHER_SECRET": "s3cret-other"}
TWO = """\
[[account]]
channel = "wechat"
appid = "wx1"
secret = "env:WECHAT_SECRET"
[account.pace]
singles_per_second = 20

[[account]]
channel = "wechat"
appid = "wx2"
secret = "env:OTHER_SECRET"
base_url = "https://proxy.example"
"""

CAMPAIGN = CampaignRecord(
    name="autumn",
    channel="wechat",
    account="wx1",
    run_id="0" * 32,
    message={},
    base_url=AT_HOME,
    created_at=0.0,
)


def campaign(**changes: str) -> CampaignRecord:
    return msgspec.structs.replace(CAMPAIGN, **changes)


def of_file(
    folder: Path, text: str, environ: dict[str, str] | None = None, *, anywhere: bool = False
) -> AccountsOfFile:
    file = folder / "accounts.toml"
    file.write_text(text, encoding="utf-8")
    found = worker_accounts(
        file, environ=ENV if environ is None else environ, file_secrets=anywhere
    )
    assert isinstance(found, AccountsOfFile)
    return found


@pytest.mark.asyncio
async def test_without_a_file_a_worker_sends_for_wechat_with_the_secret_of_its_environment() -> (
    None
):
    accounts = worker_accounts(None, environ=ENV)
    assert accounts.missing == ()
    channel = await accounts.channel(campaign(), None)
    assert isinstance(channel, WeChatPromoter)
    assert (channel.account, channel.base_url) == ("wx1", AT_HOME)
    assert await accounts.channel(campaign(name="winter", run_id="1" * 32), None) is channel
    assert await accounts.channel(campaign(account="wx2"), None) is not channel
    here = await accounts.channel(campaign(base_url="http://127.0.0.1:8080"), None)
    assert here.base_url == "http://127.0.0.1:8080"
    await accounts.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("row", "environ", "said"),
    [
        (campaign(), {}, "the environment variable WECHAT_SECRET is not set; set it where"),
        (campaign(), {"WECHAT_SECRET": " "}, "the environment variable WECHAT_SECRET is empty"),
        (campaign(base_url="https://evil.example"), ENV, "goes to https://api.weixin.qq.com or to"),
        (campaign(base_url="https://api.weixin.qq.com.evil.example"), ENV, "--accounts FILE"),
        (campaign(base_url="https://api.weixin.qq.com@evil.example"), ENV, "--accounts FILE"),
        (campaign(base_url="http://api.weixin.qq.com"), ENV, "--accounts FILE"),
        (campaign(base_url=""), ENV, "--accounts FILE"),
        (campaign(channel="alipay", account="C1/P1"), ENV, "--accounts FILE with its [[account]]"),
        (campaign(), {**ENV, "WECHAT_APPID": "wx9"}, "WECHAT_SECRET is of wx9, as WECHAT_APPID"),
    ],
)
async def test_without_a_file_a_row_cannot_have_anything_else_sent_anywhere(
    row: CampaignRecord, environ: dict[str, str], said: str
) -> None:
    accounts = worker_accounts(None, environ=environ)
    with pytest.raises(AccountMissing) as refused:
        await accounts.channel(row, None)
    text = str(refused.value)
    assert said in text
    assert text.startswith("campaign 'autumn' of ")
    assert row.account in text
    assert "\n" not in text
    await accounts.close()


def test_a_worker_without_a_secret_says_so_when_it_starts() -> None:
    assert worker_accounts(None, environ={}).missing == (
        "the appsecret: the environment variable WECHAT_SECRET is not set: "
        "without it this worker sends nothing",
    )


@pytest.mark.asyncio
async def test_a_file_lists_accounts_with_their_secrets_urls_and_paces(tmp_path: Path) -> None:
    accounts = of_file(tmp_path, TWO)
    first = await accounts.channel(campaign(), Pace(singles_per_second=100))
    assert (first.account, first.base_url) == ("wx1", AT_HOME)
    assert first.pacer.pace.singles_per_second == 20
    second = await accounts.channel(
        campaign(account="wx2", base_url="https://proxy.example"), Pace(singles_per_second=100)
    )
    assert (second.account, second.base_url) == ("wx2", "https://proxy.example")
    assert second.pacer.pace.singles_per_second == 100
    await accounts.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("row", "said"),
    [
        (campaign(account="wx3"), "accounts.toml has it not; add an [[account]] for it"),
        (campaign(base_url="https://evil.example"), "has it at https://api.weixin.qq.com only"),
        (campaign(account="wx2"), "has it at https://proxy.example only"),
        (campaign(base_url="http://127.0.0.1:8080"), "has it at https://api.weixin.qq.com only"),
        (campaign(channel="alipay"), "has it not"),
    ],
)
async def test_a_row_gets_only_what_the_file_lists_for_its_server(
    row: CampaignRecord, said: str, tmp_path: Path
) -> None:
    accounts = of_file(tmp_path, TWO)
    with pytest.raises(AccountMissing) as refused:
        await accounts.channel(row, None)
    assert said in str(refused.value)
    assert "campaign 'autumn' of" in str(refused.value)


@pytest.mark.asyncio
async def test_a_secret_that_lacks_costs_its_own_account_alone_and_may_come_later(
    tmp_path: Path,
) -> None:
    text = TWO.replace("env:OTHER_SECRET", "file:other.txt")
    accounts = of_file(tmp_path, text)
    (missing,) = accounts.missing
    assert "[account 2] secret" in missing
    assert "other.txt cannot be read" in missing
    assert "without it nothing is sent for the wechat account wx2 at https://proxy.ex" in missing
    await accounts.channel(campaign(), None)
    row = campaign(account="wx2", base_url="https://proxy.example")
    with pytest.raises(
        AccountMissing, match=r"campaign 'autumn' of wechat account wx2: .*; set it"
    ):
        await accounts.channel(row, None)
    (tmp_path / "other.txt").write_text("s3cret-other\n")
    assert (await accounts.channel(row, None)).account == "wx2"
    await accounts.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no account: write an [[account]] for each"),
        ("account = 1", "names no account"),
        ("[account]\nappid = 'wx1'", "names no account"),
        ("[[acount]]\n", "has no 'acount'; did you mean 'account'?"),
        ("[[account]]\nappid = 'wx1'", "[account 1] channel is missing"),
        ("[[account]]\nchannel = 'sms'", "[account 1] channel is 'sms'"),
        (TWO + TWO, "[account 3] is the wechat account wx1 at https://api.weixin.qq.com again"),
        (TWO.replace("appid", "apid", 1), "[account 1] appid is missing"),
        (TWO.replace("secret", "secert", 1), "[account 1] has no key 'secert'"),
        (TWO.replace("env:WECHAT_SECRET", "s3cret-value"), "a secret does not stand in the file"),
        (TWO.replace("env:WECHAT_SECRET", "file:../s.txt"), "lies outside of"),
        (TWO.replace("singles_per_second", "per_second"), "[account 1 pace] has no key"),
        (TWO.replace("secret =", "secret"), "is not valid TOML"),
        ("[[account]]\nchannel = 'alipay'\nclient_id = 'C'\napp_id = 'P'", "base_url is missing"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_key_and_without_the_secret(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        of_file(tmp_path, text)
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read: No such file"):
        worker_accounts(tmp_path / "none.toml", environ=ENV)
    (tmp_path / "accounts.toml").write_bytes(TWO.encode("utf-16"))
    with pytest.raises(UsageError, match="is not UTF-8"):
        worker_accounts(tmp_path / "accounts.toml", environ=ENV)


@pytest.mark.asyncio
async def test_a_sandbox_of_the_file_may_have_another_port_by_now(tmp_path: Path) -> None:
    accounts = of_file(tmp_path, TWO.replace("https://proxy.example", "http://127.0.0.1:8001"))
    row = campaign(account="wx2", base_url="http://127.0.0.1:8000")
    assert (await accounts.channel(row, None)).base_url == "http://127.0.0.1:8001"
    await accounts.close()


def test_a_secret_outside_of_the_files_folder_needs_a_word(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("s3cret-value")
    (tmp_path / "etc").mkdir()
    text = TWO.replace("env:WECHAT_SECRET", "file:../s.txt")
    assert of_file(tmp_path / "etc", text, anywhere=True).missing == ()


@pytest.mark.asyncio
async def test_a_wallet_is_one_of_the_file_too(tmp_path: Path) -> None:
    from promomsg.alipay.signing import make_key_pair

    (tmp_path / "key.pem").write_text(make_key_pair().private_pem.reveal())
    (tmp_path / "wallet.pem").write_text(make_key_pair().public_pem)
    accounts = of_file(
        tmp_path,
        """
[[account]]
channel = "alipay"
client_id = "C1"
app_id = "P1"
private_key = "file:key.pem"
public_key = "file:wallet.pem"
base_url = "https://wallet.example/api"
tokens = "tokens.db"
""",
    )
    [line] = accounts.missing  # its users' tokens are encrypted
    assert line.startswith("PROMOMSG_FLEET_KEY is not set: ")
    row = campaign(channel="alipay", account="C1/P1", base_url="https://wallet.example/other")
    channel = await accounts.channel(row, None)
    assert (channel.name, channel.base_url) == ("alipay", "https://wallet.example/api")
    await accounts.close()


@pytest.mark.asyncio
async def test_a_key_that_does_not_load_is_that_accounts_alone(tmp_path: Path) -> None:
    accounts = of_file(tmp_path, TWO, {**ENV, "OTHER_SECRET": "a b"})
    with pytest.raises(AccountMissing, match="campaign 'autumn' of wechat account wx2: "):
        await accounts.channel(campaign(account="wx2", base_url="https://proxy.example"), None)
    await accounts.channel(campaign(), None)
    await accounts.close()
