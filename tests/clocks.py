"""The clock of `promomsg.testing`, under the name that this project's own tests know it by."""

from __future__ import annotations

from promomsg.testing.fake_clock import FakeClock

__all__ = ["FakeClock"]
