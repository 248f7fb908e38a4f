"""A sandbox in a thread of its own, and a campaign file for it: what the terminal's tests share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chaos.trial import keys
from log_as_before import log_as_before

import promomsg as promomsg_package
from promomsg.cli import main
from promomsg.testing import ThreadedSandbox

WECHAT = """\
[campaign]
name = "{name}"
channel = "wechat"
{who}
journal = "{name}.db"
durability = "process"
{campaign}
[wechat]
appid = "wx0123456789abcdef"
secret = "file:secret.txt"
base_url = "{url}"
[message]
msg_type = 1
path = "pages/index/index"
[message.content]
title = "{title}"
{sections}
[pace]
{pace}
[poll]
first_after = "20ms"
every = "40ms"
give_up_after = "20s"
"""

WALLET = """\
[campaign]
name = "{name}"
channel = "alipay"
recipients = "people.csv"
durability = "process"
[alipay]
client_id = "c"
app_id = "a"
private_key = "file:key.pem"
verify = false
base_url = "{url}/api"
{account}
[message]
template_code = "T"
{message}
[[message.templates]]
parameters = {{ who = "{{who}}" }}
[pace]
{pace}
"""

running = ThreadedSandbox
"""A sandbox that serves while the block runs, from another thread."""


def campaign(
    folder: Path,
    url: str,
    rows: int | str = 10,
    *,
    name: str = "autumn",
    title: str = "优惠",
    pace: str = "unlimited = true",
    campaign: str = "",
    sections: str = "",
    who: str = 'recipients = "people.csv"',
) -> Path:
    """Writes a campaign file and its recipients; returns the file's path."""
    (folder / "secret.txt").write_text("a-secret-of-nobody")
    if isinstance(rows, int):
        rows = "key,id,name\n" + "".join(f"k{n},{1000 + n},客{n}\n" for n in range(rows))
    (folder / "people.csv").write_text(rows)
    file = folder / f"{name}.toml"
    file.write_text(
        WECHAT.format(
            name=name,
            title=title,
            url=url,
            pace=pace,
            campaign=campaign,
            sections=sections,
            who=who,
        )
    )
    return file


def wallet_campaign(
    folder: Path,
    url: str,
    rows: str,
    *,
    name: str = "wallet",
    pace: str = "unlimited = true",
    account: str = "",
    message: str = "",
) -> Path:
    """The same of a campaign to a wallet's users, with its key.

    Args:
        rows: the list, with the columns key, access_token and who.
        account, message: more lines of [alipay] and [message].
    """
    (folder / "key.pem").write_text(keys().private_pem.reveal())
    (folder / "people.csv").write_text(rows)
    file = folder / f"{name}.toml"
    file.write_text(WALLET.format(name=name, url=url, pace=pace, account=account, message=message))
    return file


def promomsg(*words: object) -> int:
    """Runs the terminal in this process; returns its exit status.

    On asyncio's own loop, since coverage does not see into uvloop's; children have uvloop.
    """
    # This one module only: `mock.patch.dict` would forget the modules that a command is the first to
    # load, and the next one would load them, and their classes, once more.
    with pytest.MonkeyPatch.context() as patched, log_as_before():
        patched.setitem(sys.modules, "uvloop", None)  # type: ignore[call-overload]
        return main([str(w) for w in words])


def one_document(capsys: pytest.CaptureFixture[str]) -> Any:
    """What stdout has, which must be one JSON document and nothing else."""
    return json.loads(capsys.readouterr().out)


def conserved(document: dict[str, Any]) -> bool:
    """docs/design.md, "The counts add up"."""
    rest = ("sent", "failed", "unknown", "skipped", "cancelled", "pending")
    return bool(document["planned"] == sum(document[name] for name in rest))


ENV = {
    **os.environ,
    "PYTHONPATH": str(Path(promomsg_package.__file__).parents[1]),
    "PYTHONFAULTHANDLER": "1",  # SIGABRT then prints every thread's stack: see `finished`
}
"""For children, wherever they run: the package need not be installed."""


def started(*words: object) -> subprocess.Popen[str]:
    """The terminal in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "promomsg.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENV, "PROMOMSG_STATE": os.environ["PROMOMSG_STATE"]},
    )


def finished(process: subprocess.Popen[str], seconds: float = 20.0) -> tuple[str, str]:
    """What a child wrote on stdout and stderr until its end.

    One that does not end is aborted, so that it cannot disturb later tests, and the stacks of its
    threads are in the failure's text.
    """
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
    try:
        out, err = process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    raise AssertionError(f"it did not end within {seconds:g} s; stdout:\n{out}\nstderr:\n{err}")
