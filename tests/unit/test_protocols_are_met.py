"""Classes that stand for a public protocol do so for every type checker, pyright among them.

Pyright compares the names of parameters, and takes a method that gives back some coroutine for less than an
`async def`. Mypy does neither.
"""

from __future__ import annotations

import inspect

import pytest

import promomsg
from promomsg.channel import ChannelBase
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.postgres.handle import PostgresHandle
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.sqlite.handle import SqliteHandle

PAIRS: list[tuple[type, type]] = [
    (Journal, promomsg.MemoryJournal),
    (Journal, promomsg.SqliteJournal),
    (Journal, PostgresJournal),
    (Handle, SqliteHandle),
    (Handle, PostgresHandle),
    (promomsg.Channel, promomsg.WeChatPromoter),
    (promomsg.Channel, promomsg.AlipayMiniProgram),
    (promomsg.UserTokens, promomsg.TokenDatabase),
]


@pytest.mark.parametrize(("protocol", "made"), PAIRS, ids=lambda one: one.__name__)
def test_a_class_has_the_methods_of_its_protocol(protocol: type, made: type) -> None:
    methods = [
        name for name, _ in inspect.getmembers(protocol, inspect.isfunction) if name[0] != "_"
    ]
    assert methods
    for name in methods:
        asked, given = getattr(protocol, name), getattr(made, name)
        names = list(inspect.signature(asked).parameters)
        assert list(inspect.signature(given).parameters)[: len(names)] == names, name
        if inspect.iscoroutinefunction(asked):
            assert inspect.iscoroutinefunction(given), f"{name} gives back a coroutine"


def test_a_channel_says_its_name_without_an_annotation() -> None:
    # `name = "gateway"` in a class of one's own is for pyright no ClassVar, and so no part of a protocol
    # that asks for one.
    for made in (promomsg.Channel, ChannelBase):
        for name in ("name", "idempotent", "needs_tokens", "groups", "probes_by_reading"):
            assert "ClassVar" not in str(inspect.get_annotations(made)[name])
