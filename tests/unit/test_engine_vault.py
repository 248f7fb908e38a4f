"""User tokens wait encrypted, in a file without a name."""

from __future__ import annotations

import os

import pytest

from promomsg import Secret
from promomsg.engine.recipient_tokens import RecipientTokens


def test_each_recipient_has_their_own() -> None:
    with RecipientTokens() as vault:
        vault.put([(0, "a"), (1, "b"), (5, "ß" * 40), (6, "x" * 128)])
        vault.put([(2, "c" * 500)])
        vault.put([])
        assert [vault.get(n) for n in (0, 1, 2, 5, 6)] == [
            Secret("a"),
            Secret("b"),
            Secret("c" * 500),
            Secret("ß" * 40),
            Secret("x" * 128),
        ]
        assert [vault.get(n) for n in (3, 4, 7, 1000)] == [None] * 4


def test_the_file_has_neither_a_name_nor_the_token_in_it() -> None:
    vault = RecipientTokens()
    vault.put([(0, "user-token-0123456789")])
    number = vault._file.fileno()
    assert os.fstat(number).st_nlink == 0
    assert b"user-token" not in os.pread(number, 4096, 0)
    assert "user-token" not in repr(vault)
    vault.close()
    with pytest.raises(ValueError):
        vault.get(0)
