"""One measured process: imports, warms up, then reads the clocks around one run.

`python -m benchmarks.child MODULE JOB` prints one JSON line: CPU and wall seconds of the run and of
its parts, the peak memory, and what the contender itself has to say.
"""

from __future__ import annotations

import gc
import importlib
import sys
import tempfile

import msgspec

from benchmarks.job import Job
from benchmarks.machine import Reading, call, new_runner, peak_mb, pin, read_clocks

__all__ = ["Laps", "Sample"]

Laps = dict[str, Reading | float]
"""What a contender returns: readings of parts of its run, and figures of its own."""


class Sample(msgspec.Struct):
    """One run, measured. `parts["all"]` is the whole of it; `figures` are the contender's figures."""

    parts: dict[str, Reading]
    figures: dict[str, float]
    peak_mb: float


def main() -> None:
    """Runs the module's `run(job)`, a function or a coroutine function that returns `Laps`."""
    name, told = sys.argv[1:]
    job = msgspec.json.decode(told, type=Job)
    pin(job.core)
    module = importlib.import_module(name)
    with new_runner(job.loop) as runner:
        if job.warm_up:
            with tempfile.TemporaryDirectory(dir=job.folder) as folder:
                warm = msgspec.structs.replace(job, messages=job.warm_up, folder=folder)
                call(runner, module.run, warm)
        gc.collect()
        begin = read_clocks()
        laps = call(runner, module.run, job)
        parts = {"all": read_clocks().since(begin)}
    figures = {}
    for key, value in laps.items():
        if isinstance(value, Reading):
            parts[key] = value
        else:
            figures[key] = value
    print(msgspec.json.encode(Sample(parts, figures, peak_mb())).decode())


if __name__ == "__main__":
    main()
