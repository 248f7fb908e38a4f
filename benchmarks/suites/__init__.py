"""The suites, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.suites import (
    campaigns,
    doubt,
    fanout,
    fleet,
    group,
    latency,
    pace,
    paced,
    plan,
    resume,
    sizes,
    startup,
    wallet,
)

__all__ = ["SUITES"]

SUITES: Final[dict[str, Callable[[Session], Result]]] = {
    "fanout": fanout.run,
    "group": group.run,
    "plan": plan.run,
    "resume": resume.run,
    "pace": pace.run,
    "memory": sizes.memory,
    "grow": sizes.grow,
    "startup": startup.run,
    "latency": latency.run,
    "paced": paced.run,
    "wallet": wallet.run,
    "campaigns": campaigns.run,
    "doubt": doubt.run,
    "fleet": fleet.run,
}
