"""User tokens wait encrypted, in a file without a name."""

from __future__ import annotations

import os

import pytest

from promomsg import Secret
from promomsg.engine.recipient_tokens import EncryptedTokens

pytestmark = pytest.mark.asyncio


async def test_each_recipient_has_their_own() -> None:
    with EncryptedTokens() as tokens:
        await tokens.put([(0, "a"), (1, "b"), (5, "ß" * 40), (6, "x" * 128)])
        await tokens.put([(2, "c" * 500)])
        await tokens.put([])
        assert await tokens.get_many([0, 1, 2, 5, 6]) == [
            Secret("a"),
            Secret("b"),
            Secret("c" * 500),
            Secret("ß" * 40),
            Secret("x" * 128),
        ]
        assert await tokens.get_many([3, 4, 7, 1000]) == [None] * 4
        # Whatever the order: a list is sent in it, but who is tried again is not.
        assert await tokens.get_many([6, 7, 0, 1, 2, 3, 1, 0, 0]) == [
            Secret("x" * 128),
            None,
            Secret("a"),
            Secret("b"),
            Secret("c" * 500),
            None,
            Secret("b"),
            Secret("a"),
            Secret("a"),
        ]
        assert await tokens.get_many([]) == []


async def test_the_file_has_neither_a_name_nor_the_token_in_it() -> None:
    tokens = EncryptedTokens()
    await tokens.put([(0, "user-token-0123456789")])
    number = tokens._file.fileno()
    assert os.fstat(number).st_nlink == 0
    assert b"user-token" not in os.pread(number, 4096, 0)
    assert "user-token" not in repr(tokens)
    tokens.close()
    with pytest.raises(ValueError):
        await tokens.get_many([0])
