"""The few threads that write all open journals of a process.

A thread for each journal would be the simplest, but hundreds of threads cost more than their work.
Up to eight journals have a thread each; a further one shares the thread that has the fewest.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

__all__ = ["WriterThread", "join"]

log = logging.getLogger("promomsg.journal")

_MOST: Final = 8


class WriterThread:
    """One of them; made by `join`."""

    def __init__(self) -> None:
        self.journals = 0
        """Changed under the lock of this module alone."""
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon: a process that ends without closing must not wait for it.
        threading.Thread(target=self._run, name="promomsg-journal", daemon=True).start()

    def call(self, work: Callable[[], None]) -> None:
        """Has `work` called in the thread, after everything that was queued before it."""
        self._queue.put(work)

    def leave(self) -> None:
        """A journal is closed; the thread of the last one ends."""
        with _lock:
            self.journals -= 1
            if self.journals:
                return
            if self in _threads:
                _threads.remove(self)
        self._queue.put(None)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - other journals are written here too
                log.error("writing a journal ended in %s", type(error).__name__)


_lock = threading.Lock()
_threads: list[WriterThread] = []


def join() -> WriterThread:
    """The thread for a journal that opens; it says `leave` when it is closed."""
    with _lock:
        if len(_threads) < _MOST:
            _threads.append(WriterThread())
        thread = min(_threads, key=lambda one: one.journals)
        thread.journals += 1
        return thread


def _forked() -> None:
    """In a child: the threads are the parent's."""
    global _lock
    _lock = threading.Lock()
    _threads.clear()


os.register_at_fork(after_in_child=_forked)
