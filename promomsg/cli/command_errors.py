"""What ends a command early: each error carries its exit status, and the one line for stderr."""

from __future__ import annotations

from promomsg.cli.exit_status import INTERRUPTED, RESUMABLE, WRONG
from promomsg.errors import PromoError

__all__ = ["CommandError", "Interrupted", "SendingCrashed", "line_for", "only_error"]


class CommandError(Exception):
    """A command ends here; the text is the line on stderr.

    Attributes:
        exit_status: of the process.
    """

    exit_status: int = WRONG

    def __init__(self, text: str = "", exit_status: int | None = None) -> None:
        super().__init__(text)
        if exit_status is not None:
            self.exit_status = exit_status


class Interrupted(CommandError):
    """Ctrl-C, SIGTERM or SIGHUP came."""

    exit_status = INTERRUPTED

    def __str__(self) -> str:
        return super().__str__() or "interrupted; nothing was sent"


class SendingCrashed(CommandError):
    """Something unexpected happened in the middle of sending.

    Args:
        error: what happened.
        resume_with: the command that goes on with the campaign.
    """

    exit_status = RESUMABLE

    def __init__(self, error: BaseException, resume_with: str) -> None:
        super().__init__(_unexpected(only_error(error), f" go on with: {resume_with};"))


def only_error(error: BaseException) -> BaseException:
    """The one error of an exception group that has only one; else the error itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def line_for(error: BaseException) -> str:
    """The line that says what went wrong."""
    if isinstance(error, (CommandError, PromoError)):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return _unexpected(error)


def _unexpected(error: BaseException, then: str = "") -> str:
    return (
        f"unexpected {type(error).__name__}: {error};{then} "
        "run `promomsg --debug …` for the traceback, and please report it"
    )
