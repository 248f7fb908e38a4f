"""What every test of the pages has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from log_as_before import log_as_before


@pytest.fixture(autouse=True)
def _usual_log() -> Iterator[None]:
    """Reading the options of a page's command line puts its `--log-json` into effect."""
    with log_as_before():
        yield
