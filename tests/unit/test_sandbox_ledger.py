"""The ledger counts every delivery, on disk too, and survives a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from promomsg.errors import UsageError
from promomsg.sandbox import GroupDelivery, Ledger, read_ledger
from promomsg.sandbox.movable_clock import SandboxClock
from promomsg.sandbox.wechat_requests import fits_kind


def single(ledger: Ledger, to: str, content: str = "{}") -> None:
    ledger.single(to, field="id", msg_type=1, content=content, path="p", at=1.0)


def filled(path: Path | None) -> Ledger:
    ledger = Ledger(path)
    single(ledger, "1", "first")
    single(ledger, "1", "second")
    single(ledger, "2")
    ledger.add_group(
        GroupDelivery(
            msg_id="m1",
            list_type=3,
            audience=("2", "3", "4"),
            delivered=("2", "3"),
            failed={"4": 103010},
            at=2.0,
        )
    )
    ledger.request("r1", "u1", content="[]", customer="c1", at=3.0)
    ledger.fault("truncate", endpoint="sendmsg", call=4)
    ledger.close()
    return ledger


def test_memory_and_file_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    written = filled(path)
    for ledger in (written, read_ledger(path), filled(None), Ledger(path)):
        assert ledger.delivered == {"1": 2, "2": 2, "3": 1, "u1": 1}
        assert ledger.twice() == ["1", "2"]
        assert (ledger.deliveries("4"), ledger.total, ledger.singles) == (0, 6, 4)
        assert ledger.groups == written.groups
        assert ledger.group("m1") == written.groups[0]
        assert ledger.group("m2") is None
        assert ledger.requests == {"r1": "u1"}
        assert ledger.faults == {"truncate": 1}
        assert ledger.messages["1"] == "second"
        ledger.close()


def test_a_line_torn_off_by_a_kill_is_left_out_and_the_file_is_gone_on_with(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.jsonl"
    filled(path)
    with path.open("ab") as file:
        file.write(b'{"what":"single","to":"9","con')
    assert read_ledger(path).deliveries("9") == 0
    again = Ledger(path)
    single(again, "5")
    again.close()
    assert read_ledger(path).deliveries("5") == 1
    assert read_ledger(path).deliveries("1") == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"key,id\n1,2\n", "not a ledger"),
        (b'{"what":"else"}\n', "line 1: not a ledger line"),
        (b"[]\n", "line 1: not a ledger line"),
        (b'{"what":"group"}\n', "line 1: not a ledger line"),
    ],
)
def test_a_file_that_is_no_ledger_is_not_written_to(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "promoters.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        Ledger(path)
    assert path.read_bytes() == content


def test_a_ledger_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_ledger(tmp_path / "nosuch")
    with pytest.raises(UsageError, match="cannot be written"):
        Ledger(tmp_path / "no" / "such" / "folder")


def test_the_clock_moves_forward_only_and_days_are_chinas() -> None:
    clock = SandboxClock()
    before = clock.time()
    clock.advance(1000)
    assert clock.time() - before >= 1000
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
    assert clock.china_day(1691078399) == "2023-08-03"
    assert clock.china_day(1691078400) == "2023-08-04"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("first", ["九个字九个字九个字", "a\nb"], ["十个字十个字十个字十", "a\n\nb", ""]),
        ("thing", ["二" * 20, "😀" * 20], ["二" * 21, ""]),
        (
            "time",
            ["2022/10/28", "09:30", "2019年10月1日 15:01", "2022-10-28 09:00~18:00", "9:00~18:00"],
            ["25:00", "today", "09:00~", "9:00-18:00"],
        ),
        (
            "amount",
            ["¥100", "$99.5元", "1234567890", "100.5元"],
            ["¥12345678901", "一百", "¥¥1", ""],
        ),
        ("number", ["1", "3.5", "1" * 32], ["1" * 33, "x", "1.", ""]),
        ("any", ["x" * 100, ""], []),
    ],
)
def test_template_kinds(kind: str, good: list[str], bad: list[str]) -> None:
    assert [value for value in good if not fits_kind(kind, value)] == []
    assert [value for value in bad if fits_kind(kind, value)] == []
