"""A channel that another package brings, from its installation to 1,000 people under fire."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_campaigns import ENV, conserved, finished, one_document, promomsg
from waiting import until

from promomsg import open_journal
from promomsg.channels import installed
from promomsg.sandbox import Fault, FaultPlan, Sandbox
from promomsg.testing import LedgerChecks

EXAMPLE = Path(__file__).parents[2] / "examples" / "subscribe_channel"
APPSECRET = "a-secret-that-nobody-prints"
CAMPAIGN = """\
[campaign]
name = "autumn"
channel = "subscribe"
recipients = "people.csv"
durability = "process"
[subscribe]
appid = "wx0123456789abcdef"
secret = "file:secret.txt"
base_url = "{url}"
[message]
template_id = "T1"
page = "pages/index?n={{name}}"
[message.data]
thing1 = "{{name}},三件五折"
time2 = "15:01"
[pace]
unlimited = true
concurrency = 16
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the example package, installed as its pyproject says."""
    folder = tmp_path / "site"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "--no-deps",
            "--no-build-isolation", "--no-index", "--disable-pip-version-check", str(EXAMPLE),
        ],
        check=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def installed_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process finds it, as an editable installation is found."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / "promomsg_subscribe-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: promomsg-subscribe\nVersion: 0.1.0\n"
    )
    ((name, value),) = project["entry-points"][installed.ENTRY_POINTS].items()
    (info / "entry_points.txt").write_text(f"[{installed.ENTRY_POINTS}]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield
    installed.channel_class.cache_clear()
    sys.modules.pop("promomsg_subscribe", None)


def campaign(folder: Path, url: str, people: int = 10, text: str = CAMPAIGN) -> Path:
    (folder / "secret.txt").write_text(APPSECRET)
    rows = "".join(f"k{n},o-{n:05},客{n}\n" for n in range(people))
    (folder / "people.csv").write_text("key,openid,name\n" + rows, encoding="utf-8")
    file = folder / "autumn.toml"
    file.write_text(text.format(url=url), encoding="utf-8")
    return file


def terminal(site: Path, *words: object) -> subprocess.Popen[str]:
    """The terminal in a process of its own that has the package."""
    path = os.pathsep.join((str(site), ENV["PYTHONPATH"]))
    state = os.environ["PROMOMSG_STATE"]
    return subprocess.Popen(
        [sys.executable, "-m", "promomsg.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENV, "PYTHONPATH": path, "PROMOMSG_STATE": state},
    )


@pytest.mark.usefixtures("installed_there")
def test_every_command_takes_it(
    tmp_path: Path, served: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    journal = tmp_path / "autumn.db"
    served.settings.refuse_single = {"o-00003": 43101, "o-00004": 43108}

    assert promomsg("doctor", file) == 0
    assert "the account gets an access token" in capsys.readouterr().out
    assert promomsg("plan", file, "--json") == 0
    assert one_document(capsys)["single_calls"] == 10
    assert promomsg("send", file, "--yes", "--json") == 3
    document = one_document(capsys)
    assert (document["sent"], document["failed"]) == (8, 2)
    assert promomsg("resume", journal, "--yes") == 3
    assert "several messages to one user at once" in capsys.readouterr().out

    served.settings.refuse_single = {}
    assert promomsg("retry", journal, "--failed", "--yes") == 0
    capsys.readouterr()
    assert promomsg("report", journal, "--all", "--format", "csv") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["verdict"] for row in rows} == {"sent"}
    LedgerChecks(served.ledger).reached_only(*(f"o-{n:05}" for n in range(10)))
    assert json.loads(served.ledger.messages["o-00001"])["thing1"] == {"value": "客1,三件五折"}

    assert promomsg("explain", "43107") == 0
    assert "43107 (channel subscribe): the account or the template is banned" in (
        capsys.readouterr().out
    )


@pytest.mark.usefixtures("installed_there")
@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('appid = "wx0123456789abcdef"', "", "[subscribe] appid is missing"),
        ("appid =", "appids =", "[subscribe] appid is missing"),
        ('template_id = "T1"', 'template_id = "T1"\npages = "x"', "did you mean 'page'?"),
        ('template_id = "T1"', 'template_id = "T1"\nlang = "de"', "[message] lang is 'de'"),
        ('"file:secret.txt"', f'"{APPSECRET}"', "a secret does not stand in the file itself"),
        ("[pace]", "[audience]\nroles = [1]\n[pace]", "[audience] does not belong to"),
        ('channel = "subscribe"', 'channel = "subscrib"', "did you mean 'subscribe'?"),
        ("subscribe", "sms", "channel is 'sms'; expected 'wechat', 'alipay', 'subscribe'"),
        (
            '{{name}},三件五折"',
            '{{name}},一二三四五六七八九十一二三四五六七八九十"',
            "thing takes 20",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_said_by_its_place(
    tmp_path: Path,
    served: Sandbox,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    complaint: str,
) -> None:
    file = campaign(tmp_path, served.url, text=CAMPAIGN.replace(old, new))
    promomsg("send", file, "--yes")
    said = capsys.readouterr()
    assert complaint in said.err + said.out
    assert APPSECRET not in said.err + said.out
    assert not served.ledger.delivered


@pytest.mark.usefixtures("installed_there")
def test_a_journal_is_of_its_channel(
    tmp_path: Path, served: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    assert promomsg("send", file, "--yes") == 0
    with open_journal(tmp_path / "autumn.db") as opened:
        assert (opened.record.channel, opened.record.account) == ("subscribe", "wx0123456789abcdef")


def test_a_package_that_cannot_be_imported_is_one_line(
    tmp_path: Path,
    served: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken"
    info = broken / "broken_channel-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-channel\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[promomsg.channels]\nsubscribe = broken_channel:It\n")
    (broken / "broken_channel.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(broken)
    assert promomsg("send", campaign(tmp_path, served.url), "--yes") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "channel 'subscribe' (broken-channel 1.0) cannot be imported: ModuleNotFoundError" in line
    )
    assert promomsg("explain", "43101") == 0


@pytest.mark.asyncio
async def test_a_thousand_people_through_faults_and_kills(
    tmp_path: Path, served: Sandbox, site: Path
) -> None:
    """SIGKILL in the middle, time and again: nobody gets two, and every outcome is true."""

    def faults(kind: str, probability: float) -> Fault:
        return Fault(endpoint="subscribe_send", kind=kind, probability=probability)

    served.settings.refuse_single = {f"o-{n:05}": 43101 for n in range(0, 1000, 40)}
    served.faults = FaultPlan(
        [
            faults("reset_before_reading", 0.005),
            faults("drop_after_delivering", 0.01),
            faults("truncate", 0.005),
            faults("status", 0.005),
            Fault(endpoint="connect", kind="refuse", probability=0.01),
            Fault(endpoint="subscribe_send", kind="slow", seconds=0.01),
        ]
    )
    file, journal = campaign(tmp_path, served.url, 1000), tmp_path / "autumn.db"
    words: tuple[object, ...] = ("send", file, "--yes")
    for _ in range(2):
        calls = served.calls["subscribe_send"]
        child = terminal(site, *words)
        await until(lambda: served.calls["subscribe_send"] > calls + 150, seconds=20)  # noqa: B023
        child.send_signal(signal.SIGKILL)
        finished(child)
        served.expire_tokens()
        words = ("resume", journal, "--yes")
    out, err = finished(terminal(site, *words, "--json"), 30)
    document = json.loads(out)
    assert conserved(document), err
    assert (document["state"], document["planned"], document["pending"]) == ("done", 1000, 0)
    with open_journal(journal) as opened:
        LedgerChecks(served.ledger).agrees_with(opened.report())
    lost = sum(served.ledger.faults.values())
    assert document["unknown"] <= lost + 2 * 16
    assert document["sent"] > 800
    assert APPSECRET not in out + err
