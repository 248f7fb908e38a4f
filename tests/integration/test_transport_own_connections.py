"""What a connection of the client's own does with answers that end, or go on, in odd ways."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from raw_server import RawServer, Reader, Writer, certificate, read_request, reply, serve, well

from promomsg.errors import NotSent, OutcomeUnknown
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio


async def answers(*given: bytes) -> tuple[list[Any], RawServer]:
    """What as many calls in turn come to; the server closes a connection behind a b"" alone."""
    turn = iter(given)

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            answer = next(turn)
            writer.write(answer.removesuffix(b"<EOF>"))
            if answer.endswith(b"<EOF>"):
                return

    got: list[Any] = []
    async with serve(script) as server, HttpSession(server.url, timeout=5.0) as session:
        for _ in given:
            try:
                got.append(await session.post(session.url("/"), b"{}"))
            except OutcomeUnknown as error:
                got.append(error)
    return got, server


async def test_a_body_that_ends_with_its_connection_is_whole() -> None:
    got, server = await answers(
        b"HTTP/1.1 200 OK\r\n\r\nfirst<EOF>", b"HTTP/1.0 200 OK\r\n\r\n<EOF>"
    )
    assert [answer.body for answer in got] == [b"first", b""]
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (reply(b"a", "200 OK", "Connection: close"), 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na", 1),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 1),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 2),
    ],
)
async def test_a_connection_is_used_again_only_where_the_answer_allows_it(
    answer: bytes, connections: int
) -> None:
    _, server = await answers(answer, reply(b"b"))
    assert server.connections == connections


@pytest.mark.parametrize("more", [reply(b"stray"), b"H", b"HTTP/1.1 200 OK\r\n\r\n", b"\0"])
async def test_what_comes_in_one_packet_with_the_answer_is_not_the_next_ones(more: bytes) -> None:
    got, server = await answers(reply(b"a") + more, reply(b"b"))
    # Bytes that are no answer at all make this one doubtful; the next call has its own either way.
    assert got[1].body == b"b"
    assert isinstance(got[0], OutcomeUnknown) or got[0].body == b"a"
    assert server.connections == 2


async def test_a_trailer_is_no_header_of_this_answer_or_the_next() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nRetry-After: 9\r\n\r\n"
    got, server = await answers(chunked, reply(b"b"))
    assert [answer.body for answer in got] == [b"a", b"b"]
    assert all("Retry-After" not in answer.headers for answer in got)
    assert server.connections == 1


async def test_an_interim_answers_headers_are_not_the_answers() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    got, _ = await answers(hints + hints + reply(b"a"))
    assert (got[0].body, "Link" in got[0].headers) == (b"a", False)


async def test_interim_answers_without_end_are_given_up() -> None:
    got, _ = await answers(
        b"HTTP/1.1 100 Continue\r\nX: %s\r\n\r\n" % (b"y" * 60_000) * 30 + b"<EOF>"
    )
    assert "not HTTP" in str(got[0])


async def test_a_head_without_end_is_given_up() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Policy: %s\r\n" % (b"p" * 60_000))
            await writer.drain()

    async with serve(script) as server, HttpSession(server.url) as session:
        with pytest.raises(OutcomeUnknown, match="not HTTP"):
            await session.post(session.url("/"), b"{}")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (CHUNKED + b"1\r\na\r\n0\r\nX-Trailer: ", b"y"),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"X-Trailer: y\r\n"),
        (CHUNKED + b"1;", b"x"),
        (CHUNKED, b"0"),
        (b"HTTP/1.1 200 ", b"OK"),
    ],
)
async def test_what_goes_on_without_end_around_a_body_is_given_up(
    begins: bytes, goes_on: bytes
) -> None:
    """Long before the time-out: the parser would hold a header of as much as came in that time."""
    written = 0

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        nonlocal written
        await read_request(reader, server)
        writer.write(begins)
        while True:
            writer.write(goes_on * 60_000)
            written += len(goes_on) * 60_000
            await writer.drain()

    async with serve(script) as server, HttpSession(server.url, timeout=5.0) as session:
        with pytest.raises(OutcomeUnknown, match="not HTTP: over 1048576 bytes around the body"):
            await session.post(session.url("/"), b"{}")
    assert written < 50_000_000


async def test_a_body_in_chunks_of_one_byte_is_a_body() -> None:
    got, _ = await answers(CHUNKED + b"1\r\na\r\n" * 900_000 + b"0\r\n\r\n")
    assert got[0].body == b"a" * 900_000


@pytest.mark.parametrize(
    ("codings", "body", "whole"),
    [
        (["gzip", "chunked"], b"1\r\na\r\n", None),
        (["gzip, Chunked"], b"1\r\na\r\n", None),
        (["chunked", "gzip"], b"abc", b"abc"),
        (["not-chunked"], b"abc", b"abc"),
    ],
)
async def test_the_last_coding_says_whether_a_body_ends_with_its_connection(
    codings: list[str], body: bytes, whole: bytes | None
) -> None:
    lines = "".join(f"Transfer-Encoding: {coding}\r\n" for coding in codings)
    (got,), _ = await answers(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body + b"<EOF>")
    if whole is None:
        assert isinstance(got, OutcomeUnknown)
    else:
        assert got.body == whole


async def test_a_length_may_have_any_number_of_digits() -> None:
    got, _ = await answers(b"HTTP/1.1 200 OK\r\nContent-Length: %s1\r\n\r\na" % (b"0" * 5_000))
    assert got[0].body == b"a"


async def test_an_answer_before_the_whole_request_is_here_is_its_answer() -> None:
    """The rest of a large request is still to be written: nothing may follow it."""

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await reader.read(1)
        writer.write(reply(b"too large", "413 Content Too Large"))
        await asyncio.Event().wait()

    async with serve(script) as server, HttpSession(server.url) as session:
        answer = await session.post(session.url("/"), b"x" * 30_000_000)
        assert answer.status == 413
        assert session.idle_connections() == 0


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names mean, instead of what the machine's resolver says; and which were asked for."""
    known: dict[str, list[str]] = {"asked": []}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **words: Any) -> Any:
        if isinstance(host, bytes):
            host = host.decode()
        if host not in known or words.get("flags", 0) & socket.AI_NUMERICHOST:
            return real(host, port, *args, **words)
        known["asked"].append(host)
        return [
            found
            for address in known[host]
            for found in real(address, port, type=socket.SOCK_STREAM)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


async def test_a_name_with_several_addresses_is_reached_at_one_that_answers(
    names: dict[str, list[str]],
) -> None:
    names["localhost"] = ["127.0.0.9", "127.0.0.8", "127.0.0.1"]
    async with (
        serve(well) as server,
        HttpSession(f"http://localhost:{server.port}") as session,
    ):
        url = session.url("/")
        got = await asyncio.gather(*(session.post(url, b"{}") for _ in range(20)))
    assert {answer.status for answer in got} == {200}
    assert names["asked"] == ["localhost"], "one lookup serves all"
    assert all(b"Host: localhost:%d\r\n" % server.port in head for head, _ in server.requests)


async def test_an_ipv6_address_is_called_by_its_name_in_brackets() -> None:
    async def connected(reader: Reader, writer: Writer) -> None:
        state = RawServer()
        await read_request(reader, state)
        writer.write(reply(state.requests[0][0].split(b"\r\n")[1]))
        writer.close()

    try:
        server = await asyncio.start_server(connected, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = server.sockets[0].getsockname()[1]
    async with server, HttpSession(f"http://[::1]:{port}") as session:
        assert (await session.post(session.url("/"), b"{}")).body == b"Host: [::1]:%d" % port


async def test_a_certificate_of_another_name_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]
) -> None:
    context, path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    names["localhost"] = ["127.0.0.1"]
    async with (
        serve(well, context) as server,
        HttpSession(f"https://localhost:{server.port}") as session,
    ):
        with pytest.raises(
            NotSent, match="ClientConnectorCertificateError: Hostname mismatch"
        ) as no:
            await session.post(session.url("/"), b"{}")
        assert no.value.permanent
    assert server.requests == []


async def test_a_server_without_tls_is_not_sent() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with (
        serve(script) as server,
        HttpSession(f"https://127.0.0.1:{server.port}") as session,
    ):
        with pytest.raises(NotSent, match="ClientConnectorSSLError: "):
            await session.post(session.url("/"), b"{}")


async def test_a_cancelled_lookup_is_still_the_others(names: dict[str, list[str]]) -> None:
    names["localhost"] = ["127.0.0.1"]
    async with (
        serve(well) as server,
        HttpSession(f"http://localhost:{server.port}") as session,
    ):
        first = asyncio.create_task(session.post(session.url("/"), b"{}"))
        second = asyncio.create_task(session.post(session.url("/"), b"{}"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).status == 200
        with pytest.raises(asyncio.CancelledError):
            await first
    assert names["asked"] == ["localhost"]


async def test_a_proxy_whose_answer_makes_no_sense_is_not_sent() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    async with serve(script) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        async with HttpSession("https://api.example.com", proxy=address) as session:
            with pytest.raises(NotSent, match="the answer is not HTTP"):
                await session.post(session.url("/"), b"{}")


async def test_a_proxy_that_is_not_there_is_named_as_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with HttpSession("https://api.example.com", proxy=address) as session:
        with pytest.raises(NotSent, match="ClientProxyConnectionError: Connection refused"):
            await session.post(session.url("/"), b"{}")


async def test_a_connection_that_was_idle_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("promomsg.transport.http_client.KEEPALIVE", 0.0)
    async with serve(well) as server, HttpSession(server.url) as session:
        for _ in range(3):
            await session.post(session.url("/"), b"{}")
        assert session.idle_connections() == 1
    assert server.connections == 3


async def test_a_read_is_made_again_when_its_old_connection_was_closed_under_it() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(reply(b"%d" % len(server.requests)))
        await read_request(reader, server)

    async with serve(script) as server, HttpSession(server.url) as session:
        url = session.url("/token")
        got = [(await session.get(url)).body for _ in range(2)]
    assert got == [b"1", b"3"]
    assert server.connections == 2


async def test_the_last_check_that_says_no_leaves_the_connection_for_others() -> None:
    class Shut:
        def passes(self) -> bool:
            return False

        async def wait(self) -> bool:
            return False

    async with serve(well) as server, HttpSession(server.url) as session:
        await session.connect_ahead(1)
        with pytest.raises(NotSent, match="held back"):
            await session.post(session.url("/"), b"{}", last_check=Shut())
        assert session.idle_connections() == 1
        assert server.requests == []
        assert (await session.post(session.url("/"), b"{}")).status == 200
    assert server.connections == 1
