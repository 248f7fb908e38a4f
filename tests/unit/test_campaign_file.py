"""The campaign file: what it gives, and one clear line for everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from campaign_texts import ENV, WALLET, WECHAT

from promomsg.alipay.message import AlipayMessage
from promomsg.cli.campaign.campaign_file import load_account, load_campaign
from promomsg.cli.campaign.campaign_values import (
    AccountFile,
    CampaignFile,
)
from promomsg.durations import parse_duration
from promomsg.errors import UsageError
from promomsg.model import Audience, Everyone, Retailers, Roles, Secret
from promomsg.wechat.message import WeChatMessage

FULL = """\
[campaign]
name = "autumn"
channel = "wechat"
recipients = "promoters.csv"
encoding = "gbk"
suppress = "blocked.csv"
journal = "sub/autumn.db"
durability = "process"
max_group_size = 500
max_error_rate = 0.2
on_daily_quota = "wait"
route = "single"
resolve = true
[campaign.columns]
id = "推广员ID"
[wechat]
appid = "wx0123456789"
secret = "env:WECHAT_SECRET"
base_url = "http://127.0.0.1:9"
[message]
msg_type = 1
path = "pages/index/index"
jump_appid = "wxother"
[message.content]
title = "今日优惠活动"
[templates.1]
title = "thing"
[templates.2]
first = "first"
[pace]
singles_per_second = 50
singles_per_minute = 2000.5
singles_per_day = 100000
groups_per_minute = 60
concurrency = 32
groups_in_flight = 2
[poll]
first_after = "90s"
every = 30
give_up_after = "1h30m"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_text("\ufeff-----PRIVATE-----\n")
    (tmp_path / "wallet.pem").write_text("-----PUBLIC-----\n")
    return tmp_path


def load(folder: Path, text: str | bytes, **options: Any) -> CampaignFile:
    path = folder / "spring.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_campaign(path, environ=ENV, **options)


def load_of(folder: Path, text: str) -> AccountFile:
    """The account alone."""
    path = folder / "spring.toml"
    path.write_text(text)
    return load_account(path, environ=ENV)


def fails(folder: Path, text: str | bytes, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        load(folder, text, **options)
    said = str(caught.value)
    assert "\n" not in said
    assert "spring.toml" in said
    assert "s3cret" not in said
    return said


def test_the_least_that_works_and_its_defaults(folder: Path) -> None:
    got = load(folder, WECHAT)
    assert (got.name, got.channel, got.account_id) == ("spring", "wechat", "wx0123456789")
    assert got.path == folder / "spring.toml"
    assert got.recipients == folder / "promoters.csv"
    assert got.journal == folder / "spring.db"
    assert got.account.base_url == "https://api.weixin.qq.com"
    assert got.message == WeChatMessage(
        msg_type=1,
        content={"title": "今日优惠活动", "desc": "{name},三件五折"},
        path="pages/index/index",
    )
    assert (got.audience, got.suppress, got.encoding, got.columns) == (None, None, "auto", {})
    assert (got.durability, got.max_group_size, got.max_error_rate) == ("power", 10_000, None)
    assert (got.on_daily_quota, got.route, got.resolve) == ("stop", None, False)
    assert (got.concurrency, got.groups_in_flight, got.pace) == (64, 1, None)
    assert (got.poll.first_after, got.poll.every, got.poll.give_up_after) == (None, 120, 7200)
    assert got.notices == ()


def test_everything_it_can_say(folder: Path) -> None:
    got = load(folder, FULL)
    assert (got.name, got.encoding, got.durability) == ("autumn", "gbk", "process")
    assert (got.journal, got.suppress) == (folder / "sub/autumn.db", folder / "blocked.csv")
    assert (got.max_group_size, got.max_error_rate, got.on_daily_quota) == (500, 0.2, "wait")
    assert (got.route, got.resolve, got.columns) == ("single", True, {"id": "推广员ID"})
    assert got.message.templates == {"title": "thing"}
    assert got.account.base_url == "http://127.0.0.1:9"
    assert isinstance(got.message, WeChatMessage)
    assert got.message.jump_appid == "wxother"
    pace = got.pace
    assert pace is not None
    assert (pace.singles_per_second, pace.singles_per_minute) == (50, 2000.5)
    assert (pace.singles_per_day, pace.groups_per_minute) == (100_000, 60)
    assert (got.concurrency, got.groups_in_flight) == (32, 2)
    assert (got.poll.first_after, got.poll.every, got.poll.give_up_after) == (90, 30, 5400)


def test_a_wallet(folder: Path) -> None:
    got = load(folder, WALLET)
    account = got.account
    assert got.account_id == "C1/P000"
    assert (account.private_key.reveal(), account.public_key) == (
        "-----PRIVATE-----", "-----PUBLIC-----",
    )  # fmt: skip
    assert (account.verify, account.key_version, account.signature_encoding) == (True, 1, "percent")
    assert account.tokens is None
    assert isinstance(got.message, AlipayMessage)
    assert got.message.templates[0].parameters == {"who": "{who}", "count": "3"}
    assert got.message.templates[0].language == "en-US"
    more = WALLET.replace(
        'public_key = "file:wallet.pem"\n',
        'verify = false\nkey_version = 0\nsignature_encoding = "base64url"\ntokens = "t.db"\n',
    ).replace("[[mess", 'extend_info = "x"\n[[mess')
    got = load(folder, more)
    assert (got.account.verify, got.account.public_key, got.account.key_version) == (False, None, 0)
    assert got.account.tokens == folder / "t.db"
    assert got.message.extend_info == "x"
    table = WALLET + "[message.extend_info]\na = 1\n"
    assert load(folder, table).message.extend_info == {"a": 1}


def test_secrets_hide_and_are_trimmed(folder: Path) -> None:
    got = load(folder, WECHAT)
    assert got.account.secret == Secret("s3cret-value")
    for text in (repr(got), repr(got.account)):
        assert "s3cret" not in text
    assert "PRIVATE" not in repr(load(folder, WALLET))


@pytest.mark.parametrize(
    ("table", "expected", "expand"),
    [
        ("roles = [1, 2]", Roles((1, 2)), False),
        ('retailers = ["a", 7]\nexpand = true', Retailers(("a", "7")), True),
        ("everyone = true", Everyone(confirm=True), False),
    ],
)
def test_audiences(folder: Path, table: str, expected: Audience, expand: bool) -> None:
    text = WECHAT.replace('recipients = "promoters.csv"\n', "") + f"[audience]\n{table}\n"
    got = load(folder, text)
    assert got.recipients is None
    assert (got.audience, got.expand) == (expected, expand)


def test_the_command_line_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    text = WECHAT.replace('recipients = "promoters.csv"\n', "") + "[audience]\nroles = [1]\n"
    got = load(folder, text, recipients="x.csv", journal="y.db", base_url="http://127.0.0.1:1")
    assert (got.recipients, got.audience) == (folder / "x.csv", None)
    assert got.journal == folder / "y.db"
    assert got.account.base_url == "http://127.0.0.1:1"
    no_url = WALLET.replace('base_url = "https://wallet.example/api"\n', "")
    assert load(folder, no_url, base_url="http://[::1]").account.base_url == "http://[::1]"
    assert "base_url is missing" in fails(folder, no_url)


def test_the_environment_is_the_process_s_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "spring.toml"
    path.write_text("\ufeff" + WECHAT, encoding="utf-8")
    monkeypatch.setenv("WECHAT_SECRET", "other")
    assert load_campaign(path).account.secret.reveal() == "other"
    monkeypatch.delenv("WECHAT_SECRET")
    with pytest.raises(UsageError, match="WECHAT_SECRET is not set"):
        load_campaign(path)


def changed(*pairs: tuple[str, str], base: str = WECHAT) -> str:
    for old, new in pairs:
        assert old in base
        base = base.replace(old, new)
    return base


AUDIENCE_ONLY = ('recipients = "promoters.csv"\n', "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # TOML itself
        ("[campaign\n", "line 1"),
        ('[campaign]\nname = "x"\nname = "y"\n', "line 3"),
        ("x = " + "[" * 5000, "nested too deep"),
        (b'[campaign]\nname = "\xb9\xe3"\n', "not UTF-8 (line 2)"),
        # typos: the nearest known key
        (changed(("recipients =", "recipient =")), "no key 'recipient'; did you mean 'recipients'"),
        (changed(("secret =", "secert =")), "[wechat] has no key 'secert'; did you mean 'secret'"),
        (changed(("[wechat]", "[weChat]")), "no section 'weChat'; did you mean 'wechat'"),
        (changed(("path =", "paht =")), "did you mean 'path'"),
        (changed(("path =", "appid = 'x'\npath =")), "did you mean 'jump_appid'"),
        (changed(("path =", "zzz = 'x'\npath =")), "the keys are 'msg_type'"),
        ("chanel = 'wechat'\n" + WECHAT, "no place at the top for 'chanel'"),
        ("[zzz]\n" + WECHAT, "there are 'campaign'"),
        (WECHAT + "[pace]\nsingles_per_secnd = 1\n", "did you mean 'singles_per_second'"),
        (WECHAT + "[poll]\nfirst-after = 1\n", "did you mean 'first_after'"),
        # missing
        (changed(('channel = "wechat"\n', "")), "[campaign] channel is missing"),
        (changed(("msg_type = 1\n", "")), "[message] msg_type is missing; add msg_type = 1"),
        (changed(('path = "pages/index/index"\n', "")), "path is missing"),
        (changed(('appid = "wx0123456789"\n', "")), "appid is missing"),
        (changed(('secret = "env:WECHAT_SECRET"\n', "")), "secret is missing"),
        (WECHAT[: WECHAT.index("[message]")], "the section [message] is missing"),
        (WECHAT[: WECHAT.index("[message.content]")], "content is missing"),
        (WECHAT[: WECHAT.index("title")], "[message.content] is empty"),
        (changed(AUDIENCE_ONLY), "nobody to send to"),
        # wrong types and values
        (changed(('"wechat"', '"wchat"')), "did you mean 'wechat'"),
        (changed(('"wechat"', "7")), "channel is 7; expected 'wechat', 'alipay'"),
        (changed(("msg_type = 1", 'msg_type = "1"')), "msg_type is text; expected a whole number"),
        (changed(("msg_type = 1", "msg_type = -1")), "msg_type is -1; expected 0 or more"),
        (changed(("msg_type = 1", "msg_type = true")), "is true or false; expected a whole number"),
        (changed(('"今日优惠活动"', "2022-10-28")), "title is a date; expected text in quotes"),
        (changed(('"今日优惠活动"', "5")), "title is a number; expected text in quotes"),
        (changed(('"pages/index/index"', '" "')), "path is empty"),
        (changed(('"promoters.csv"', "[5]")), "recipients holds a number; expected file names"),
        (changed(('"promoters.csv"', "5")), "recipients is a number; expected text"),
        (changed(('"promoters.csv"', "'a'\nsheet = true")), "sheet is true or false; expected"),
        (changed(('"promoters.csv"', "'a'\nsheet = 0")), "sheet is 0; expected 1 or more"),
        (changed(("[message.content]\n", "[message]\ncontent = 'x'\n")), "TOML"),
        (changed(("[wechat]\n", "[wechat.x]\n")), "no key 'x'"),
        ("wechat = 5\n" + changed(("[wechat]\n", "[alipay]\n")), "[alipay] does not belong"),
        ("pace = 5\n" + WECHAT, "[pace] is a number, not a table"),
        (changed(("[campaign]\n", '[campaign]\nname = "a/b"\n')), "cannot be a file's name"),
        (changed(("[campaign]\n", "[campaign]\nmax_group_size = 98\n")), "98; expected 99 or more"),
        (changed(("[campaign]\n", "[campaign]\nmax_error_rate = 1.5\n")), "up to 1"),
        (changed(("[campaign]\n", "[campaign]\nmax_error_rate = nan\n")), "up to 1"),
        (changed(("[campaign]\n", "[campaign]\nmax_error_rate = 'x'\n")), "expected a number"),
        (changed(("[campaign]\n", "[campaign]\nresolve = 'yes'\n")), "true or false, without quotes"),
        (changed(("[campaign]\n", "[campaign]\nroute = 'groups'\n")), "did you mean 'group'"),
        (changed(("[wechat]\n", "[campaign.columns]\nid = 5\n[wechat]\n")), "text in quotes"),
        (changed(("[wechat]\n", "[campaign.columns]\nid = ''\n[wechat]\n")), "id is empty"),
        (changed(("[wechat]\n", "[campaign.columns]\nid = 'a'\nkey = 'a'\n[wechat]\n")), "'a' twice"),
        (changed(("[wechat]\n", "[wechat]\nbase_url = 'ftp://x'\n")), "base_url begins with neither"),
        (WECHAT + "[pace]\nsingles_per_second = 0\n", "more than 0"),
        (WECHAT + "[pace]\nunlimited = true\nsingles_per_day = 9\n", "[pace] Pace(unlimited=True, sin"),
        (WECHAT + "[pace]\nconcurrency = 1001\n", "expected 1 to 1000"),
        (WECHAT + "[poll]\nevery = '2 weeks'\n", "every: '2 weeks' is not a duration"),
        (WECHAT + "[poll]\nevery = 0\n", "every is 0"),
        (WECHAT + "[templates.one]\nx = 'thing'\n", "[templates.one] is not a msg_type"),
        (WECHAT + "[templates]\n1 = 'thing'\n", "1 is text, not a table"),
        # audiences
        (WECHAT + "[audience]\nroles = [1]\n", "both there; keep one"),
        (changed(AUDIENCE_ONLY) + "[audience]\n", "exactly one of"),
        (changed(AUDIENCE_ONLY) + "[audience]\nroles = [1]\neveryone = true\n", "exactly one of"),
        (changed(AUDIENCE_ONLY) + "[audience]\neveryone = false\n", "exactly one of"),
        (changed(AUDIENCE_ONLY) + "[audience]\nroles = []\n", "roles is an empty list"),
        (changed(AUDIENCE_ONLY) + "[audience]\nroles = 1\n", "roles is a number; expected a list"),
        (changed(AUDIENCE_ONLY) + "[audience]\nroles = ['1']\n", "roles holds '1'"),
        (changed(AUDIENCE_ONLY) + "[audience]\nretailers = [1.5]\n", "retailers holds a number"),
        (changed(AUDIENCE_ONLY) + "[audience]\nretailers = [' ']\n", "an empty name"),
        # secrets
        (changed(("env:WECHAT_SECRET", "s3cret-in-the-file")), "'env:NAME'"),
        (changed(("env:WECHAT_SECRET", "s3cret:in-the-file")), "'file:PATH'"),
        (changed(('"env:WECHAT_SECRET"', "5")), "'env:NAME'"),
        (changed(("env:WECHAT_SECRET", "env:")), "'env:NAME'"),
        (changed(("env:WECHAT_SECRET", "env:NOT_SET")), "the environment variable NOT_SET is not set"),
        (changed(("env:WECHAT_SECRET", "env:EMPTY")), "the environment variable EMPTY is empty"),
        (changed(("env:WECHAT_SECRET", "file:none.txt")), "none.txt cannot be read: No such file"),
        (changed(("env:WECHAT_SECRET", "file:bin.txt")), "bin.txt is not text"),
        # wallets
        (changed(('public_key = "file:wallet.pem"\n', ""), base=WALLET), "public_key is missing"),
        (changed(("[message]", "[audience]\nroles = [1]\n[message]"), base=WALLET), "[audience] does"),
        (changed(("[[message.templates]]\n", ""), base=WALLET), "no key 'language'"),
        (changed(('redirect_url = "/page/x"', "extend_info = 5"), base=WALLET), "text or a table"),
        (changed(('"{who}"', "[1]"), base=WALLET), "[message.templates.1.parameters] who is a list"),
        (changed(("language", "langage"), base=WALLET), "did you mean 'language'"),
        (WALLET[: WALLET.index("[[")], "templates is missing"),
        (WALLET[: WALLET.index("[[")] + "templates = []\n", "at least one"),
    ],
)  # fmt: skip
def test_one_clear_line(folder: Path, text: str | bytes, said: str) -> None:
    (folder / "bin.txt").write_bytes(b"\xff\xfe")
    assert said in fails(folder, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read: No such file"):
        load_campaign(tmp_path / "none.toml")


def test_templates_that_do_not_apply_are_said(folder: Path) -> None:
    got = load(folder, WECHAT + "[templates.2]\nfirst = 'first'\n")
    assert got.message == load(folder, WECHAT).message
    assert "msg_type 1" in got.notices[0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0), (5, 5), (1.5, 1.5), ("90", 90), ("60s", 60), ("2h", 7200), ("1h30m", 5400),
        (" 1H 30M ", 5400), ("250ms", 0.25), ("1.5m", 90), ("1d", 86_400),
    ],
)  # fmt: skip
def test_durations(value: Any, seconds: float) -> None:
    assert parse_duration(value, "x") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", ["", "s", "5x", "-5s", "1h 30", -1, True, None, [], float("nan"), float("inf"), "５s"]
)
def test_durations_that_are_none(value: Any) -> None:
    with pytest.raises(UsageError, match=r"every: .* is not a duration"):
        parse_duration(value, "every")


@pytest.mark.parametrize("text", [WECHAT, WALLET, FULL])
def test_the_account_of_a_whole_file(folder: Path, text: str) -> None:
    whole, account = load(folder, text), load_of(folder, text)
    assert (account.channel, account.account) == (whole.channel, whole.account)
    assert (account.pace, account.poll) == (whole.pace, whole.poll)
    assert account.msg_type == getattr(whole.message, "msg_type", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pace]\nunlimited = true", "add [wechat]"),
        ('[campaign]\nchannel = "wechat"', "the section [wechat] is missing"),
        ("[wechat]\n[alipay]", "channel is missing"),
        ('[wechat]\nappid = "wx1"', "secret"),
        ('[wechat]\nappid = "wx1"\nsecret = "lit"', "env:NAME"),
        ("[wehcat]", "did you mean 'wechat'"),
    ],
)
def test_an_account_that_is_none(folder: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_of(folder, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
