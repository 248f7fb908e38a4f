"""`doubt`: a sender is killed with -9; how many of those in doubt had not been called?"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.child import Sample
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.suites.rounds import figures, rounds
from benchmarks.tasks.send_until_killed import GO

__all__ = ["run"]

RECIPIENTS = 100_000
DELAY = 0.03
PACE = 500
LATER = 1.0
"""Seconds from the first call (or connection, while handshakes last) to the look for the kill."""

_LONGEST_WAIT = 60.0


class _Kill(NamedTuple):
    title: str
    campaigns: int
    rate: int
    handshake: float = 0.0


KILLS = (
    _Kill("1 campaign, unpaced", 1, 0),
    _Kill(f"1 campaign, {PACE} a second", 1, PACE),
    _Kill("100 campaigns, unpaced", 100, 0),
    _Kill(f"100 campaigns, {PACE} a second", 100, PACE),
    _Kill("1 campaign, in its handshakes", 1, 0, 5.0),
    _Kill("100 campaigns, in their handshakes", 100, 0, 5.0),
)


def run(session: Session) -> Result:
    """Runs it.

    Of those whom the resumed campaigns leave in doubt, the calls that the server had and no journal
    had recorded are rightly so. The rest is what is counted: nobody called them.
    """

    def of(kill: _Kill) -> Callable[[], Sample]:
        return lambda: _killed(session, kill)

    taken = rounds(session, "doubt", {kill.title: of(kill) for kill in KILLS})
    result = Result("doubt")
    rows, worst = {}, []
    for name, samples in taken.items():
        rows[f"{name}: in doubt", "recipients"] = [s.figures["unknown"] for s in samples]
        rows[f"{name}: called, not recorded", "calls"] = [s.figures["called"] for s in samples]
        rows[f"{name}: connections", "connections"] = [s.figures["connections"] for s in samples]
        worst.append([_too_many(sample) for sample in samples])
    result.tables.append(figures("kill -9 of a sender, then resumed to the end", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    result.judge("doubt", [max(now) for now in zip(*worst, strict=True)])
    result.notes.append(
        "nothing is timed: the calls are counted at the server, the recipients in the journals"
    )
    return result


def _too_many(sample: Sample) -> float:
    """Who is in doubt though nobody called them, for each connection that there was."""
    seen = sample.figures
    return (seen["unknown"] - seen["called"]) / max(1.0, seen["connections"])


def _killed(session: Session, kill: _Kill) -> Sample:
    folder = session.new_folder()
    each = max(100, session.options.scaled(RECIPIENTS) // kill.campaigns)
    sizes = [each] * kill.campaigns
    seen = _kill_one(session, kill, sizes, folder)
    sample = session.measure("tasks.resume_folder", folder=folder)
    resumed = session.responder.ask("counts")["singles"]
    shutil.rmtree(folder)
    if sample.figures["other"]:
        raise RuntimeError(f"{sample.figures['other']:.0f} are neither sent nor in doubt")
    called = seen["singles"] + resumed - sample.figures["sent"]
    sample.figures |= {"called": called, "connections": seen["connections"]}
    return sample


def _kill_one(session: Session, kill: _Kill, sizes: list[int], folder: Path) -> dict[str, float]:
    """Kills a sender, and returns what the server had seen of it."""
    session.responder.ask("reset")  # plans ask for the quota, and are not kept waiting
    waits_for = "connections" if kill.handshake else "singles"
    job = session.job(folder, tls=bool(kill.handshake), sizes=sizes, rate=kill.rate)
    with session.begin("benchmarks.tasks.send_until_killed", job) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"planned\n":
                raise RuntimeError("the sender did not get to sending; see above")
            session.responder.ask("reset", delay=DELAY, handshake=kill.handshake)
            (folder / GO).touch()
            end = time.monotonic() + _LONGEST_WAIT
            while not session.responder.ask("counts")[waits_for] > 0:
                if time.monotonic() > end:
                    raise RuntimeError("the sender did not call within a minute")
                time.sleep(0.05)
            time.sleep(LATER)
            if not kill.handshake:
                _wait_for_calls(session, end)
        finally:
            process.kill()
    time.sleep(0.3)  # what it had written is read
    return session.responder.ask("counts")


def _wait_for_calls(session: Session, end: float) -> None:
    """Until calls are out: at a pace they go in bunches, and between two of them nobody is in doubt."""
    while not session.responder.ask("counts")["out"]:
        if time.monotonic() > end:
            raise RuntimeError("no call was out within a minute")
