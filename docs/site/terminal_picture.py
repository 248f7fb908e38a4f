"""The terminal, drawn from a real run and what is asked for after it: `promomsg send` against the sandbox, on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import html
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Final

from outside import ROOT
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

import promomsg

_COLUMNS: Final = 100
_LINES: Final = 34
_HALF_THROUGH: Final = re.compile(r"[4-8]0%[^\n]*\n[^\n]*\Z")
"""What the end of the screen shows when the picture is taken: a group half through, while single sends go out."""
_SANDBOX: Final = """\
[settings]
poll_steps = [40, 60, 80, 100]
[settings.refuse_single]
"11030" = 43101
"11041" = 40003
[[fault]]
endpoint = "singlesendmsg"
kind = "drop_after_delivering"
calls = [53]
"""
_NARROW: Final = 80
_LATER: Final = {
    "terminal-result.svg": ("promomsg status autumn.db", _NARROW),
    "terminal-report.svg": ("promomsg report autumn.db --state failed,unknown", _NARROW),
    "terminal-list.svg": ("promomsg list", 60),
}
_LATER_ZH: Final = {
    "terminal-report-zh.svg": (
        "promomsg report autumn.db --state failed,unknown --lang zh", _NARROW,
    ),
}  # fmt: skip
"""What is asked for once the campaign of the first picture is over, and on how many columns."""
_MASKED: Final = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}\b"), "6b093bff-89a6dc61-79be88da"),
    (re.compile(r"127\.0\.0\.1:\d{5}"), "127.0.0.1:18765"),
    (re.compile(r"(?<=took )\d+(?= s)|(?<=用时 )\d+(?= 秒)"), "5"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "2026-11-24"),
    (re.compile(r"\d\d:\d\d:\d\d"), "09:30:05"),
    (re.compile(r"just now|\d+ min ago"), "just now"),
)
"""What differs from run to run, and what stands there instead, as wide as it was."""
_COMMANDS: Final = {
    "terminal.svg": "promomsg send autumn.toml",
    "terminal-zh.svg": "promomsg send autumn.toml --lang zh",
}
_NAMED: Final = 169
"""Recipients with a text of their own, who get it one by one."""
_TEXT: Final = re.compile(
    r'(<text [^>]*?)x="([\d.]+)"([^>]*) textLength="([\d.]+)"([^>]*)>([^<]*)</text>'
)
_FONTS: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_CAMPAIGN: Final = """\
[campaign]
channel = "wechat"
recipients = "promoters.csv"
suppress = "blocked.csv"
[wechat]
appid = "wx0123456789"
secret = "env:WECHAT_SECRET"
base_url = "URL"
[message]
msg_type = 1
path = "pages/index/index"
content = { title = "今日优惠活动", desc = "{name|客官},三件五折" }
[pace]
singles_per_second = 40
[poll]
first_after = "500ms"
every = "1s"
"""


class Screen:
    """As much of a terminal as the live view needs: lines, and a cursor that moves up and down."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self._row = 0

    def feed(self, shown: str) -> None:
        """Takes in what a program wrote."""
        for part in re.findall(
            r"\x1b\[\d*A|\x1b\[2?K|\x1b\[\?25[lh]|\r|\n|[^\x1b\r\n]+|\x1b\[[\d;]*m", shown
        ):
            if part == "\n":
                self._row += 1
                self.lines += [""] * (self._row + 1 - len(self.lines))
            elif part.endswith("A") and part.startswith("\x1b"):
                self._row = max(self._row - int(part[2:-1] or 1), 0)
            elif part in ("\r", "\x1b[?25l", "\x1b[?25h"):
                pass  # a line is written anew only after it was erased
            elif part in ("\x1b[2K", "\x1b[K"):
                self.lines[self._row] = ""
            else:
                self.lines[self._row] += part

    @property
    def text(self) -> str:
        """What is shown, with its colours."""
        return "\n".join(self.lines).rstrip()


def _write_campaign(folder: Path, url: str) -> None:
    rows = ["key,id,name", *(f"crm-{n},{10_000 + n}," for n in range(1, 1_001))]
    names = [a + b for a in "王李张刘陈杨赵黄周吴徐孙胡" for b in "明红刚芳伟敏静丽强磊军洋艳"]
    rows += [f"crm-{n},{10_000 + n},{name}" for n, name in enumerate(names, 1_001)]
    rows += rows[1:4]
    (folder / "promoters.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "blocked.csv").write_text("key\ncrm-17\ncrm-1017\n", encoding="utf-8")
    (folder / "autumn.toml").write_text(_CAMPAIGN.replace("URL", url), encoding="utf-8")


def _started(
    folder: Path, command: str, environment: dict[str, str], columns: int
) -> tuple[subprocess.Popen[bytes], int]:
    """A command on a terminal of its own, and what is shown there, to be read."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))
    process = subprocess.Popen(  # noqa: S603 - a command of this file
        [sys.executable, "-m", *command.split()],
        cwd=folder, env={**environment, "COLUMNS": str(columns)}, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    return process, ours


def _shown(folder: Path, command: str, environment: dict[str, str], columns: int) -> str:
    """The screen of a command that only shows something, once it has ended."""
    screen = Screen()
    screen.feed(f"$ {command}\r\n")
    process, ours = _started(folder, command, environment, columns)
    written = b""
    with suppress(OSError):  # Linux's way to say that the terminal is closed
        while part := os.read(ours, 65_536):
            written += part
    process.wait()
    os.close(ours)
    screen.feed(written.decode())
    return screen.text


def _run(folder: Path, command: str, environment: dict[str, str]) -> str:
    """The screen of a command that sends `autumn.toml`, in the middle of its run."""
    screen = Screen()
    screen.feed(f"$ {command}\r\n")
    sending, ours = _started(folder, command, environment, _COLUMNS)
    answered = False
    taken = ""
    while sending.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.05)[0]:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # Linux's way to say that the terminal is closed
                break
            screen.feed(part.decode())
        elif not answered and "[y/N]" in screen.text:
            os.write(ours, b"y\n")
            answered = True
        elif answered and not taken and _HALF_THROUGH.search(screen.text):
            sent = promomsg.open_journal(folder / "autumn.db").report().sent
            taken = screen.text if _NAMED / 3 < sent < _NAMED else ""
    os.close(ours)
    if not taken:
        raise SystemExit(f"the run has not come to what the picture shows:\n{screen.text}")
    return taken


def _svg(shown: str, columns: int, name: str) -> str:
    """A screen as SVG, with fonts that are there instead of some from elsewhere."""
    for pattern, instead in _MASKED:
        shown = pattern.sub(instead, shown)
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown))
    template = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code, monospace", _FONTS).replace("arial", "sans-serif")
    template = template.replace("<!-- Generated with Rich https://www.textualize.io -->", "")
    svg = console.export_svg(title="promomsg", code_format=template, unique_id=name)
    return re.sub(r"[ \t]+\n", "\n", _TEXT.sub(_in_its_cells, svg))


def _in_its_cells(found: re.Match[str]) -> str:
    """A text with Chinese in it, each run of it where its first cell is: rich takes all characters for
    one cell wide."""
    before, x, between, length, after, written = found.groups()
    words = html.unescape(written)
    if words == "\n" or cell_len(words) == len(words):
        return found[0]
    cell = float(length) / len(words)
    at = float(x)
    runs = []
    for _, run in groupby(words, lambda letter: cell_len(letter) > 1):
        text = "".join(run)
        shown = html.escape(text).replace("\xa0", "&#160;")
        wide = cell * cell_len(text)
        size = ' font-size="23"' if cell_len(text) > len(text) else ""
        runs.append(f'<tspan x="{at:g}" textLength="{wide:g}"{size}>{shown}</tspan>')
        at += wide
    return f"{before}{between}{after}>{''.join(runs)}</text>"


def terminal() -> dict[str, str]:
    """The pictures of the terminal, by file name."""
    drawn = _drawn("terminal.svg", _LATER)
    return drawn | _drawn("terminal-zh.svg", _LATER_ZH)


def _drawn(first: str, later: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """The picture of a run, in a folder and against a sandbox of its own, and those of what is asked for later."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT), "HOME": name, "PROMOMSG_STATE": name, "WECHAT_SECRET": "any-secret",
            "TERM": "xterm-256color", "LANG": "C.UTF-8",
        }  # fmt: skip
        environment.pop("NO_COLOR", None)
        (folder / "sandbox.toml").write_text(_SANDBOX, encoding="utf-8")
        sandbox = subprocess.Popen(
            [sys.executable, "-m", "promomsg", "sandbox", "--faults", "sandbox.toml"],
            cwd=folder, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert sandbox.stdout is not None
            url = sandbox.stdout.readline().split()[-1]
            _write_campaign(folder, url)
            shown = {first: (_run(folder, _COMMANDS[first], environment), _COLUMNS)}
            for picture, (command, columns) in later.items():
                shown[picture] = (_shown(folder, command, environment, columns), columns)
        finally:
            sandbox.terminate()
            sandbox.wait()
    return {
        picture: _svg(
            text.replace(name, "/home/me"),
            columns, picture.removesuffix(".svg"),
        )
        for picture, (text, columns) in shown.items()
    }  # fmt: skip
