"""`promomsg report --failure-file`: what the provider gave, byte by byte, from a file or a database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from campaigning import MESSAGE, QUICK, ids, wechat
from cli_campaigns import promomsg

import promomsg as package
from promomsg.sandbox import Sandbox


@pytest.mark.parametrize("kind", ["file", "fleet"])
def test_the_failure_file_of_a_group_comes_out_as_the_provider_gave_it(
    kind: str,
    served: Sandbox,
    postgres: str,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    served.settings.failure_format = "tsv"
    served.settings.refuse_group = dict.fromkeys(ids(1_500), 103010)
    fleet = package.Fleet(postgres)
    journal = fleet.journal("failures") if kind == "fleet" else tmp_path / "autumn.db"

    async def send() -> int:
        async with wechat(served) as channel:
            sent = await package.send(channel, MESSAGE, ids(2_000), journal=journal, **QUICK)
            return sent.failed

    assert asyncio.run(send()) == 1_500
    words = ("failures", "--fleet", postgres) if kind == "fleet" else (str(journal),)
    assert promomsg("report", *words, "--failure-file", "1") == 0
    out = capsysbinary.readouterr().out
    lines = out.decode().splitlines()
    assert sum("\t103010" in line for line in lines) == 1_500
    assert promomsg("report", *words, "--failure-file", "2") == 1
    assert b"no failure file of group 2 was kept" in capsysbinary.readouterr().err
    assert promomsg("report", *words, "--failure-file", "1", "--all") == 1
    assert b"leave out the other options" in capsysbinary.readouterr().err
    if kind == "fleet":
        fleet.journal("failures").discard()
