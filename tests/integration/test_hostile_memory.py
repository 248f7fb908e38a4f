"""Bombs, 100 MB bodies and streams without end: a sender's memory stays where it is.

Measured in a child, where nothing of the sandbox or of pytest counts.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from chaos.child_campaign import Job
from chaos.fork_server import ForkServer

from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

pytestmark = pytest.mark.asyncio

_MIB = 1024


async def _peak(
    kind: str, count: int, tmp_path: Path, *faults: Fault
) -> tuple[int, dict[str, int]]:
    """The child's peak in KiB, and its report."""
    settings = SandboxSettings(
        poll_steps=(100,), failure_threshold=0, refuse_group={"1000003": 43101}
    )
    async with (
        Sandbox(faults=FaultPlan(faults), settings=settings) as box,
        ForkServer() as fork_server,
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        job = Job(
            kind=kind,
            url=box.url,
            journal=str(folder / "a.db"),
            count=count,
            log=str(folder / "log"),
            result=str(folder / "result"),
        )
        ending = await fork_server.run(job)
        assert ending.status == 0, Path(job.log).read_text()
        assert box.ledger.faults.total() >= len(faults)
    report = msgspec.json.decode(Path(job.result).read_bytes())
    return report["peak_kib"], report


async def test_answers_of_any_size_do_not_fill_the_memory(tmp_path: Path) -> None:
    plain, report = await _peak("singles", 40, tmp_path)
    assert report["sent"] == 40
    single = "singlesendmsg"
    peak, report = await _peak(
        "singles",
        40,
        tmp_path,
        Fault(endpoint=single, kind="garbage", gzip_megabytes=300, calls=[3]),
        Fault(endpoint=single, kind="huge", megabytes=100, calls=[6]),
        Fault(endpoint=single, kind="endless", calls=[9]),
        Fault(endpoint="stable_token", kind="huge", megabytes=100, calls=[1]),
    )
    assert (report["sent"], report["unknown"]) == (37, 3)
    assert peak - plain < 30 * _MIB


async def test_polls_and_failure_files_of_any_size_do_not_fill_the_memory(tmp_path: Path) -> None:
    plain, report = await _peak("groups", 60, tmp_path)
    assert (report["sent"], report["failed"]) == (59, 1)
    peak, report = await _peak(
        "groups",
        60,
        tmp_path,
        Fault(endpoint="getmsg", kind="garbage", gzip_megabytes=300, calls=[1]),
        Fault(endpoint="getmsg", kind="huge", megabytes=100, calls=[2]),
        Fault(endpoint="failure_file", kind="garbage", gzip_megabytes=300, calls=[1]),
        Fault(endpoint="failure_file", kind="huge", megabytes=100, calls=[2]),
    )
    assert (report["sent"], report["failed"]) == (59, 1)
    # A poll may take 32 MiB and a failure file 64, each once more while it is put together.
    assert peak - plain < 160 * _MIB
