"""`token = "command:…"`: what the program prints is the token, and what it does wrong is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from promomsg.cli.campaign.token_command import TokenCommand
from promomsg.errors import NotSent, PromoError, UsageError


def program(folder: Path, text: str, **options: float) -> TokenCommand:
    (folder / "print_token.py").write_text(text)
    return TokenCommand([sys.executable, "print_token.py"], folder, **options)


@pytest.mark.asyncio
async def test_it_runs_beside_the_campaign_file_and_prints_the_token(tmp_path: Path) -> None:
    source = program(
        tmp_path,
        "import os\nprint('new-after-' + os.environ.get('PROMOMSG_STALE_TOKEN', 'none'))",
    )
    assert await source(None) == "new-after-none"
    assert await source("old") == "new-after-old"
    assert "print_token" not in repr(source)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("import sys; print('a-token'); sys.exit(3)", NotSent, "status 3"),
        ("import time; print('a-token', flush=True); time.sleep(60)", NotSent, "within 0.5 s"),
        ("", UsageError, "printed no token"),
        ("print('a-token and words')", UsageError, "printed no token"),
        ("print('a-token')\nprint('a-token')", UsageError, "printed no token"),
        ("print('a-token\\u4e00')", UsageError, "printed no token"),
        ("print('a-token' * 1000)", UsageError, "printed no token"),
    ],
)
async def test_what_is_no_token_is_said_without_being_quoted(
    text: str, kind: type[PromoError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said) as caught:
        await program(tmp_path, text, timeout=0.5 if "sleep" in text else 30.0)(None)
    assert "a-token" not in str(caught.value)


@pytest.mark.asyncio
async def test_a_program_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\./no-such-program cannot be run: No such file"):
        await TokenCommand(["./no-such-program"], tmp_path)(None)
