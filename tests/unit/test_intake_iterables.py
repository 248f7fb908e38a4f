"""Recipients from Python: what is taken, what fails its row, and what is refused by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from read_source import read

from promomsg.errors import UsageError
from promomsg.intake.arrow.frames import from_frame
from promomsg.intake.python.iterables import as_source, openids
from promomsg.intake.text.csvfile import read_csv
from promomsg.intake.text.jsonl import read_jsonl
from promomsg.model import Code, Everyone, Promoters, Recipient, Retailers, Roles, Secret

pytestmark = pytest.mark.asyncio


async def test_recipients_mappings_numbers_and_digits() -> None:
    rows = await read(
        [
            Recipient(key="a", openid="oA", params={"name": "王", "more": 1}),
            {"id": 102, "name": "李"},
            {"key": 7, "unionid": "uC", "params": {"name": "张"}, "name": "no"},
            104,
            " 105 ",
            np.int64(106),
            {"id": np.int64(107), "name": 3.5},
        ],
        "name",
    )
    assert [(r.key, r.id, r.openid, r.unionid, r.params["name"]) for r in rows] == [
        ("a", None, "oA", None, "王"),
        ("102", "102", None, None, "李"),
        ("7", None, None, "uC", "张"),
        ("104", "104", None, None, None),
        ("105", "105", None, None, None),
        ("106", "106", None, None, None),
        ("107", "107", None, None, 3.5),
    ]
    assert [r.where for r in rows[:2]] == ["item 1", "item 2"]
    assert not any(r.problem for r in rows)


async def test_async_iterables_and_iterators() -> None:
    async def stream() -> AsyncIterator[str]:
        for i in range(25):
            yield str(i)

    source = as_source(stream())
    assert not source.repeatable
    rows = await read(source, size=10)
    assert [r.id for r in rows] == [str(i) for i in range(25)]
    with pytest.raises(UsageError, match="used up"):
        await read(source)
    assert len(await read((str(i) for i in range(25)), size=10)) == 25
    listed = as_source(["1", "2"])
    assert listed.repeatable
    assert await read(listed) == await read(listed)
    assert listed.describe() == {"kind": "iterable"}
    assert list(openids(["oA"])) == ["oA"]
    with pytest.raises(UsageError, match="async for"):
        list(openids(stream()))


async def test_memory_is_one_batch_not_the_whole_iterator() -> None:
    taken = 0

    def many() -> Iterator[str]:
        nonlocal taken
        for i in range(100):
            taken += 1
            yield str(i)

    batches = as_source(many()).batches(frozenset(), 10)
    await anext(batches)
    assert taken == 10
    await batches.aclose()


@pytest.mark.parametrize(
    "value", [1.5, float("nan"), 1.2e17, "1.0", "1.2E+17", "nan", "12\x00", np.float64(3.5)]
)
async def test_ids_gone_wrong_fail_their_row(value: Any) -> None:
    rows = await read(["1", value, "3"])
    assert [r.problem.code if r.problem else None for r in rows] == [None, Code.BAD_ADDRESS, None]
    rows = await read([{"key": "k", "id": value}, {"key": value, "id": "1"}])
    assert rows[0].problem is not None
    assert rows[0].id is None
    assert rows[1].problem is None or value == "12\x00"


@pytest.mark.parametrize("value", [True, b"12", ["12"], Decimal("1.5"), object()])
async def test_wrong_types_in_a_mapping_fail_their_row(value: Any) -> None:
    rows = await read([{"key": "k", "openid": value}, {"id": "2"}])
    assert rows[0].problem is not None
    assert rows[0].problem.code == Code.BAD_ADDRESS
    assert rows[1].problem is None


async def test_half_characters_and_nested_values_fail_their_row() -> None:
    rows = await read(
        [
            {"id": "1", "name": "ok\ud800"},
            {"id": "2", "name": ["a"]},
            {"openid": "o\ud800", "name": "x"},
            {"key": "k\ud800", "id": "4", "name": "x"},
            {"key": True, "id": "5", "name": "x"},
            {"id": "6", "name": "客"},
        ],
        "name",
    )
    codes = [r.problem.code if r.problem else None for r in rows]
    assert codes == [*[Code.BAD_ROW] * 2, Code.BAD_ADDRESS, *[Code.BAD_ROW] * 2, None]
    for row in rows:  # a journal and a screen can take it
        row.key.encode()
        assert row.problem is None or row.problem.detail.encode()


async def test_nothing_at_all_fails_its_row() -> None:
    rows = await read(["1", None, " ", {}])
    assert [r.key for r in rows] == ["1", "row 2", "row 3", "row 4"]
    assert [r.problem.code if r.problem else None for r in rows] == [
        None, Code.BAD_ROW, Code.BAD_ROW, None,
    ]  # fmt: skip


@pytest.mark.parametrize("value", [True, b"1", ["1"], ("1",), object()])
async def test_an_item_that_is_no_recipient_fails_alone_or_is_named(value: Any) -> None:
    rows = await read(["1", value, "3"])
    assert [r.problem and r.problem.code for r in rows] == [None, Code.BAD_ROW, None]
    with pytest.raises(UsageError, match="item 1 is a "):
        await read([value, "1"])


@pytest.mark.parametrize("value", ["oABC", "１２３", "alice@example.com", "-5", "+861"])
async def test_a_string_that_is_no_id_names_openids(value: str) -> None:
    with pytest.raises(UsageError, match=r"item 2 .*promomsg\.openids\(\[\.\.\.\]\)") as caught:
        await read(["1", value])
    assert value not in str(caught.value)  # it may be anything, a token too


async def test_openids() -> None:
    rows = await read(openids(["oA", " oB ", "1.2E+17"]))
    assert [(r.openid, r.key) for r in rows] == [("oA", "oA"), ("oB", "oB"), (None, "1.2E+17")]
    with pytest.raises(UsageError, match=r"openids\(\): str"):
        openids("oA")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("people.csv", "read_csv"),
        (Path("people.csv"), "read_csv"),
        (b"1", "read_csv"),
        ({"id": "1"}, "in a list"),
        (Recipient(id="1"), "in a list"),
        (None, "give a list"),
        (pd.DataFrame({"id": ["1"]}), "from_frame"),
        (Everyone, "class itself"),
        (7, "iterable"),
    ],
)
async def test_what_is_no_list_names_the_right_call(value: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=hint) as caught:
        as_source(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("empty", [[], (), iter([])])
async def test_an_empty_list_says_so(empty: Any) -> None:
    with pytest.raises(UsageError, match="empty: nobody"):
        await read(empty)


@pytest.mark.parametrize(
    "audience", [Promoters(("1",)), Roles((1,)), Retailers(("x",)), Everyone(confirm=True)]
)
async def test_audiences_pass_through(audience: Any) -> None:
    assert as_source(audience) is audience


async def test_sources_pass_through_unread(tmp_path: Path) -> None:
    source = read_csv(tmp_path / "not-there-yet.csv")
    assert as_source(source) is source


@pytest.mark.parametrize("name", ["access_token", "id", "openid", "unionid", "request_id"])
async def test_an_address_is_no_parameter_of_any_source(name: str, tmp_path: Path) -> None:
    lines = tmp_path / "p.jsonl"
    lines.write_text('{"id": "1", "access_token": "SECRET"}\n' * 200)
    table = tmp_path / "p.csv"
    table.write_text("id,access_token\n1,SECRET\n")
    person = {"id": "1", "access_token": "SECRET", "params": {name: "SECRET"}}
    unchecked = [
        [{"id": "1", "access_token": "SECRET"}],
        [person],
        [Recipient(**person)],  # type: ignore[arg-type]
        read_jsonl(lines),
    ]
    frame = from_frame(pd.DataFrame({"id": ["1"], "access_token": ["SECRET"]}))
    for source in (*unchecked, frame, read_csv(table)):
        with pytest.raises(UsageError, match=r"\{key\} is the recipient's key"):
            await read(source, name)
    # Also where nobody looks first: its value is in no parameter, whatever the message says.
    for source in unchecked:
        rows = await read(source, name, check=False)
        assert "SECRET" not in str([r.params for r in rows])


async def test_tokens_hide(caplog: pytest.LogCaptureFixture) -> None:
    rows = await read(
        [
            Recipient(key="a", access_token="TOKEN-1", request_id="r1"),
            {"key": "b", "access_token": Secret("TOKEN-2")},
            {"key": "c", "access_token": "TOKEN\x003"},
            {"key": "d", "access_token": 5},
        ]
    )
    assert [r.token for r in rows] == ["TOKEN-1", "TOKEN-2", None, None]
    assert rows[0].request_id == "r1"
    assert [r.problem is None for r in rows] == [True, True, False, False]
    assert "TOKEN" not in repr(rows)
    assert "access_token" in str(rows[2].problem)
