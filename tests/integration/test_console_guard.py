"""Whom the console refuses, over a real socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from console_serving import Asked, Served, campaign, serving
from raw_server import certificate
from waiting import until
from yarl import URL

from promomsg.console import guard
from promomsg.console.console_types import Look
from promomsg.console.page_models import url_of
from promomsg.model import Secret

pytestmark = pytest.mark.asyncio

ONE = "/campaigns/1/autumn.db"
OPERATOR = "an-operators-token-of-thirty-two"
PAGES = ("/", "/live", "/sign-in", "/language/zh", "/static/console.css", ONE, f"{ONE}/recipients",
         f"{ONE}/recipients/0", f"{ONE}/rate", f"{ONE}/live", "/no-such-page")  # fmt: skip


@pytest.fixture(scope="module")
def journal_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a campaign that is over."""
    path = tmp_path_factory.mktemp("made") / "autumn.db"
    asyncio.run(campaign(path))
    return path


@pytest.fixture
def folder(tmp_path: Path, journal_file: Path) -> Path:
    """A folder with one campaign."""
    found = tmp_path / "campaigns"
    found.mkdir()
    shutil.copy(journal_file, found)
    return found


@pytest_asyncio.fixture
async def served(folder: Path) -> AsyncIterator[Served]:
    async with serving(folder) as console:
        yield console


def refused(asked: Asked, status: int = 403) -> None:
    """Nothing of a campaign is in a refusal, but a sentence is."""
    assert asked.status == status
    assert "autumn" not in asked.text
    assert "Traceback" not in asked.text
    assert len(asked.text) > 30


async def test_every_answer_says_what_browsers_may_do_with_it(served: Served) -> None:
    for path in PAGES:
        if "live" not in path:
            answer = await served.get(path)
            for name, value in guard.HEADERS.items():
                assert answer.headers[name] == value, path
    policy = guard.HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


async def test_a_name_that_was_made_to_point_here_gets_nothing(served: Served) -> None:
    port = URL(served.url).port
    for host in ("evil.test", f"evil.test:{port}", "127.0.0.1", "127.0.0.1:1"):
        for path in PAGES:
            refused(await served.get(path, Host=host))
        refused(await served.ask("POST", f"{ONE}/pause", headers={"Host": host}))


async def test_a_page_elsewhere_gets_nothing(served: Served) -> None:
    for site in ("cross-site", "same-site", "something-new"):
        for path in PAGES:
            refused(await served.get(path, **{"Sec-Fetch-Site": site}))


async def test_an_address_that_is_typed_is_answered(served: Served) -> None:
    assert (await served.get(**{"Sec-Fetch-Site": "none"})).status == 200
    assert (await served.get(**{"Sec-Fetch-Site": "same-origin"})).status == 200


async def test_a_form_of_another_page_is_refused() -> None:
    async with serving(operator_token=Secret(OPERATOR)) as guarded:
        csrf = await guarded.csrf("/sign-in")
        data = {"token": OPERATOR, "csrf": csrf, "back": "/"}
        for headers in (
            {"Origin": ""},
            {"Origin": "null"},
            {"Origin": "https://evil.test"},
            {"Origin": "http://localhost:1"},
            {"Origin": f"{guarded.url}.evil.test"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
        ):
            refused(await guarded.post("/sign-in", data, **headers))
        assert (await guarded.post("/sign-in", data)).status == 303


async def test_a_form_without_its_token_or_with_anothers_is_refused() -> None:
    async with serving(operator_token=Secret(OPERATOR)) as guarded:
        csrf = await guarded.csrf("/sign-in")
        for wrong in ("", "x", csrf[:-1], csrf.upper() if csrf.upper() != csrf else "0" * 64):
            refused(await guarded.post("/sign-in", {"token": OPERATOR, "csrf": wrong}))
        refused(await guarded.post("/sign-in", {"token": OPERATOR}))
        # Another path's token, and another session's.
        assert (await guarded.sign_in(OPERATOR)).status == 303
        out = await guarded.csrf("/", of="/sign-out")
        refused(await guarded.post("/sign-in", {"token": OPERATOR, "csrf": out}))
        guarded.session.cookie_jar.clear()
        assert (await guarded.get("/sign-in")).status == 200
        refused(await guarded.post("/sign-in", {"token": OPERATOR, "csrf": csrf}))


async def test_there_is_reading_and_sending_a_form_and_nothing_else(served: Served) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        refused(await served.ask(method, ONE, headers={"Origin": served.url}), 405)


async def test_a_head_is_a_get_without_its_text(served: Served) -> None:
    answer = await served.ask("HEAD", ONE)
    assert (answer.status, answer.text) == (200, "")
    assert (await served.ask("HEAD", f"{ONE}/live")).status == 405
    assert (await served.post("/", {})).status == 405


NO_NAMES = (
    "/campaigns/1/..", "/campaigns/1/%2e%2e", "/campaigns/1/..%2fcampaigns%2fautumn.db",
    "/campaigns/1/%2e%2e%2fsecret.db", "/campaigns/1/..\\secret.db", "/campaigns/1/autumn.db%00",
    "/campaigns/1/%00", "/campaigns/1/autumn.db%2f", "/campaigns/1/./autumn.db", "/campaigns/1/%ff%fe",
    "/campaigns/1/link.db", "/campaigns/1/notes.txt", "/campaigns/1/autumn.db-wal", "/campaigns/1/inner",
    "/campaigns/1/autumn.db.lock", "/campaigns/1//etc/passwd", "/campaigns/1/%2fetc%2fpasswd",
    "/campaigns/0/autumn.db", "/campaigns/2/autumn.db", "/campaigns/../1/autumn.db", "/campaigns/fleet/x",
    "/campaigns/1/AUTUMN.DB", "/campaigns//autumn.db", "/static/..%2fconsole_types.py", "/static/%2e%2e",
    "/static/../pages.py", "/campaigns/1/autumn.db/recipients/-1", "/campaigns/1/autumn.db/recipients/9e9",
    "/campaigns/1/autumn.db/recipients/99999999999999999999", "/campaigns/1/autumn.db/nothing",
    "/campaigns/1/" + "a" * 4000,
)  # fmt: skip


async def test_a_name_is_no_path(folder: Path) -> None:
    shutil.copy(folder / "autumn.db", folder.parent / "secret.db")
    (folder / "link.db").symlink_to(folder.parent / "secret.db")
    (folder / "notes.txt").write_text("nothing")
    (folder / "inner").mkdir()
    async with serving(folder) as console:
        for path in NO_NAMES:
            answer = await console.get(path)
            assert answer.status == 404, path
            assert "secret" not in answer.text
            assert "root:" not in answer.text
        listed = (await console.get("/")).text
        assert "autumn.db" in listed
        assert "link.db" not in listed


async def test_a_name_of_any_bytes_leads_to_its_campaign(folder: Path) -> None:
    names = ["a b%2f&<i>?x=#.db", os.fsdecode(b"latin-\xe9.db"), "活动.db", "%41.db"]
    for name in names:
        shutil.copy(folder / "autumn.db", folder / name)
    async with serving(folder) as console:
        for name in names:
            if name.isascii() or name == "活动.db":
                look = Look(place="1", name=name, journal=name, at=0.0)
                assert (await console.get(url_of(look))).status == 200
        assert (await console.get("/campaigns/1/latin-%E9.db")).status == 200
        assert (await console.get("/")).status == 200


async def raw(url: str, data: bytes) -> bytes:
    at = URL(url)
    reader, writer = await asyncio.open_connection(at.host, at.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(65_536), 10)
    finally:
        writer.close()


async def test_what_is_no_request_or_a_huge_one_is_answered_briefly(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    host = f"Host: 127.0.0.1:{URL(served.url).port}\r\n".encode()
    for data in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + host + b"\r\n",
        b"POST / HTTP/1.1\r\n" + host + b"Content-Length: x\r\n\r\n",
    ):
        answer = await raw(served.url, data)
        assert answer.split(b"\r\n")[0].split()[1] in (b"400", b"403")
        assert b"Traceback" not in answer
        assert b"autumn" not in answer
    assert (await served.get()).status == 200
    assert all(record.exc_info is None for record in caplog.records)
    assert "nonsense" not in caplog.text


async def test_a_form_that_is_too_large_is_not_read(folder: Path) -> None:
    async with serving(operator_token=Secret(OPERATOR)) as guarded:
        csrf = await guarded.csrf("/sign-in")
        answer = await guarded.post("/sign-in", {"csrf": csrf, "token": "x" * 100_000})
        refused(answer, 413)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("application/x-www-form-urlencoded; charset=nonsense", b"a=b"),
        ("multipart/form-data", b"a=b"),
        ("multipart/form-data; boundary=x", b"--x\r\nno header\r\n\r\n--x--"),
        ("gzip", b"a=b"),
    ],
)
async def test_what_is_no_form_is_refused_and_no_failure(kind: str, data: bytes) -> None:
    async with serving(operator_token=Secret(OPERATOR)) as guarded:
        headers = {"Origin": guarded.url, "Content-Type": kind}
        if kind == "gzip":
            headers |= {
                "Content-Encoding": "gzip",
                "Content-Type": "application/x-www-form-urlencoded",
            }
        answer = await guarded.ask("POST", "/sign-in", headers=headers, data=data)
        assert answer.status in (400, 403)
        refused(answer, answer.status)


async def test_a_form_that_does_not_come_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.console.requests._FORM_IN", 0.05)
    async with serving(folder) as console:
        port = URL(console.url).port
        head = f"POST {ONE}/pause HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {console.url}\r\n"
        head += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\na"
        answer = await raw(console.url, head.encode())
        assert answer.startswith(b"HTTP/1.1 408 ")


async def test_another_user_of_the_machine_gets_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who it is, is the table's word (tests/unit/test_console_same_user.py)."""
    monkeypatch.setattr("promomsg.console.same_user.socket_owner", lambda *ends: os.geteuid() + 1)
    async with serving(folder) as console:
        for path in PAGES:
            refused(await console.get(path))
    # With a token the token decides.
    async with serving(folder, operator_token=Secret(OPERATOR)) as console:
        assert (await console.sign_in(OPERATOR)).status == 303
        assert (await console.get(ONE)).status == 200


async def test_over_tls_cookies_are_for_tls_alone(folder: Path, tmp_path: Path) -> None:
    _, path = certificate(tmp_path)
    key = tmp_path / "key.pem"
    async with serving(
        folder, operator_token=Secret(OPERATOR), host="0.0.0.0", tls_certificate=path, tls_key=key
    ) as console:
        assert console.url.startswith("https://0.0.0.0:")
        console.url = console.url.replace("0.0.0.0", "127.0.0.1")
        trusted = ssl.create_default_context(cafile=str(path))
        async with console.session.get(console.url + "/sign-in", ssl=trusted) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-promomsg=")
        for part in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie
        assert (await console.sign_in(OPERATOR)).status == 303
        assert (await console.get(ONE)).status == 200
        refused(await console.get(ONE, Host=f"evil.test:{URL(console.url).port}"))
        with pytest.raises(aiohttp.ClientError):
            await console.session.get(console.url.replace("https", "http"))


async def test_behind_a_proxy_it_answers_to_the_public_name(folder: Path) -> None:
    public = "https://console.example.com"
    async with serving(folder, reader_token=Secret(OPERATOR), public_url=public) as console:
        page = await console.get("/sign-in", Host="console.example.com")
        assert page.status == 200
        assert "Secure" in page.headers["Set-Cookie"]
        refused(await console.get("/sign-in", Host="evil.example.com"))


async def test_a_connection_that_asks_for_nothing_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.console.browser_connections.ASKS_IN", 0.02)
    async with serving(folder) as console:
        assert (await console.get()).status == 200
        at = URL(console.url)
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(b"GET / HT")
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        # The one that had asked is still there.
        assert (await console.get()).status == 200


async def test_more_connections_than_there_may_be_are_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.console.browser_connections._MOST_CONNECTIONS", 2)
    async with serving(folder) as console:
        at = URL(console.url)
        held = [await asyncio.open_connection(at.host, at.port) for _ in range(2)]
        with pytest.raises(aiohttp.ClientError):
            await console.get()
        for _, writer in held:
            writer.close()


async def test_a_connection_that_never_does_its_tls_is_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.console.console_server.ASKS_IN", 0.05)
    _, path = certificate(tmp_path)
    token, key = Secret(OPERATOR), tmp_path / "key.pem"
    async with serving(folder, operator_token=token, tls_certificate=path, tls_key=key) as console:
        at = URL(console.url)
        reader, writer = await asyncio.open_connection(at.host, at.port)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_who_takes_nothing_of_a_page_is_let_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.console.browser_connections._TAKES_IN", 0.1)
    async with serving(folder) as console:
        at = URL(console.url)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((at.host, at.port))
            slow.setblocking(False)
            request = f"GET {ONE} HTTP/1.1\r\nHost: 127.0.0.1:{at.port}\r\n\r\n".encode()

            def is_let_go() -> bool:
                try:
                    slow.send(request * 10)
                except BlockingIOError:
                    return False
                except ConnectionError:
                    return True
                return False

            await until(is_let_go, seconds=20)
        assert (await console.get()).status == 200
