"""The log of promomsg as it was: what a command's `-v` and `--log-json` change is for one process, and a test
run has many commands in one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def log_as_before() -> Iterator[None]:
    """A block after which the log's level and handlers are what they were."""
    log = logging.getLogger("promomsg")
    before = log.level, log.handlers[:], log.propagate
    try:
        yield
    finally:
        log.setLevel(before[0])
        log.handlers[:], log.propagate = before[1], before[2]
