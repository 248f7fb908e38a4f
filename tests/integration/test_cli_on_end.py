"""`on_end`: who is told when a run is over, and that nothing about it changes the run."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import campaign, promomsg, running

from promomsg.cli.campaign.campaign_values import OnEnd
from promomsg.cli.campaign.on_end import tell
from promomsg.sandbox import SandboxSettings


class Hook:
    """A web service on loopback that keeps what it is told; its first answers are `statuses`."""

    def __init__(self, *statuses: int) -> None:
        self.told: list[Any] = []
        self._statuses = list(statuses)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.told.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(hook._statuses.pop(0) if hook._statuses else 204)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?key=a-key"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


NOTIFY = """\
import pathlib, sys
pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())
sys.exit(int(sys.argv[2]))
"""


def program(folder: Path, status: int = 0) -> str:
    """The value of `on_end` for a program that keeps what it gets in `told.json`."""
    (folder / "notify.py").write_text(NOTIFY)
    return f"command:{sys.executable} notify.py told.json {status}"


def test_a_web_service_is_told_of_the_result(tmp_path: Path, hook: Hook) -> None:
    with running(settings=SandboxSettings(refuse_single={"1001": 43101})) as box:
        file = campaign(tmp_path, box.url, 3, campaign=f'on_end = "{hook.url}"')
        assert promomsg("send", file, "--yes") == 3
    [(path, kind, document)] = hook.told
    assert (path, kind) == ("/hook?key=a-key", "application/json")
    assert (document["campaign"], document["state"], document["exit_status"]) == (
        "autumn",
        "done",
        3,
    )
    assert (document["sent"], document["failed"]) == (2, 1)


def test_a_program_gets_the_result_on_its_standard_input(tmp_path: Path) -> None:
    with running() as box:
        file = campaign(tmp_path, box.url, 3, campaign=f'on_end = "{program(tmp_path)}"')
        assert promomsg("send", file, "--yes") == 0
    document = json.loads((tmp_path / "told.json").read_bytes())
    assert (document["state"], document["sent"], document["exit_status"]) == ("done", 3, 0)


def test_a_halt_is_told_and_the_resume_after_it_too(tmp_path: Path, hook: Hook) -> None:
    with running(settings=SandboxSettings(daily_quota={"singlesendmsg": 2})) as box:
        file = campaign(tmp_path, box.url, 5, campaign=f'on_end = "{hook.url}"')
        assert promomsg("send", file, "--yes") == 5
        box.settings.daily_quota = {}
        assert promomsg("resume", tmp_path / "autumn.db", "--yes") == 0
    states = [(document["state"], document["pending"]) for _, _, document in hook.told]
    assert states == [("halted", 3), ("done", 0)]
    assert "45009" in hook.told[0][2]["reason"]


def test_one_that_cannot_be_told_is_a_line_and_changes_no_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as box:
        file = campaign(tmp_path, box.url, 3, campaign='on_end = "command:there-is-no-such-one"')
        assert promomsg("send", file, "--yes") == 0
        assert box.ledger.total == 3
    [line] = [one for one in capsys.readouterr().err.splitlines() if one.startswith("on_end")]
    assert "there-is-no-such-one was not told" in line
    assert "No such file" in line


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("http://ops.example/hook", "use https"),
        ("", "on_end is empty"),
        ("command:", "write 'https://"),
        ("command:a 'b", "cannot be split"),
        (r"command:a \u0000b", "NUL"),
    ],
)
def test_a_wrong_one_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str, said: str
) -> None:
    with running() as box:
        file = campaign(tmp_path, box.url, 3, campaign=f'on_end = "{value}"')
        assert promomsg("send", file, "--yes") == 1
        assert box.calls.total() == 0
    assert said in capsys.readouterr().err


def tried(on_end: OnEnd) -> tuple[list[float], list[str]]:
    """(the pauses between tries, what was said)."""
    pauses: list[float] = []
    said: list[str] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    asyncio.run(tell(on_end, {"state": "done"}, said.append, pause))
    return pauses, said


def test_it_is_tried_three_times(tmp_path: Path) -> None:
    hook = Hook(500, 503)
    try:
        assert tried(OnEnd(tmp_path, url=hook.url)) == ([1.0, 5.0], [])
        assert len(hook.told) == 3
    finally:
        hook.close()


def test_after_three_tries_it_is_said_and_the_key_in_the_url_is_not(tmp_path: Path) -> None:
    hook = Hook(500, 500, 500)
    try:
        pauses, [said] = tried(OnEnd(tmp_path, url=hook.url))
    finally:
        hook.close()
    assert pauses == [1.0, 5.0]
    assert "answered 500" in said
    assert "a-key" not in said
    pauses, [said] = tried(OnEnd(tmp_path, url=hook.url))  # nobody listens any more
    assert pauses == [1.0, 5.0]
    assert "a-key" not in said


def test_a_refusal_is_not_tried_again(tmp_path: Path) -> None:
    hook = Hook(404)
    try:
        pauses, [said] = tried(OnEnd(tmp_path, url=hook.url))
    finally:
        hook.close()
    assert pauses == []
    assert "answered 404" in said


def test_a_program_that_fails_is_tried_again(tmp_path: Path) -> None:
    words = tuple(program(tmp_path, 7).removeprefix("command:").split())
    pauses, [said] = tried(OnEnd(tmp_path, words=words))
    assert pauses == [1.0, 5.0]
    assert "ended with status 7" in said
