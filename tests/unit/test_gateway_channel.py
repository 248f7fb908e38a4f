"""A channel of one's own in Python: what its users see, what its journal knows, whose worker sends it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from gateway_channel import KEY, GatewayChannel, GatewayMessage

from promomsg import Campaign, Pace, Recipient, UsageError, open_journal, send
from promomsg.channel import Answer, HttpChannel, HttpRequest, Mask, SingleSend, Verdict
from promomsg.channels import installed
from promomsg.cli.campaign.campaign_file import load_account
from promomsg.cli.campaign.worker_accounts import AccountsOfFile
from promomsg.fleet.accounts import AccountMissing
from promomsg.journal.records import CampaignRecord, is_asked_again
from promomsg.testing.channel_trial import ChannelTrial
from promomsg.testing.fake_provider import FakeProvider, Reply

PEOPLE = [Recipient(id=str(n), params={"name": f"n{n}"}) for n in range(5)]
MESSAGE = GatewayMessage("hello {name}")


@pytest.fixture(autouse=True)
def gateway_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    point = EntryPoint("gateway", "gateway_channel:GatewayChannel", installed.ENTRY_POINTS)
    monkeypatch.setattr(installed, "_found", lambda: {"gateway": point})
    yield
    installed.channel_class.cache_clear()


def provider() -> FakeProvider:
    return FakeProvider(lambda call: None, usual=Reply({"code": "OK"}))


def gateway(url: str) -> GatewayChannel:
    return GatewayChannel("acme", KEY, base_url=url, pace=Pace(unlimited=True, shared_quota=False))


def test_completion_offers_its_users_what_they_call() -> None:
    offered = {name for name in dir(gateway("http://127.0.0.1:1")) if not name.startswith("_")}
    assert offered - {"check"} == {
        *("account", "base_url", "close", "name", "send_one", "watch", "with_options")
    }


@pytest.mark.asyncio
async def test_a_halted_campaign_goes_on_and_nobody_gets_two(tmp_path: Path) -> None:
    """What was lost is asked for again by the same key, in this run and in the next one."""
    async with provider() as there, gateway(there.url) as channel:
        there.script += [Reply({"code": "OK"}), Reply(instead="reset"), Reply({"code": "BAD_KEY"})]
        first = await send(channel, MESSAGE, PEOPLE, journal=tmp_path / "a.db", concurrency=1)
        assert first.state == "halted"
        async with Campaign.resume(tmp_path / "a.db", channel) as again:
            report = await again.wait()
    assert (report.sent, report.pending) == (5, 0)
    keys = [call.body.partition(b'"key":"')[2].partition(b'"')[0] for call in there.sends]
    assert len(set(keys)) == 5


@pytest.mark.asyncio
async def test_its_journal_knows_that_lost_answers_are_asked_for_again(tmp_path: Path) -> None:
    async with provider() as there, gateway(there.url) as channel:
        await send(channel, MESSAGE, PEOPLE, journal=tmp_path / "a.db")
    with open_journal(tmp_path / "a.db") as opened:
        assert is_asked_again(opened.record)


@pytest.mark.asyncio
async def test_one_message_is_sent_outside_a_campaign() -> None:
    async with provider() as there, gateway(there.url) as channel:
        outcome = await channel.send_one(MESSAGE, PEOPLE[0])
        assert there.sends[0].holds(outcome.recipient.request_id or "nothing")


@pytest.mark.asyncio
async def test_a_worker_finds_its_account(tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(
        '[[account]]\nchannel = "gateway"\naccount = "acme"\nkey = "env:KEY"\n'
        'base_url = "https://gateway.example.com"\n'
    )

    def record(account: str) -> CampaignRecord:
        return CampaignRecord(
            name="autumn",
            channel="gateway",
            account=account,
            run_id="0" * 32,
            message={},
            base_url="https://gateway.example.com",
            created_at=0.0,
        )

    accounts = AccountsOfFile(file, {"KEY": KEY}, file_secrets=False)
    channel = await accounts.channel(record("acme"), None)
    assert (channel.name, channel.account) == ("gateway", "acme")
    with pytest.raises(AccountMissing, match="add an \\[\\[account\\]\\] for it"):
        await accounts.channel(record("another"), None)
    await accounts.close()
    (missing,) = AccountsOfFile(file, {}, file_secrets=False).missing
    assert "the environment variable KEY is not set" in missing


def test_a_file_of_an_account_alone_says_the_channel_by_its_section(tmp_path: Path) -> None:
    file = tmp_path / "account.toml"
    file.write_text(
        '[gateway]\naccount = "acme"\nkey = "env:KEY"\nbase_url = "https://a.example"\n'
    )
    found = load_account(file, environ={"KEY": KEY})
    assert (found.channel, found.account.account_id) == ("gateway", "acme")
    file.write_text('[gateway]\naccount = "acme"\nkey = "env:KEY"\n')
    with pytest.raises(UsageError, match=r"\[gateway\] base_url is missing"):
        load_account(file, environ={"KEY": KEY})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("gateway_channel:GatewayMessage", "is no channel: it has no name"),
        ("gateway_channel:Nothing", "cannot be imported: AttributeError"),
        ("gateway_channel:KEY", "is no channel"),
    ],
)
def test_what_is_no_channel_is_told_in_one_line(
    value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("other", value, installed.ENTRY_POINTS)
    monkeypatch.setattr(installed, "_found", lambda: {"other": point})
    with pytest.raises(UsageError, match=said):
        installed.channel_class("other")


def test_a_code_means_what_its_channel_says() -> None:
    assert installed.text_of_code("gateway", "TOO_FAST") == "too many calls"
    assert installed.text_of_code("gateway", "43101") == ""
    assert installed.text_of_code("gateway", "NO_ANSWER").startswith("the call may have reached")
    assert installed.text_of_code("gone", "43101") == ""


class AuthorsMistakes(GatewayChannel):
    """What is wrong in an author's own code is a verdict too."""

    sent: Any = b"{}"
    answers: Any = Answer(Verdict.SENT)

    def request(self, compiled: Any, single_send: SingleSend) -> HttpRequest:
        return HttpRequest("/v1/send", self.sent)

    def read(self, status: int, body: bytes, mask: Mask) -> Answer:
        if isinstance(self.answers, Exception):
            raise self.answers
        answer: Answer = self.answers
        return answer


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("sent", "answers", "verdict", "said"),
    [
        ("{}", None, Verdict.HALT, "give bytes, not str"),
        (
            b"{}",
            KeyError(KEY),
            Verdict.UNKNOWN,
            "read() raised KeyError at test_gateway_channel.py, line ",
        ),
        (b"{}", "sent", Verdict.UNKNOWN, "read() returned something else"),
        (b"{}", Answer(Verdict.ACCEPTED), Verdict.UNKNOWN, "says ACCEPTED, which a single send"),
        (b"{}", Answer(Verdict.FAILED, 7), Verdict.UNKNOWN, "read() gives a int as code"),  # type: ignore[arg-type]
        (b"{}", Answer(Verdict.FAILED, "NO", "so \ud83d"), Verdict.FAILED, "so ?"),
    ],
)
async def test_what_is_wrong_in_an_authors_code_is_a_verdict(
    sent: Any, answers: Any, verdict: Verdict, said: str
) -> None:
    async with provider() as there, AuthorsMistakes("acme", KEY, base_url=there.url) as channel:
        channel.sent, channel.answers = sent, answers
        answer = await ChannelTrial(channel, there, MESSAGE, PEOPLE[0]).deliver()
    assert answer.verdict is verdict
    assert said in answer.detail
    assert KEY not in repr(answer)
    assert len(there.sends) == (verdict is not Verdict.HALT)


def test_a_channel_that_lacks_a_part_says_so_before_anybody_is_sent_to() -> None:
    class Half(HttpChannel[GatewayMessage]):
        name = "half"
        message_type = GatewayMessage
        compile_message = GatewayChannel.compile_message

    with pytest.raises(TypeError, match="abstract methods read, request"):
        Half("acc", base_url="http://127.0.0.1:1")  # type: ignore[abstract]
