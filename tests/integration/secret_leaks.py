"""Looks for secrets wherever a program may show something: logs, tracebacks, files, reprs."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

__all__ = ["Leaks", "chain"]

_TESTS = str(Path(__file__).resolve().parents[1])


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and everything it hangs on to, shown or suppressed."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [e for e in (one.__cause__, one.__context__) if e is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def _frames(trace: TracebackType | None) -> Iterator[str]:
    """The locals of each frame that is not this test's own, nor the stand-in provider's."""
    while trace is not None:
        frame = trace.tb_frame
        name = frame.f_code.co_filename
        if not name.startswith(_TESTS) and "/promomsg/sandbox/" not in name:
            for key, value in frame.f_locals.items():
                try:
                    yield f"{name}:{trace.tb_lineno} {key} = {value!r}"
                except Exception as error:  # noqa: BLE001 - as a traceback's formatter does
                    yield f"{name} {key}: {error}"
        trace = trace.tb_next


class Leaks(logging.Handler):
    """Collects; `found` says where a secret was seen.

    Args:
        secrets: by name; asked for as they stand, percent-encoded, and in base64.
    """

    def __init__(self, **secrets: str) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self.looked_at = 0
        self._forms: dict[str, str] = {}
        for name, secret in secrets.items():
            self.know(name, secret)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def know(self, name: str, secret: str) -> None:
        """One more secret."""
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
            self._forms[form] = name

    def emit(self, record: logging.LogRecord) -> None:
        self.text("log", self.format(record))
        self.text("log arguments", repr(record.args))
        if record.exc_info is not None and record.exc_info[1] is not None:
            self.error("log", record.exc_info[1])

    def text(self, where: str, text: str) -> None:
        """Anything that is shown."""
        self.looked_at += 1
        for form, name in self._forms.items():
            at = text.find(form)
            if at >= 0:
                self.found.append(f"{name} in {where}: …{text[max(0, at - 160) : at]}<HERE>")

    def error(self, where: str, error: BaseException) -> None:
        """An exception: its text, its attributes, its chain, and every frame's locals."""
        for one in chain(error):
            kind = f"{where}, {type(one).__name__}"
            self.text(kind, f"{one} {one!r} {one.args!r} {vars(one)!r}")
            self.text(kind, repr(getattr(one, "__notes__", "")))
            for shown in _frames(one.__traceback__):
                self.text(f"{kind}, locals", shown)
        # What a crash reporter prints; frames of the tests themselves hold the secrets by right.
        lines = traceback.TracebackException.from_exception(error).format()
        self.text(f"{where}, traceback", "".join(lines))

    def files(self, folder: Path) -> None:
        """Every byte of every file."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.text(path.name, path.read_bytes().decode("latin-1"))

    def shown(self, where: str, things: Iterable[object]) -> None:
        """The repr and the str of objects."""
        for thing in things:
            self.text(f"{where} {type(thing).__name__}", f"{thing!r} {thing}")
