"""The live terminal, drawn from a real run: `promomsg send` against the sandbox, on a pseudo-terminal."""

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
from pathlib import Path
from typing import Final

from outside import ROOT
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_COLUMNS: Final = 100
_LINES: Final = 34
_MOMENT: Final = re.compile(r"sending: (\d+) sent.*group \w+ \([\d,]+\): [4-8]0%", re.DOTALL)
"""What the screen shows when the picture is taken: single sends going out, a group half through."""
_NAMED: Final = 169
"""Recipients with a text of their own, who get it one by one."""
_TEXT: Final = re.compile(r'textLength="([\d.]+)"([^>]*)>([^<]*)</text>')
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


def _files(folder: Path, url: str) -> None:
    rows = ["key,id,name", *(f"crm-{n},{10_000 + n}," for n in range(1, 1_001))]
    names = [a + b for a in "王李张刘陈杨赵黄周吴徐孙胡" for b in "明红刚芳伟敏静丽强磊军洋艳"]
    rows += [f"crm-{n},{10_000 + n},{name}" for n, name in enumerate(names, 1_001)]
    rows += rows[1:4]
    (folder / "promoters.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "blocked.csv").write_text("key\ncrm-17\ncrm-1017\n", encoding="utf-8")
    (folder / "autumn.toml").write_text(_CAMPAIGN.replace("URL", url), encoding="utf-8")
    faults = (
        '[settings]\npoll_steps = [40, 60, 80, 100]\n[settings.refuse_single]\n"11030" = 43101\n'
    )
    (folder / "sandbox.toml").write_text(faults, encoding="utf-8")


def _run(folder: Path, environment: dict[str, str]) -> str:
    """The screen of `promomsg send autumn.toml` in the middle of its run."""
    screen = Screen()
    screen.feed("$ promomsg send autumn.toml\r\n")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
    sending = subprocess.Popen(
        [sys.executable, "-m", "promomsg", "send", "autumn.toml"],
        cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
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
        elif not taken and (found := _MOMENT.search(screen.text)) and int(found[1]) > _NAMED / 3:
            taken = screen.text
    os.close(ours)
    if not taken:
        raise SystemExit(f"the run has not come to what the picture shows:\n{screen.text}")
    return taken


def _svg(shown: str) -> str:
    """A screen as SVG, with fonts that are there instead of some from elsewhere."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown))
    template = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code, monospace", _FONTS).replace("arial", "sans-serif")
    template = template.replace("<!-- Generated with Rich https://www.textualize.io -->", "")
    svg = console.export_svg(title="promomsg", code_format=template, unique_id="terminal")
    return re.sub(r"[ \t]+\n", "\n", _TEXT.sub(_as_wide_as_it_is, svg))


def _as_wide_as_it_is(found: re.Match[str]) -> str:
    """A text without the length that rich gives it where it has Chinese in it: a character counts as two."""
    words = html.unescape(found[3])
    return found[0] if cell_len(words) == len(words) else f"{found[2].strip()}>{found[3]}</text>"


def terminal() -> dict[str, str]:
    """The pictures of the terminal, by file name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _files(folder, "http://127.0.0.1:1")
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT), "HOME": name, "PROMOMSG_STATE": name, "WECHAT_SECRET": "any-secret",
            "TERM": "xterm-256color", "COLUMNS": str(_COLUMNS), "LANG": "C.UTF-8",
        }  # fmt: skip
        environment.pop("NO_COLOR", None)
        sandbox = subprocess.Popen(
            [sys.executable, "-m", "promomsg", "sandbox", "--faults", "sandbox.toml"],
            cwd=folder, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert sandbox.stdout is not None
            url = sandbox.stdout.readline().split()[-1]
            _files(folder, url)
            shown = _run(folder, environment)
        finally:
            sandbox.terminate()
            sandbox.wait()
    return {
        "terminal.svg": _svg(shown.replace(url, "http://127.0.0.1:8765").replace(name, "/home/me"))
    }
