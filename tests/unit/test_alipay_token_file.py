"""The SQLite store of user tokens: durable, private, shared, and silent about what it holds."""

from __future__ import annotations

import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from promomsg.alipay.models import UserToken, UserTokens
from promomsg.channels.alipay_token_file import TokenDatabase
from promomsg.errors import JournalError
from promomsg.model import Secret

pytestmark = pytest.mark.asyncio

TOKEN = UserToken(
    Secret("access-1"),
    datetime(2026, 12, 24, tzinfo=UTC),
    Secret("refresh-1"),
    datetime(2027, 1, 1, tzinfo=UTC),
    "C1",
)


async def test_what_was_saved_is_there_for_another_process(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"
    async with TokenDatabase(path) as first:
        store: UserTokens = first
        assert await store.get("u1") is None
        await store.save("u1", TOKEN)
        await store.save("小明", UserToken(Secret("only")))
        async with TokenDatabase(str(path)) as second:
            assert await second.get("u1") == TOKEN
            assert await second.get("小明") == UserToken(Secret("only"))
            await second.save("u1", UserToken(Secret("access-2")))
        assert await first.get("u1") == UserToken(Secret("access-2"))


async def test_it_opens_nothing_before_its_first_call_and_again_after_close(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"
    store = TokenDatabase(path)
    await store.close()
    assert not path.exists()
    await store.save("u1", TOKEN)
    await store.close()
    assert await store.get("u1") == TOKEN
    await store.close()
    assert list(tmp_path.iterdir()) == [path]


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"
    async with TokenDatabase(path) as store:
        await store.save("u1", TOKEN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    async with TokenDatabase(path) as store:
        assert await store.get("u1") == TOKEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_many_tasks_share_it(tmp_path: Path) -> None:
    async with TokenDatabase(tmp_path / "tokens.db") as store, anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(store.save, f"u{number}", TOKEN)
    async with TokenDatabase(tmp_path / "tokens.db") as store:
        assert all([await store.get(f"u{number}") for number in range(20)])


@pytest.mark.parametrize("what", ["directory", "text", "other version", "other database"])
async def test_what_is_no_token_file_is_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "tokens.db"
    if what == "directory":
        path.mkdir()
    elif what == "text":
        path.write_bytes(b"key,access_token\n" * 100)
    else:
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 9" if "version" in what else "CREATE TABLE mine (x)")
        db.commit()
        db.close()
    before = path.read_bytes() if path.is_file() else b""
    async with TokenDatabase(path) as store:
        with pytest.raises(JournalError, match=r"tokens\.db: cannot write user tokens") as caught:
            await store.save("u1", TOKEN)
    assert "access-1" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not path.is_file() or path.read_bytes() == before


async def test_it_prints_its_path_only(tmp_path: Path) -> None:
    store = TokenDatabase(tmp_path / "tokens.db")
    await store.save("u1", TOKEN)
    assert "access-1" not in repr(store)
    await store.close()
