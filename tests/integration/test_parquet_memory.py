"""A long list in a Parquet file takes little memory while it is planned, however it was written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

if not Path("/proc/self/status").exists():  # pragma: no cover
    pytest.skip("reads the peak from /proc", allow_module_level=True)

_ROWS = 300_000
_MOST = 30
"""MB over what the imports take. Planning a CSV file of a million rows takes about 16 of them, and
pages of two columns with their dictionaries about 8. A row group held as a whole, or an allocator
that keeps what was freed, takes 30 to 60 more."""

_PLAN = """
import asyncio, re, sys
import promomsg

def peak():  # not ru_maxrss, which a child may have of its parent
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024 / 1e6

async def plan():
    people = promomsg.read_parquet(sys.argv[1])
    promomsg.Campaign
    before = peak()
    slow = promomsg.Pace(singles_per_minute=1, groups_per_minute=1)
    base_url = "http://127.0.0.1:9"  # nothing is sent
    async with promomsg.WeChatPromoter("wx0123", "s", pace=slow, base_url=base_url) as wechat:
        message = promomsg.WeChatMessage(
            msg_type=1,
            content={"title": "t", "topic": "t", "desc": "{name}", "date": "2022/10/28"},
            path="pages/index/index",
        )
        campaign = promomsg.Campaign(wechat, message, people, route="single", journal=sys.argv[2])
        planned = await campaign.plan()
        print(planned.rows, peak() - before)
        await campaign.discard()

asyncio.run(plan())
"""


@pytest.mark.parametrize("group", [_ROWS, _ROWS // 8], ids=["one-row-group", "eight"])
def test_planning_from_parquet_holds_a_few_pages_and_no_row_group(
    tmp_path: Path, group: int
) -> None:
    people = pyarrow.table(
        {
            "id": [str(100_000 + i) for i in range(_ROWS)],
            "name": [f"顾客{i}" for i in range(_ROWS)],
        }
    )
    parquet.write_table(people, tmp_path / "people.parquet", row_group_size=group)
    child = subprocess.run(
        [sys.executable, "-c", _PLAN, str(tmp_path / "people.parquet"), str(tmp_path / "c.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    planned, grown = child.stdout.split()
    assert int(planned) == _ROWS
    assert float(grown) < _MOST
