"""Commands of the terminal that are killed, or whose disk fails, at the nth change to a folder.

A preloaded library (folder_faults.c) counts what makes, writes, syncs, cuts, renames or removes a file. A
warm process that has imported everything forks one child a command, as `fork_server` does.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from .power_cut import build_library

__all__ = ["Command", "Ended", "FaultedCommands"]

_HUNG: Final = 60.0
"""Seconds after which a command that has not ended counts as hung."""
_SOURCE: Final = Path(__file__).with_name("folder_faults.c")


class Command(msgspec.Struct, kw_only=True):
    """One command.

    Attributes:
        words: of the command line; paths whole.
        folder: whose changes count.
        room: a folder beside it, for what the command prints.
        at: the number of the change that is the last one, or fails; 0: none is.
        error: an errno; 0: it is killed before the change.
    """

    words: list[str]
    folder: str
    room: str
    at: int = 0
    error: int = 0


class Ended(msgspec.Struct):
    """How a command ended: its exit status (less than 0: the signal), what it printed, and its changes to the
    folder, each as `unlink autumn.db`."""

    status: int
    out: str
    err: str
    changes: list[str]


class FaultedCommands:
    """The parent's end; a context manager. One command at a time.

    Args:
        room: a folder for the library, and for what the commands print.
    """

    def __init__(self, room: Path) -> None:
        self._room = room
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        library = self._room / "folder_faults.so"
        build_library(_SOURCE, library)
        tests = Path(__file__).parents[1]
        paths = [str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "LD_PRELOAD": str(library)}
        env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        # Coverage would begin anew in every child.
        env.pop("COV_CORE_SOURCE", None)
        env.pop("COVERAGE_PROCESS_START", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.folder_faults"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.communicate()

    def run(self, *words: object, folder: Path, at: int = 0, error: int = 0) -> Ended:
        """Forks a child for a command and waits for its end.

        Raises:
            AssertionError: it hung.
        """
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        command = Command(
            words=[str(word) for word in words],
            folder=str(folder),
            room=str(self._room),
            at=at,
            error=error,
        )
        process.stdin.write(msgspec.json.encode(command).decode() + "\n")
        process.stdin.flush()
        ended = msgspec.json.decode(process.stdout.readline(), type=Ended)
        assert ended.status != -6, f"{words} hung: {ended.err}"
        return ended


def _child(command: Command) -> None:
    """In the child: never returns."""
    from promomsg.cli import main

    status = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        out, err, changes = (
            os.open(os.path.join(command.room, name), flags) for name in ("out", "err", "changes")
        )
        os.dup2(out, 1)
        os.dup2(err, 2)
        begin = ctypes.CDLL(None).folder_faults_begin
        begin(os.fsencode(command.folder), command.at, command.error, changes)
        status = main(command.words)
    except BaseException:  # noqa: BLE001 - stderr has it, and nothing may escape into the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(pid: int, command: Command) -> Ended:
    end = time.monotonic() + _HUNG
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            out, err, changes = (
                Path(command.room, name).read_text() for name in ("out", "err", "changes")
            )
            return Ended(os.waitstatus_to_exitcode(status), out, err, changes.splitlines())
        if time.monotonic() > end:
            os.kill(pid, 6)
            end += _HUNG
        time.sleep(0.001)  # it has no event loop: between looks at its child


def serve() -> None:
    """Until stdin ends."""
    # What the commands would load one by one, each time anew.
    import pyarrow.parquet  # noqa: F401

    import promomsg.cli.commands.archive
    import promomsg.cli.commands.clicks
    import promomsg.cli.commands.pause_cancel
    import promomsg.cli.commands.resume
    import promomsg.cli.commands.retry
    import promomsg.engine.campaign  # noqa: F401

    for line in sys.stdin.buffer:
        command = msgspec.json.decode(line, type=Command)
        pid = os.fork()
        if pid == 0:
            _child(command)
        sys.stdout.buffer.write(msgspec.json.encode(_wait(pid, command)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
