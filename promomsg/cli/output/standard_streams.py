"""Standard output and error that cannot stop a campaign: no print raises, or waits for ever.

A reader leaves, a log's disk is full, a terminal hangs: what cannot be shown is dropped, noted in
`Outlet.lost`, and the campaign goes on (docs/design.md, "A lost display stops nothing"). Everything
that prints goes through `sys.stdout` and `sys.stderr`, rich and logging too, so the guarantee sits
underneath those two.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

__all__ = [
    "Outlet",
    "drain_streams",
    "guarded_streams",
    "in_background",
    "utf8_stdout",
    "write_error_of",
]

_PASSING: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""A full disk may have room again; after any other error nothing is written any more."""
_MOST_WAITING: Final = 256 * 1024
"""Bytes of progress that wait for a terminal that takes none; what comes then is dropped."""
_HUNG_AFTER: Final = 10.0
"""Seconds without a byte taken after which a terminal, or stderr, is taken for hung at the end."""
_HUNG_AFTER_INTERRUPT: Final = 0.5
"""The same once an interrupt has come."""
_CHECK_EVERY: Final = 0.005
_ERRORS: Final = "promomsg.plain"
_PLAIN: Final = {"─": "-", "·": "-", "–": "-", "…": "...", "→": "->", "✓": "ok", "×": "x"}


class Outlet(io.RawIOBase):
    """The bytes of one standard stream.

    Args:
        descriptor: where they go.
        lost: why nothing can be written from the start.
        most_waiting: bytes kept for a reader that takes none, in the background; None: all.

    Attributes:
        lost: the first error of a write; None while everything has arrived.
        dropped: writes that were given up since too many were waiting.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        lost: OSError | None = None,
        most_waiting: int | None = _MOST_WAITING,
    ) -> None:
        self._descriptor = descriptor
        self.lost = lost
        self.dropped = 0
        self._gone = lost is not None
        self._most = most_waiting
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._taken = 0
        self._changed = threading.Condition()
        self._background = 0
        self._writing = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        try:
            return not self._gone and os.isatty(self._descriptor)
        except OSError:
            return False

    def write(self, data: object) -> int:
        """Takes all of it, whatever becomes of it."""
        part = bytes(data)  # type: ignore[call-overload] # a buffer, as RawIOBase has it
        with self._changed:
            if self._gone:
                return len(part)
            if self._background or self._writing:
                if self._most is not None and self._size + len(part) > self._most:
                    self.dropped += 1
                    return len(part)
                self._waiting.append(part)
                self._size += len(part)
                if not self._writing:
                    self._writing = True
                    # A daemon: a write that hangs must not keep the process.
                    threading.Thread(target=self._write_waiting, daemon=True).start()
                return len(part)
        self._put(part)
        return len(part)

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes that wait, and bytes that were taken so far (in the background)."""
        return self._size, self._taken

    @property
    def hung_after(self) -> float | None:
        """Seconds to wait for a reader that takes nothing, at the end; None: for ever.

        A program that reads our standard output through a pipe gets all of it, however slow.
        """
        return None if self._most is None and not self.isatty() else _HUNG_AFTER

    def background(self, more: int) -> None:
        """From 1 on, writes are handed to a thread: the caller never waits."""
        with self._changed:
            self._background += more

    def abandon(self) -> None:
        """Gives up: what waits is dropped, and nothing more is written."""
        with self._changed:
            self._gone = True
            self.lost = self.lost or OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            self._waiting.clear()
            self._size = 0

    def _write_waiting(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._writing = False
                    return
                part = self._waiting.popleft()
            self._put(part)
            with self._changed:
                self._size = max(self._size - len(part), 0)
                self._taken += len(part)

    def _put(self, part: bytes) -> None:
        rest = memoryview(part)
        while rest and not self._gone:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Another program has made the shared terminal or pipe non-blocking.
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.lost = self.lost or error
                self._gone = error.errno not in _PASSING
                return


def _as_plain(error: UnicodeError) -> tuple[str, int]:
    """What a terminal's encoding does not have: plain signs for typography, `\\u5ba2` for text."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = (_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text)
    return "".join(plain), error.end


codecs.register_error(_ERRORS, _as_plain)


def _outlet(stream: object) -> Outlet | None:
    found = getattr(getattr(stream, "buffer", None), "raw", None)
    return found if isinstance(found, Outlet) else None


def write_error_of(stream: object) -> OSError | None:
    """Why a guarded stream could not show everything; None when it did, or is not guarded."""
    outlet = _outlet(stream)
    return None if outlet is None else outlet.lost


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Puts an `Outlet` under standard output and error, for as long as the block runs.

    Streams that were replaced before (a test's, a notebook's) stay; their encoding's gaps are
    filled. A closed standard input reads as an empty one.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    null = None
    if sys.stdin is None:
        null = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - closed below
        sys.stdin = null
    sys.stdout = _guarded(sys.stdout, 1, most_waiting=None)
    sys.stderr = _guarded(sys.stderr, 2, most_waiting=_MOST_WAITING)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if _outlet(stream) is not None:
                stream.flush()
        sys.stdin, sys.stdout, sys.stderr = before
        if null is not None:
            null.close()


def _guarded(stream: TextIO | None, descriptor: int, *, most_waiting: int | None) -> TextIO:
    lost: OSError | None = None
    encoding = "utf-8"
    if stream is None:
        lost = OSError(errno.EBADF, "it is closed")
    elif not isinstance(stream, io.TextIOWrapper):
        return stream
    else:
        raw = getattr(stream.buffer, "raw", stream.buffer)
        if not isinstance(raw, io.FileIO) or raw.closed or raw.fileno() != descriptor:
            stream.reconfigure(errors=_ERRORS)
            return stream
        encoding = stream.encoding
    outlet = Outlet(descriptor, lost=lost, most_waiting=most_waiting)
    return io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=encoding,
        errors=_ERRORS,
        line_buffering=descriptor == 2 or outlet.isatty(),
    )


def utf8_stdout() -> TextIO:
    """Standard output for what programs read: UTF-8, whatever the locale says."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        # A lone surrogate becomes its own JSON escape.
        out.reconfigure(encoding="utf-8", errors="backslashreplace")
    return out


def _outlets() -> list[Outlet]:
    return [found for s in (sys.stdout, sys.stderr) if (found := _outlet(s)) is not None]


@contextmanager
def in_background() -> Iterator[None]:
    """What is printed in the block is written by threads: a hung terminal holds nothing up."""
    outlets = _outlets()
    for outlet in outlets:
        outlet.background(1)
    try:
        yield
    finally:
        for outlet in outlets:
            outlet.background(-1)


async def drain_streams(
    *, unless: Callable[[], bool] = lambda: False, now: Callable[[], float] = time.monotonic
) -> None:
    """Waits until everything printed so far is out, and gives up on a terminal that hangs.

    Args:
        unless: whether to give up very soon.
        now: monotonic seconds.
    """
    import anyio

    for stream in (sys.stdout, sys.stderr):
        outlet = _outlet(stream)
        if outlet is None:
            continue
        stream.flush()
        seen, since = outlet.progress, now()
        while outlet.progress[0]:
            if outlet.progress != seen:
                seen, since = outlet.progress, now()
            hung_after = _HUNG_AFTER_INTERRUPT if unless() else outlet.hung_after
            if hung_after is not None and now() - since > hung_after:
                outlet.abandon()
                break
            await anyio.sleep(_CHECK_EVERY)
