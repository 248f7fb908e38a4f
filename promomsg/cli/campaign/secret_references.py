"""Secrets by reference: `env:NAME` or `file:PATH`. A literal one is refused and never echoed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promomsg.errors import UsageError
from promomsg.model import Secret

__all__ = ["SecretMissing", "read_secret"]


class SecretMissing(UsageError):
    """What a reference names is not there, or is empty; the reference itself is a good one."""


def read_secret(
    value: Any,
    where: str,
    folder: Path,
    environ: Mapping[str, str],
    *,
    anywhere: bool = False,
) -> Secret:
    """The secret that `value` refers to.

    Args:
        value: `env:NAME` or `file:PATH`.
        where: the setting, for messages.
        folder: what a relative PATH is relative to.
        environ: the environment.
        anywhere: whether PATH may lead out of the folder: whoever wrote the campaign file could
            have a secret of yours sent to a host of theirs.

    Raises:
        UsageError: a literal, a file that lies elsewhere or is no text.
        SecretMissing: a variable that is not set, a file that cannot be read, or nothing in it.
    """
    kind, colon, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    name = name.strip()
    if not colon or not name or kind not in ("env", "file"):
        raise UsageError(
            f"{where}: a secret does not stand in the file itself; write 'env:NAME' for an "
            "environment variable or 'file:PATH' for a file"
        )
    if kind == "env":
        text = environ.get(name)
        if text is None:
            raise SecretMissing(f"{where}: the environment variable {name} is not set")
        source = f"the environment variable {name}"
    else:
        path = folder / Path(name).expanduser()
        source = str(path)
        if not anywhere and not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{where}: {path} lies outside of the campaign file's folder; if you trust the "
                "campaign file, add --allow-file-secrets"
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise SecretMissing(f"{where}: {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{where}: {path} is not text") from None
    text = text.strip()
    if not text:
        raise SecretMissing(f"{where}: {source} is empty")
    return Secret(text)
