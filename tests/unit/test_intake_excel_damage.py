"""Workbooks that are damaged, hostile or changing: one clear line, and nobody is sent to."""

from __future__ import annotations

import asyncio
import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from excel_files import line, made, sheet_xml, workbook
from read_source import read

from promomsg.errors import UsageError
from promomsg.intake.excel.excelfile import read_excel
from promomsg.intake.excel.workbook import Workbook
from promomsg.intake.tables import end_if_cancelled

pytestmark = pytest.mark.asyncio


def torn(data: bytes, part: str) -> bytes:
    """The same zip with some bytes of one part flipped."""
    info = zipfile.ZipFile(io.BytesIO(data)).getinfo(part)
    at = info.header_offset + 30 + len(part) + info.compress_size // 2
    return data[:at] + bytes(b ^ 0x55 for b in data[at : at + 8]) + data[at + 8 :]


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/_rels/workbook.xml.rels"]
)
async def test_a_damaged_part_is_one_clear_line(tmp_path: Path, part: str) -> None:
    path = made(tmp_path / "p.xlsx", ["id"], *([i] for i in range(500)))
    path.write_bytes(torn(path.read_bytes(), part))
    with pytest.raises(UsageError, match="is damaged") as caught:
        await read(read_excel(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


GOOD = line(1, "id") + line(2, "5")


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ("<row><c t='s'><v>7</v></c></row>", "no shared text 7"),
        ("<row r='x'/>", "cannot be read"),
        ("<row><c r='5'/></row>", "is no cell"),
        ("<row><c r='ZZZZ5'/></row>", "16,384 columns"),
        ("<row r='9999999'/>", "1,048,576 rows"),
        (line(2, "x" * 40_000), "32,767 characters"),
        ("<row><c r='A1' t='b'><v>1</v></c><c r='A1' t='b'><v>1</v></c></row>", "twice"),
        ("<row>", "mismatched tag"),
        ("<row>" + "<x>" * 70, "nested deeper"),
        ("<row a='" + "x" * (2 << 20) + "'/>", "holds a mark longer"),
        ("<row><c t='inlineStr'><is><t>" + "x" * 300_000, "32,767 characters"),
    ],
)
async def test_what_no_sheet_has_is_refused(tmp_path: Path, rows: str, match: str) -> None:
    path = workbook(tmp_path / "p.xlsx", sheet_xml(GOOD + rows))
    with pytest.raises(UsageError, match=match) as caught:
        await read(read_excel(path))
    assert "'One'" in str(caught.value)


async def test_entities_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]>' + sheet_xml(GOOD)
    with pytest.raises(UsageError, match="declares entities"):
        await read(read_excel(workbook(tmp_path / "p.xlsx", bomb)))


async def test_a_sheet_cut_short_sends_to_nobody(tmp_path: Path) -> None:
    whole = sheet_xml(GOOD + "".join(line(i, str(i)) for i in range(3, 3000)))
    path = workbook(tmp_path / "p.xlsx", whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="is damaged"):
        await read(read_excel(path))


@pytest.mark.parametrize(
    ("part", "match"),
    [
        ("content.xml", "OpenDocument"),
        ("xl/workbook.bin", "binary workbook"),
        ("word/document.xml", "Word"),
        ("people.csv", "zip archive"),
    ],
)
async def test_other_zips_are_named(tmp_path: Path, part: str, match: str) -> None:
    path = tmp_path / "p.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(part, "id\n1\n")
    with pytest.raises(UsageError, match=match):
        await read(read_excel(path))


async def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = workbook(tmp_path / "p.xlsx", sheet_xml(GOOD), parts={"xl/media/a": bytes(70 << 20)})
    with pytest.raises(UsageError, match="unpacks to 70 MiB"):
        await read(read_excel(path))


async def test_a_list_that_is_written_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "p.xlsx", ["id"], *([i] for i in range(3000)))
    source = read_excel(path)
    source.check(frozenset())
    batches = source.batches(frozenset(), 100)
    await anext(batches)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UsageError, match=r"grew from .* bytes while it was read"):
        async for _ in batches:
            pass


class Slow:
    """Stands in for a sheet that takes long to parse."""

    def __init__(self, started: threading.Event) -> None:
        self._started = started
        self.ended = threading.Event()

    def rows(self, sheet: Any) -> Iterator[list[Any]]:
        self._started.set()
        try:
            while True:
                end_if_cancelled()
                yield []
        finally:
            self.ended.set()


async def test_a_workbook_is_parsed_beside_the_event_loop_and_can_be_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "p.xlsx", ["id"], [1])
    source = read_excel(path)
    source.check(frozenset())
    slow = Slow(threading.Event())
    own = Workbook.rows
    calls: list[int] = []

    def rows(self: Workbook, sheet: Any) -> Iterator[list[Any]]:
        calls.append(1)
        return own(self, sheet) if len(calls) == 1 else slow.rows(sheet)

    monkeypatch.setattr(Workbook, "rows", rows)
    threads: list[str] = []
    heard = 0

    async def hear() -> None:
        nonlocal heard
        while not slow.ended.is_set():
            heard += 1
            await asyncio.sleep(0)

    listener = asyncio.create_task(hear())
    with anyio.move_on_after(5) as scope:
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await anyio.to_thread.run_sync(slow._started.wait)
                threads.append(threading.current_thread().name)
                group.cancel_scope.cancel()

            group.start_soon(stop)
            async for _ in source.batches(frozenset()):
                raise AssertionError("nothing ends the sheet")
    assert not scope.cancelled_caught
    await listener
    assert slow.ended.is_set()
    assert heard > 1


@pytest.mark.parametrize(
    ("strings", "match"),
    [
        ("<sst><si><t>" + "x" * 300_000 + "</t></si></sst>", "32,767 characters"),
        ("<sst>" + "<si>" * 100, "nested deeper"),
        ("<sst><si><t>x", "shared texts cannot be read|sharedstrings.xml cannot be read"),
    ],
)
async def test_shared_texts_over_a_limit_or_torn(tmp_path: Path, strings: str, match: str) -> None:
    rows = GOOD + "<row><c t='s'><v>0</v></c></row>"
    path = workbook(tmp_path / "p.xlsx", sheet_xml(rows), strings=strings)
    with pytest.raises(UsageError, match=match):
        await read(read_excel(path))
