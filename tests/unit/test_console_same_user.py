"""Which user a connection over loopback is from, by the kernel's table."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from promomsg.console.same_user import can_be_asked, is_same_user, socket_owner

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the samples are little-endian")

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = HEAD + (
    "   0: 0100007F:223D 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41 1 0\n"
    "   1: 0100007F:D431 0100007F:223D 01 00000000:00000000 00:00000000 00000000  1001        0 42 1 0\n"
    "   2: 0100007F:223D 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 43 1 0\n"
    "   3: 0100007F:D432 0100007F:223D 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0\n"
    "   4: 0100007F:D433 0100007F:223D 01 00000000:00000000 00:00000000 00000000     0        0 44 1 0\n"
)  # fmt: skip
TCP6 = HEAD + (
    "   0: 00000000000000000000000001000000:D434 00000000000000000000000001000000:223D 01 "
    "00000000:00000000 00:00000000 00000000  1002        0 45 1 0\n"
    "   1: 0000000000000000FFFF00000100007F:D435 0000000000000000FFFF00000100007F:223D 01 "
    "00000000:00000000 00:00000000 00000000  1000        0 46 1 0\n"
)
OURS = ("127.0.0.1", 0x223D)


def owner(port: int, table: str = TCP, host: str = "127.0.0.1") -> int | None:
    return socket_owner(table, (host, port), (host, 0x223D))


def same(port: int, host: str = "127.0.0.1", user: int = 1000) -> bool:
    return is_same_user((host, port), (host, 0x223D), tables=lambda: (TCP, TCP6), user=user)


def test_the_end_of_the_visitor_is_looked_for_and_not_our_own() -> None:
    assert owner(0xD431) == 1001
    assert not same(0xD431)
    assert same(0xD431, user=1001)


def test_a_socket_that_no_process_has_any_more_is_not_roots() -> None:
    """The kernel says user 0 of a connection whose process has closed it already."""
    assert owner(0xD432) is None
    assert not same(0xD432)
    assert same(0xD433)  # root itself may


def test_a_connection_that_is_not_in_the_table_is_from_nobody() -> None:
    assert owner(0xBEEF) is None
    assert not same(0xBEEF)
    assert not is_same_user(("127.0.0.1", 1), OURS, tables=lambda: ("", "nonsense\n"), user=1000)


def test_ipv6_and_ipv4_in_a_socket_for_both() -> None:
    assert owner(0xD434, TCP6, "::1") == 1002
    assert not same(0xD434, "::1")
    assert same(0xD435)
    assert same(0xD435, "::ffff:127.0.0.1")


@pytest.mark.skipif(not can_be_asked(), reason="this system has no /proc/net/tcp")
def test_a_real_connection_of_ours_is_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = server.getsockname()
        with socket.create_connection(ours) as client:
            theirs = client.getsockname()
            assert is_same_user(theirs, ours)
            if os.geteuid() != 0:
                assert not is_same_user(theirs, ours, user=os.geteuid() + 1)
        assert not is_same_user(theirs, ours, user=os.geteuid() + 1)
