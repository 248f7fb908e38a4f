"""The console in a browser, photographed while campaigns are sent against the sandbox.

Needs a Chromium, as the tests of `tests/browser/` do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from outside import ROOT
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(ROOT / "tests"))
from browser.chromium import MISSING, find_chromium, flags

_WIDTH: Final = 1120
_HEIGHT: Final = 800
_TALL: Final = 1240
"""Of the page of a campaign, as far as its chart."""
_MOST_BYTES: Final = 150_000
"""Of one picture: they are in the source package."""
_SENT: Final = 800
"""Recipients that were sent to when the pictures are taken, of 1,338."""
_AS_SHOWN: Final = """
([found, shown]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(found, shown);
}
"""
"""Another folder and port than the ones of the run, which are new each time."""
_SANDBOX: Final = """\
[settings.refuse_single]
"""
_REFUSED: Final = dict.fromkeys(range(10030, 11300, 61), 43101) | {10_055: 40003, 10_131: 40003}
"""Who is refused, by id."""
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
singles_per_second = 60
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
        refused = "".join(f'"{who}" = {code}\n' for who, code in _REFUSED.items())
        (folder / "faults.toml").write_text(_SANDBOX + refused, encoding="utf-8")
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
                shown = {str(folder): "/srv/campaigns", url: "http://127.0.0.1:8765"}
                taken = _photographed(page, at, shown)
                browser.close()
        finally:
            for process in reversed(started):
                process.terminate()
                process.communicate()
    for picture, png in taken.items():
        if len(png) > _MOST_BYTES:
            raise SystemExit(f"{picture} has {len(png):,} bytes, more than {_MOST_BYTES:,}")
    return taken


def _photographed(page: Page, at: str, replaced: dict[str, str]) -> dict[str, bytes]:
    def picture(height: int = _HEIGHT) -> bytes:
        page.set_viewport_size({"width": _WIDTH, "height": height})
        for pair in replaced.items():
            page.evaluate(_AS_SHOWN, list(pair))
        return page.screenshot(animations="disabled")

    page.goto(f"{at}/campaigns/1/singles-day.db")
    page.wait_for_function(
        "n => +document.querySelector('.tiles .sent b').textContent.replace(',', '') > n",
        arg=_SENT, timeout=60_000,
    )  # fmt: skip
    page.reload()  # the chart of now
    page.locator("#rate svg").wait_for()
    campaign = picture(_TALL)
    page.goto(at)
    page.get_by_text("Time left").first.wait_for()
    campaigns = picture()
    page.goto(f"{at}/campaigns/1/singles-day.db/recipients?search=crm-15")
    return {
        "console-campaigns.png": campaigns,
        "console-campaign.png": campaign,
        "console-people.png": picture(),
    }


def _write_campaigns(folder: Path, url: str) -> None:
    """One that is sent while the pictures are taken, and one that waits for a person's word."""
    names = [a + b for a in "王李张刘陈杨赵黄周吴徐孙胡" for b in "明红刚芳伟敏静丽强磊军洋艳"]
    rows = ["key,id,name", *(f"crm-{n},{10_000 + n}," for n in range(1, 1_001))]
    rows += [f"crm-{n},{10_000 + n},{name}" for n, name in enumerate(names * 2, 1_001)]
    (folder / "singles-day.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    single = 'route = "single"'
    first = f'{single}\nfirst = 20\nfirst_wait = "0s"\nfirst_ask = true'
    for name, more in (("singles-day", single), ("new-members", first)):
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
