"""Losing a display never stops a campaign, and the exit status is the document's
(docs/design.md, "A lost display stops nothing")."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import ENV, campaign, conserved, finished, one_document, promomsg
from waiting import wait_for

from promomsg.sandbox import Fault, FaultPlan, Sandbox

KINDS = ("open", "closed", "full", "left")
"""What may be at the other end of a stream: somebody, nothing, a full disk, a reader that left."""


def child(
    *words: object,
    stdin: str = "open",
    stdout: str = "open",
    stderr: str = "open",
    env: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """The terminal in a process of its own, with such streams."""
    closing = "".join(
        f" {mark}&-"
        for mark, kind in (("0<", stdin), ("1>", stdout), ("2>", stderr))
        if kind == "closed"
    )
    with ExitStack() as ours:
        ends: dict[str, Any] = {}
        for name, kind in (("stdout", stdout), ("stderr", stderr)):
            ends[name] = subprocess.PIPE if kind == "open" else subprocess.DEVNULL
            if kind == "full":
                ends[name] = ours.enter_context(open("/dev/full", "wb"))
            elif kind == "left":
                here, there = os.pipe()
                os.close(here)
                ends[name] = there
                ours.callback(os.close, there)
        command = ["sh", "-c", f'exec "$@"{closing}', "sh", sys.executable, "-m", "promomsg.cli"]
        return subprocess.Popen(
            [*command, *map(str, words)], stdin=subprocess.DEVNULL, env=env or ENV, **ends
        )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    out, err = finished(process)  # type: ignore[arg-type] # bytes of an open stream
    return process.returncode, out or b"", err or b""  # type: ignore[return-value]


def document_of(journal: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert promomsg("status", journal, "--json") == 0
    found: dict[str, Any] = one_document(capsys)
    assert conserved(found)
    return found


STREAMS = [
    *({"stdout": kind} for kind in KINDS[1:]),
    *({"stderr": kind} for kind in KINDS[1:]),
    {"stdin": "closed"},
    {"stdin": "closed", "stdout": "closed", "stderr": "closed"},
    {"stdout": "full", "stderr": "full"},
    {"stdout": "left", "stderr": "left"},
]


@pytest.mark.parametrize(
    ("as_json", "streams"),
    [
        *((False, streams) for streams in STREAMS),
        *((True, streams) for streams in STREAMS if len(streams) == 1 and "stdout" in streams),
    ],
    ids=str,
)
def test_everybody_is_sent_to_and_the_status_is_the_campaigns(
    as_json: bool,
    streams: dict[str, str],
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One of them is refused, so that the status is neither that of success nor that of an error."""
    served.settings.refuse_single = {"1003": 43101}
    words = ["send", campaign(tmp_path, served.url, 30, title="{name}"), "--yes"]
    status, _, err = ended(child(*words, *(["--json"] if as_json else []), **streams))
    assert status == 3, err
    assert len(served.ledger.delivered) == 29
    assert set(served.ledger.delivered.values()) == {1}
    assert document_of(tmp_path / "autumn.db", capsys)["failed"] == 1


@pytest.mark.parametrize("streams", STREAMS, ids=str)
def test_what_only_shows_says_truly_whether_it_could(
    streams: dict[str, str], served: Sandbox, tmp_path: Path
) -> None:
    served.settings.refuse_single = {"1003": 43101}
    file, journal = campaign(tmp_path, served.url, 8, title="{name}"), tmp_path / "autumn.db"
    assert promomsg("send", file, "--yes") == 3
    commands = {
        "resume": child("resume", journal, "--yes", **streams),
        "status": child("status", journal, **streams),
        "report": child("report", journal, "--format", "csv", **streams),
        "plan": child("plan", file, "--json", **streams),
    }
    seen = {name: ended(process) for name, process in commands.items()}
    status = 1 if "stdout" in streams else 0
    assert {name: found[0] for name, found in seen.items()} == {
        "resume": 3, "status": status, "report": status, "plan": status,
    }  # fmt: skip
    for name, (_, _, err) in seen.items():
        assert b"Traceback" not in err
        assert b"Exception ignored" not in err
        if streams == {"stdout": "full"} and name != "resume":
            assert b"No space left on device" in err
    assert len(served.ledger.delivered) == 7


def test_readers_that_leave_in_the_middle_change_nothing(served: Sandbox, tmp_path: Path) -> None:
    """1,200 of 1,200, while both streams break after the plan."""
    sender = child("send", campaign(tmp_path, served.url, 1200, title="{name}"), "--yes")
    assert sender.stdout is not None
    assert sender.stderr is not None
    assert b"autumn" in sender.stdout.readline()
    sender.stdout.close()
    sender.stderr.close()
    assert sender.wait(30) == 0
    assert len(served.ledger.delivered) == 1200
    assert set(served.ledger.delivered.values()) == {1}


@pytest.mark.parametrize("name", ["xterm", "dumb"])
def test_a_terminal_that_is_stopped_stops_nobody(
    name: str, served: Sandbox, tmp_path: Path
) -> None:
    """Ctrl-S: everybody is sent to, and what it says is there after Ctrl-Q."""
    ours, theirs = pty.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    file = campaign(tmp_path, served.url, 120, title="{name}", pace="singles_per_second = 200")
    sender = subprocess.Popen(
        [sys.executable, "-m", "promomsg.cli", "send", str(file), "--yes"],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**ENV, "TERM": name},
    )  # fmt: skip
    wait_for(lambda: len(served.ledger.delivered) == 120)
    termios.tcflow(theirs, termios.TCOON)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:
        pass  # the last one at that terminal has left
    assert sender.wait(20) == 0
    os.close(ours)
    assert b"autumn: done" in seen
    assert (b"\x1b[" in seen) is (name == "xterm")


LOCALES: list[dict[str, str]] = [
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"LC_ALL": "POSIX"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"PYTHONIOENCODING": "gbk:strict", "PYTHONUNBUFFERED": "1"},
    {"PYTHONIOENCODING": "utf-16"},
]


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_json_and_csv_are_utf8_and_text_never_raises(
    locale: dict[str, str], served: Sandbox, tmp_path: Path
) -> None:
    env = {**ENV, **locale}
    served.settings.refuse_single = {"1001": 43101}
    rows = "key,id,name\n客户一,1001,é\n客户😀,1002,b\n"
    file, journal = campaign(tmp_path, served.url, rows, title="{name}"), tmp_path / "autumn.db"
    status, _, err = ended(child("send", file, "--yes", env=env))
    assert status == 3, err
    commands = {
        name: child(*words, env=env)
        for name, words in {
            "table": ("report", journal, "--all"),
            "csv": ("report", journal, "--all", "--format", "csv"),
            "json": ("report", journal, "--all", "--format", "json"),
            "plan": ("plan", file, "--json"),
        }.items()
    }
    seen = {name: ended(process) for name, process in commands.items()}
    assert {found[0] for found in seen.values()} == {0}
    assert seen["csv"][1].decode("utf-8").splitlines()[1].startswith("客户一,failed,43101,")
    outcomes = json.loads(seen["json"][1].decode("utf-8"))["outcomes"]
    assert [o["key"] for o in outcomes] == ["客户一", "客户😀"]
    assert "é" in seen["plan"][1].decode("utf-8")


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGHUP,),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGTERM),
    ],
    ids=lambda numbers: "+".join(n.name for n in numbers),
)
def test_signals_that_come_together_are_one_and_leave_nobody_in_doubt(
    numbers: tuple[signal.Signals, ...], served: Sandbox, tmp_path: Path
) -> None:
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="delay", seconds=0.1)])
    file = campaign(tmp_path, served.url, 300, title="{name}", pace="singles_per_second = 200")
    sender = child("send", file, "--yes", "--json")
    wait_for(lambda: served.calls["singlesendmsg"] > 20)
    for number in numbers:
        sender.send_signal(number)
    status, out, err = ended(sender)
    assert status == 130, err
    document = json.loads(out)
    assert document["unknown"] == 0
    assert document["sent"] == len(served.ledger.delivered)
    assert document["pending"] == 300 - document["sent"] > 0
    assert conserved(document)


def test_under_nohup_a_hangup_is_nothing(served: Sandbox, tmp_path: Path) -> None:
    file = campaign(tmp_path, served.url, 60, title="{name}", pace="singles_per_second = 100")
    sender = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-m", "promomsg.cli", "send",
         str(file), "--yes"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV,
    )  # fmt: skip
    wait_for(lambda: served.calls["singlesendmsg"] > 5)
    sender.send_signal(signal.SIGHUP)
    assert ended(sender)[0] == 0
    assert len(served.ledger.delivered) == 60


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_an_output_file_that_cannot_be_written_is_named(
    form: str, served: Sandbox, tmp_path: Path
) -> None:
    assert promomsg("send", campaign(tmp_path, served.url, 3), "--yes") == 0
    words = ("report", tmp_path / "autumn.db", "--all", "--format", form, "--output", "/dev/full")
    status, _, err = ended(child(*words))
    assert status == 1
    assert err == b"promomsg: /dev/full cannot be written: No space left on device\n"
