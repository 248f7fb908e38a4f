"""A reader's own terminal: a shell on a pseudo-terminal, in which the blocks of a page are typed in order."""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from markdown_blocks import ROOT, read

_BLOCK: Final = re.compile(
    r"(?:^[^\n]*`([\w.-]+)`[^\n]*[:：]\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
"""A fenced block, with the name of the file that the line before it says it is."""
_MOST: Final = 120.0
"""Seconds after which a step hangs."""
_SHELL: Final = """
import fcntl, os, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting"])
"""
"""A shell whose terminal is its standard input, so that Ctrl-C reaches what it runs."""


def steps(page: str) -> list[tuple[str, str, str]]:
    """A page's blocks in order: the language, the text, and the name of the file that it is to be saved as."""
    return [(found[2], found[3], found[1] or "") for found in _BLOCK.finditer(read(page))]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Terminal:
    """A shell in an empty folder, with promomsg installed. It says yes to whatever is asked.

    Args:
        ports: the ports that a page names, and which ones they are here.
    """

    def __init__(self, folder: Path, **ports: int) -> None:
        self.folder = folder
        self._ports = {name.removeprefix("port_"): str(port) for name, port in ports.items()}
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "PS1": "",
            "PROMOMSG_STATE": str(folder),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        }
        self._shell, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SHELL],
            cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._count = 0
        self.type("stty -echo; PS2=; set +o history")

    def here(self, text: str) -> str:
        """A block with this run's ports in it."""
        for name, port in self._ports.items():
            text = text.replace(name, port)
        return text

    def type(self, text: str, look: Callable[[], bool] = lambda: False) -> tuple[int, str]:
        """Types a block; its exit status, and what was shown.

        Args:
            look: once it is true, Ctrl-C is pressed.
        """
        self._count += 1
        script = self.folder / f".step-{self._count}.sh"
        script.write_text(self.here(text), encoding="utf-8")
        end = f"step-{self._count}-ended:"
        half = f"'step-{self._count}-''ended:'"  # the terminal's echo is not the end
        os.write(self._shell, f". {script}; echo {half}$?:\n".encode())
        shown, asked, pressed = "", 0, False
        give_up = time.monotonic() + _MOST
        while not (found := re.search(rf"{end}(\d+):", shown)):
            assert time.monotonic() < give_up, f"this hangs:\n{text}\n{shown}"
            if select.select([self._shell], [], [], 0.02)[0]:
                shown += os.read(self._shell, 65_536).decode(errors="replace")
            if (now := shown.count("[y/N]")) > asked:
                asked = now
                os.write(self._shell, b"y\n")
            if not pressed and look():
                pressed = True
                os.write(self._shell, b"\x03")
        self._wait_for_servers(text)
        return int(found[1]), shown[: found.start()].replace("\r\n", "\n")

    def _wait_for_servers(self, text: str) -> None:
        """Until what a block starts in the background listens, as a reader sees before typing on."""
        for line in text.replace("\\\n", " ").splitlines():
            port = re.search(r"--port (\d+).*&$", line)
            give_up = time.monotonic() + _MOST
            while port is not None and time.monotonic() < give_up:
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", int(self.here(port[1]))), 1).close()
                    break

    def close(self) -> None:
        """Ends the shell and whatever it started."""
        with suppress(OSError):
            os.write(self._shell, b"kill $(jobs -p) 2>/dev/null; wait; exit\n")
        give_up = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < give_up:
            with suppress(OSError):
                if select.select([self._shell], [], [], 0.02)[0]:
                    os.read(self._shell, 65_536)
        self._process.kill()
        self._process.wait()
        os.close(self._shell)
