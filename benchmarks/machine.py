"""The machine under the benchmark: cores to pin to, clocks to read, and facts to print."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Reading",
    "call",
    "cores",
    "disk_of",
    "facts",
    "installed",
    "new_runner",
    "peak_mb",
    "pin",
    "read_clocks",
]

_PACKAGES = (
    "aiohttp", "anyio", "aiolimiter", "httptools", "httpx", "msgspec", "numpy", "pyarrow", "requests",
    "uvloop", "wechatpy",
)  # fmt: skip


class Reading(NamedTuple):
    """CPU seconds (user and system, of all threads of this process) and wall seconds."""

    cpu: float
    wall: float

    def since(self, earlier: Reading) -> Reading:
        """What went by between the two."""
        return Reading(self.cpu - earlier.cpu, self.wall - earlier.wall)


def read_clocks() -> Reading:
    """The clocks now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Reading(used.ru_utime + used.ru_stime, time.perf_counter())


def peak_mb() -> float:
    """This process's peak resident memory in MB (10^6 bytes).

    Not `ru_maxrss` where it can be helped: Linux lets a child inherit its parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6


def cores() -> tuple[int | None, int | None]:
    """The core of the client and the core of the responder; None: not pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        return None, None
    return mine[-1], mine[0]


def pin(core: int | None) -> None:
    """Keeps this process on one core; every thread that it starts stays there too."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def installed(module: str) -> bool:
    """Whether a module could be imported; it is not."""
    return importlib.util.find_spec(module) is not None


def new_runner(loop: str) -> asyncio.Runner:
    """A runner for the `asyncio` or the `uvloop` event loop."""
    if loop == "uvloop":
        import uvloop

        return asyncio.Runner(loop_factory=uvloop.new_event_loop)
    return asyncio.Runner()


def call(runner: asyncio.Runner, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function, or runs a coroutine function in the runner's loop."""
    result = function(*args)
    if isinstance(result, Coroutine):
        return runner.run(result)
    return result


def disk_of(folder: Path) -> str:
    """The file system that a folder is on, as the system calls it; empty when unknown."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    best, kind = "", ""
    for line in mounts.read_text().splitlines():
        _, point, fstype, *_ = line.split()
        if len(point) >= len(best) and folder.resolve().is_relative_to(point):
            best, kind = point, fstype
    return kind


def facts(folder: Path) -> dict[str, Any]:
    """What a reader needs to judge the numbers by."""
    client, responder = cores()
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "client_core": client,
        "responder_core": responder,
        "disk": disk_of(folder),
        "load_before": os.getloadavg()[0],
        "packages": versions,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
