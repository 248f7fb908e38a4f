"""The command line itself: help, wrong use, errors as one line, the missing extra."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import promomsg
from promomsg.cli import app, main
from promomsg.cli.command_errors import Interrupted
from promomsg.errors import JournalError

ENV = {**os.environ, "PYTHONPATH": str(Path(promomsg.__file__).parents[1])}


def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in app.COMMANDS:
        assert f"\n  {name} " in text
    code = (
        "import sys; from promomsg.cli import main; main(['--help']);"
        "print(sorted(m for m in sys.modules if m.startswith('promomsg.cli.commands.')"
        " or m.split('.')[0] == 'rich'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENV
    )
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("module", ["pause_cancel", "report", "resume", "status"])
def test_what_only_looks_at_a_journal_does_not_import_the_http_client(module: str) -> None:
    code = (
        f"import sys; import promomsg.cli.commands.{module};"
        "print([m for m in ('aiohttp', 'cryptography', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENV
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"promomsg {name}" in shown
    assert f"Example: promomsg {name}" in " ".join(shown.split())


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_example_of_every_command_is_one_of_it(name: str) -> None:
    program, command, *words = shlex.split(app.COMMANDS[name].example)
    assert (program, command) == ("promomsg", name)
    found = app.cli.get_command(click.Context(app.cli), name)
    assert found is not None
    found.make_context(name, words)


def test_the_commands_are_those_of_the_contract() -> None:
    assert list(app.COMMANDS) == [
        "demo",
        "send",
        "plan",
        "resume",
        "pause",
        "cancel",
        "retry",
        "follow",
        "status",
        "list",
        "report",
        "explain",
        "clicks",
        "reconcile",
        "promoters",
        "doctor",
        "keys",
        "archive",
        "purge",
        "sandbox",
        "console",
        "fleet",
        "worker",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sned", "x"], "did you mean send?"),
        (["quite-unlike-anything"], "promomsg --help"),
        (["send"], "FILE"),
        (["-vv", "send", "x.toml"], "-v goes behind the command, as in promomsg send -v FILE"),
        (["--log-json", "send", "x.toml"], "as in promomsg send --log-json FILE"),
        (["send", "x.toml", "--dryrun"], "--dry-run"),
        (["send", "x.toml", "--max-recipients", "many"], "many"),
        (["send", "x.toml", "--test-to", " , "], "--test-to"),
        (["report", "x.db", "--format", "xml"], "xml"),
        (["sandbox", "--port", "70000"], "70000"),
    ],
)
def test_wrong_use_is_one_line_and_exit_1(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    out = capsys.readouterr()
    assert said in out.err
    assert out.err.count("\n") == 1
    assert out.out == ""


def test_no_command_shows_the_help_and_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "Commands:" in capsys.readouterr().err


def test_the_version_also_from_a_clone_that_is_not_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"promomsg {promomsg.__version__}\n"


@pytest.mark.parametrize("module", ["promomsg", "promomsg.cli"])
def test_the_package_runs_as_a_module(module: str) -> None:
    words = [sys.executable, "-m", module]
    done = subprocess.run([*words, "--version"], capture_output=True, text=True, env=ENV)
    assert (done.returncode, done.stdout) == (0, f"promomsg {promomsg.__version__}\n")
    done = subprocess.run([*words, "sned"], capture_output=True, text=True, env=ENV)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    code = (
        "import runpy, sys; sys.modules['click'] = None; sys.modules['rich'] = None;"
        f"sys.argv = ['x', 'demo']; runpy.run_module({module!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV)
    assert done.returncode == 1
    assert "pip install 'promomsg[cli]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_extra_it_says_which_command_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "promomsg.cli.find_spec", lambda name: None if name == "rich" else found(name)
    )
    assert main(["demo"]) == 1
    err = capsys.readouterr().err
    assert "pip install 'promomsg[cli]'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (JournalError("a.db:\nbroken\x1b[2J"), 1, r"a.db: broken\\x1b\[2J"),
        (OSError(28, "No space left on device", "a.csv"), 1, "a.csv: No space left on device"),
        (ExceptionGroup("x", [JournalError("one")]), 1, "promomsg: one"),
        (Interrupted(), 130, "nothing was sent"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("by zero"), 1, "--debug"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_an_error_is_one_line_and_a_status(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(app.cli, "main", fail)
    monkeypatch.setattr("os.dup2", lambda old, new: None)
    assert main(["status", "x"]) == status
    err = capsys.readouterr().err
    assert re.search(said, err)
    assert err.count("\n") == (1 if said else 0)


def test_debug_shows_the_traceback_without_locals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        secret = "".join(["tok", "en-value"])
        raise RuntimeError(str(len(secret)))

    monkeypatch.setattr(app.cli, "main", fail)
    assert main(["--debug", "status", "x"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "token-value" not in err


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path) -> None:
    code = "import sys; from promomsg.cli import main; sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=20)
    assert "Traceback" not in err
