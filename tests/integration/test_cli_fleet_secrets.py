"""The terminal with workers that need a key, an account or a secret to send."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_campaigns import ENV, campaign, finished, promomsg, running, started
from fleet_working import new_fleet
from waiting import wait_for

from promomsg import Campaign, Fleet
from promomsg.alipay.signing import make_key_pair
from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.to_engine import open_channel, recipients_of
from promomsg.cli.journal_place import FleetPlace
from promomsg.sandbox import Sandbox

VARIABLE = "PROMOMSG_FLEET_KEY"
KEY = base64.b64encode(b"k" * 32).decode()
PAIR = make_key_pair()
ACCOUNT = """\
client_id = "c"
app_id = "a"
private_key = "file:key.pem"
public_key = "file:wallet.pem"
base_url = "{url}/api"
"""
CAMPAIGN = """\
[campaign]
name = "autumn"
channel = "alipay"
recipients = "users.csv"
[alipay]
{account}
[message]
template_code = "TP_1"
[[message.templates]]
language = "en-US"
[message.templates.parameters]
who = "{{who}}"
[pace]
unlimited = true
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def fleet(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with new_fleet(postgres) as url:
        for variable, value in (("PROMOMSG_FLEET", url), (VARIABLE, KEY)):
            monkeypatch.setenv(variable, value)
            monkeypatch.setitem(ENV, variable, value)
        assert promomsg("fleet", "init") == 0
        yield url


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def file(tmp_path: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wallet's campaign of ten users."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.pem").write_text(PAIR.private_pem.reveal())
    (tmp_path / "wallet.pem").write_text(box.alipay_public_key)
    rows = "".join(f"u{n},usertoken-{n:04},n{n}\n" for n in range(10))
    (tmp_path / "users.csv").write_text("key,access_token,who\n" + rows)
    path = tmp_path / "autumn.toml"
    path.write_text(CAMPAIGN.format(account=ACCOUNT.format(url=box.url)))
    return path


@pytest.fixture
def worker(fleet: str, box: Sandbox, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker of the wallet, in an environment that may lack something."""
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(f'[[account]]\nchannel = "alipay"\n{ACCOUNT.format(url=box.url)}')
    begun: list[subprocess.Popen[str]] = []

    def start(*words: object) -> subprocess.Popen[str]:
        process = started("worker", *(words or ("--accounts", accounts)))
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("working for ")
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            process.terminate()
            finished(process, 30)


def troubles() -> list[str]:
    """What the workers cannot do."""
    return [one.text for worker in asyncio.run(Fleet().workers()) for one in worker.trouble]


def test_workers_send_a_wallets_campaign_whose_list_is_elsewhere(
    file: Path, box: Sandbox, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    worker()
    assert promomsg("send", file, "--yes", "--json", "--journal", "fleet:autumn") == 0
    said = capsys.readouterr()
    assert "1 worker sends it (" in said.err
    assert json.loads(said.out)["sent"] == 10
    assert box.ledger.total == 10
    assert box.ledger.twice() == []


def test_without_a_key_a_wallets_campaign_is_sent_where_its_list_is(
    file: Path,
    box: Sandbox,
    worker: Start,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker()
    monkeypatch.delenv(VARIABLE)
    assert promomsg("send", file, "--yes", "--journal", "fleet:autumn") == 0
    err = capsys.readouterr().err
    assert "it is sent here, and not by workers (they can with PROMOMSG_FLEET_KEY set" in err
    assert box.ledger.total == 10


def test_a_worker_without_the_key_says_so_and_one_with_it_sends(
    file: Path, box: Sandbox, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENV, VARIABLE, "")
    worker()
    send = started_with_key("send", file, "--yes", "--json", "--journal", "fleet:autumn")
    wait_for(lambda: any(f"set {VARIABLE} to it" in text for text in troubles()), seconds=30)
    assert box.ledger.total == 0
    monkeypatch.setitem(ENV, VARIABLE, KEY)
    worker()
    finished(send, 60)
    assert send.returncode == 0
    assert box.ledger.total == 10


def started_with_key(*words: object) -> subprocess.Popen[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENV, VARIABLE, KEY)
        return started(*words)


def test_resume_on_another_machine_needs_no_list(
    file: Path,
    box: Sandbox,
    fleet: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = load_campaign(file, journal=FleetPlace("autumn", fleet))

    async def plan() -> None:
        async with open_channel(read) as channel:
            people = recipients_of(read)
            await Campaign(
                channel, read.message, people, journal=Fleet().journal("autumn")
            ).hand_over()

    asyncio.run(plan())
    (file.parent / "users.csv").unlink()
    monkeypatch.setenv(VARIABLE, base64.b64encode(b"x" * 32).decode())
    resume = ("resume", "fleet:autumn", "--campaign", file, "--yes", "--json")
    capsys.readouterr()
    assert promomsg(*resume) == 1
    err = capsys.readouterr().err
    assert "which PROMOMSG_FLEET_KEY of this process has not: add it there, or give the re" in err
    assert box.ledger.total == 0
    monkeypatch.setenv(VARIABLE, KEY)
    assert promomsg(*resume) == 0
    assert json.loads(capsys.readouterr().out)["sent"] == 10
    assert box.ledger.twice() == []


def test_a_worker_without_the_secret_says_which_and_takes_nothing(
    box: Sandbox,
    worker: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENV, "WECHAT_SECRET", "")
    path = campaign(tmp_path, box.url, 5)
    accounts = tmp_path / "other.toml"
    accounts.write_text(
        '[[account]]\nchannel = "wechat"\nappid = "wx0123456789abcdef"\n'
        f'secret = "env:AUTUMN_SECRET"\nbase_url = "{box.url}"\n'
    )
    process = worker("--accounts", accounts)
    send = started("send", path, "--yes", "--json", "--journal", "fleet:autumn")
    wait_for(lambda: any("AUTUMN_SECRET is not set" in text for text in troubles()), seconds=30)
    [line] = [text for text in troubles() if "AUTUMN_SECRET is not set" in text]
    assert "campaign 'autumn' of wechat account wx0123456789abcdef" in line
    assert "other.toml: [account 1] secret" in line
    assert line.endswith("set it where this worker runs")
    process.terminate()
    _, err = finished(process, 30)
    assert "without it nothing is sent for the wechat account wx0123456789abcdef" in err
    monkeypatch.setitem(ENV, "AUTUMN_SECRET", "a-secret-of-nobody")
    worker("--accounts", accounts)
    finished(send, 60)
    assert send.returncode == 0
    assert box.ledger.total == 5


def test_a_worker_with_a_key_that_is_none_does_not_begin(
    fleet: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "my passphrase")
    assert promomsg("worker") == 1
    err = capsys.readouterr().err
    assert "PROMOMSG_FLEET_KEY: key 1 is not 32 bytes in base64" in err
    assert "passphrase" not in err
