"""A console started from the command line, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from integration.cli_campaigns import ENV

__all__ = ["ConsoleProcess"]


class ConsoleProcess:
    """`promomsg console FOLDER` for the time of a `with` block.

    Attributes:
        url: where it listens, as it said, without a slash at the end.
        port: of it.
    """

    def __init__(
        self,
        folder: Path,
        *options: object,
        port: int = 0,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._command = [
            sys.executable, "-m", "promomsg", "console", str(folder), *map(str, options),
        ]  # fmt: skip
        self._environment = environment or {}
        self.port = port
        self.url = ""

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*self._command, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**ENV, "PROMOMSG_STATE": os.environ["PROMOMSG_STATE"], **self._environment},
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "listening on" in line:
                self.url = line.split()[-1].rstrip("/")
                self.port = int(self.url.rpartition(":")[2])
                return self
        self._process.wait()
        raise AssertionError(f"the console did not listen: {self.errors}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise AssertionError(f"the console did not end: {self.errors}") from error
        finally:
            self._errors.close()

    @property
    def errors(self) -> str:
        """What it wrote on stderr so far."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def at(self, name: str = "", *parts: object, place: object = 1) -> str:
        """The URL of a campaign's page, or of a page of it; without a name, of the list."""
        if not name:
            return f"{self.url}/"
        return "/".join([self.url, "campaigns", str(place), quote(name, safe=""), *map(str, parts)])

    def pages(self, name: str, *, actions: tuple[str, ...] = ()) -> dict[str, str]:
        """A page of each kind: what it is, and its URL."""
        kinds = {
            "campaigns": self.at(),
            "campaign": self.at(name),
            "recipients": self.at(name, "recipients"),
            "found": f"{self.at(name, 'recipients')}?state=failed&search=k",
            "recipient": self.at(name, "recipients", 1),
            "problem": f"{self.url}/there-is-no-such-page",
        }
        return kinds | {action: self.at(name, action) for action in actions}
