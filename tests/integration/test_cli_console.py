"""`promomsg console` as it is started and ended."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from cli_campaigns import ENV
from waiting import wait_for

from promomsg.cli import main


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_ends_at_once_though_a_page_is_open(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "promomsg", "console", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        port = int(line.rpartition(":")[2])
        page = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        page.request("GET", "/")
        answer = page.getresponse()
        assert answer.status == 200
        assert "No campaign is here yet" in answer.read().decode()
        live = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        live.request("GET", "/live")
        assert live.getresponse().readline() == b": live\n"
        process.send_signal(number)
        out, errors = process.communicate(timeout=5)
        assert (process.returncode, out, errors) == (0, "", "")
        page.close()
        live.close()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_too_many_connections_are_closed_and_the_console_goes_on(tmp_path: Path) -> None:
    """In a process of its own, which has uvloop: 500 that ask for nothing, and some more."""
    process = subprocess.Popen(
        [sys.executable, "-m", "promomsg", "console", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        at = ("127.0.0.1", int(process.stdout.readline().rpartition(":")[2]))
        held = [socket.create_connection(at, timeout=10) for _ in range(500)]
        for _ in range(5):
            with socket.create_connection(at, timeout=10) as more, suppress(ConnectionError):
                assert more.recv(1) == b""
        for one in held:
            one.close()
        wait_for(lambda: not closed_at_once(at), seconds=10)
        page = http.client.HTTPConnection(*at, timeout=10)
        page.request("GET", "/")
        assert page.getresponse().status == 200
        page.close()
        process.terminate()
        assert process.communicate(timeout=5)[1] == ""
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def closed_at_once(at: tuple[str, int]) -> bool:
    """Whether a connection that asks for nothing is ended right away."""
    with socket.create_connection(at, timeout=0.2) as one:
        try:
            return one.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (
            ["--operator-token", "a-token-that-is-written-out-here"],
            "does not stand on a command line",
        ),
        (["--operator-token", "env:NOBODY_SETS_THIS"], "NOBODY_SETS_THIS is not set"),
        (["--reader-token", "file:short.txt"], "fewer than 16 characters"),
        (["--host", "0.0.0.0"], "everybody who gets there could read and act"),
        (["--host", "0.0.0.0", "--reader-token", "file:long.txt"], "has to be encrypted"),
        (["--public-url", "https://console.example.com"], "everybody who gets there"),
        (["--tls-certificate", "none.pem", "--tls-key", "none.pem"], "cannot be used for TLS"),
        (["nowhere"], "there is no such folder"),
    ],
)
def test_what_may_not_be_is_one_line_and_no_server(
    words: list[str], refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("short\n")
    (tmp_path / "long.txt").write_text("l" * 40 + "\n")
    assert main(["console", *words]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    assert len(errors.splitlines()) == 1
    assert refusal in errors
    assert "a-token-that-is-written" not in errors


def test_a_port_that_is_taken_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["console", str(tmp_path), "--port", str(port)]) == 1
    assert f"port {port} on 127.0.0.1 is already taken" in capsys.readouterr().err
