"""The console in a browser, photographed while campaigns are sent against the sandbox.

Needs a Chromium, as the tests of `tests/browser/` do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from outside import ROOT
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(ROOT / "tests"))
from browser.chromium import MISSING, find_chromium, flags

_WIDTH: Final = 1120
_HEIGHT: Final = 760
_MOST_BYTES: Final = 150_000
"""Of one picture: they are in the source package."""
_SENT: Final = 60
"""Single sends that are through when the pictures are taken."""
_SANDBOX: Final = """\
[settings]
poll_steps = [20, 40, 60, 70, 80, 90, 95, 100]
[settings.refuse_single]
"11030" = 43101
"11042" = 43101
"11055" = 40003
"""
_CAMPAIGN: Final = """\
[campaign]
channel = "wechat"
recipients = "singles-day.csv"
{more}
[wechat]
appid = "wx0123456789"
secret = "env:WECHAT_SECRET"
base_url = "{url}"
[message]
msg_type = 1
path = "pages/index/index"
content = {{ title = "双十一优惠", desc = "{{name|客官}},三件五折" }}
[pace]
singles_per_second = 20
[poll]
first_after = "500ms"
every = "2s"
"""


def console() -> dict[str, bytes]:
    """The pictures of the console, by file name."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit(MISSING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "campaigns"
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "HOME": name, "PROMOMSG_STATE": f"{name}/state",
            "WECHAT_SECRET": "any-secret", "LANG": "C.UTF-8",
        }  # fmt: skip
        _run(name, environment, "demo", "--dir", "campaigns")
        (folder / "faults.toml").write_text(_SANDBOX, encoding="utf-8")
        started: list[subprocess.Popen[str]] = []
        try:
            url = _listening(folder, environment, started, "sandbox", "--faults", "faults.toml")
            _write_campaigns(folder, url)
            _run(folder, environment, "send", "new-members.toml", "--yes", status=5)
            started.append(_start(folder, environment, "send", "singles-day.toml", "--yes"))
            at = _listening(folder, environment, started, "console", ".")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=flags())
                page = browser.new_page(
                    viewport={"width": _WIDTH, "height": _HEIGHT},
                    locale="en-US",
                    color_scheme="light",
                )
                taken = _photographed(page, at)
                browser.close()
        finally:
            for process in reversed(started):
                process.terminate()
                process.communicate()
    for picture, png in taken.items():
        if len(png) > _MOST_BYTES:
            raise SystemExit(f"{picture} has {len(png):,} bytes, more than {_MOST_BYTES:,}")
    return taken


def _photographed(page: Page, at: str) -> dict[str, bytes]:
    sent = ".tiles .sent b"
    page.goto(f"{at}/campaigns/1/singles-day.db")
    page.wait_for_function(
        f"+document.querySelector('{sent}').textContent > {_SENT}", timeout=60_000
    )
    campaign = page.screenshot()
    page.goto(at)
    page.get_by_text("sending").first.wait_for()
    time.sleep(2)  # so that the rate is known, which takes two looks
    campaigns = page.screenshot()
    page.goto(f"{at}/campaigns/1/demo-autumn.db/recipients?state=failed")
    return {
        "console-campaigns.png": campaigns,
        "console-campaign.png": campaign,
        "console-people.png": page.screenshot(),
    }


def _write_campaigns(folder: Path, url: str) -> None:
    """One that is sent while the pictures are taken, and one that waits for a person's word."""
    names = [a + b for a in "王李张刘陈杨赵黄周吴徐孙胡" for b in "明红刚芳伟敏静丽强磊军洋艳"]
    rows = ["key,id,name", *(f"crm-{n},{10_000 + n}," for n in range(1, 1_001))]
    rows += [f"crm-{n},{10_000 + n},{name}" for n, name in enumerate(names * 2, 1_001)]
    (folder / "singles-day.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    first = 'route = "single"\nfirst = 20\nfirst_wait = "0s"\nfirst_ask = true'
    for name, more in (("singles-day", ""), ("new-members", first)):
        text = _CAMPAIGN.format(url=url, more=more)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def _start(folder: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - a command of this file
        [sys.executable, "-m", "promomsg", *words],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _run(folder: str | Path, environment: dict[str, str], *words: str, status: int = 0) -> None:
    """Runs a command to its end."""
    process = _start(Path(folder), environment, *words)
    out, err = process.communicate()
    if process.returncode != status:
        raise SystemExit(f"promomsg {' '.join(words)}: {process.returncode}\n{out}{err}")


def _listening(
    folder: Path, environment: dict[str, str], started: list[subprocess.Popen[str]], *words: str
) -> str:
    """Starts a server; returns its URL."""
    process = _start(folder, environment, *words)
    started.append(process)
    assert process.stdout is not None
    line = process.stdout.readline()
    if "listening on" not in line:
        raise SystemExit(f"promomsg {' '.join(words)} does not listen: {process.communicate()[1]}")
    return line.split()[-1].rstrip("/")
