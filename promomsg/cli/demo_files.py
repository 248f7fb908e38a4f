"""The files of `promomsg demo`: made the same every time, so that an edited one can be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["PORT", "RESULTS", "SECRETS", "files_for", "folder_for", "write_files"]

PORT: Final = 8765
"""Where the demo's campaign files expect a sandbox of the user's own."""

RESULTS: Final = ("report.json", "failures.csv")
SECRETS: Final = ("appsecret.txt", "key.pem")
"""Made once and kept; readable by their owner only."""

_SANDBOX: Final = f"promomsg sandbox --port {PORT} --faults {{folder}}/sandbox.toml"

_WECHAT: Final = """\
# {what}
# It goes to a sandbox on this machine. Start one in another terminal:
#     {sandbox}
# For the real thing, take base_url out and put your own appid, secret and template in.
[campaign]
name = "{name}"
channel = "wechat"
recipients = "{recipients}"
{suppress}journal = "{name}.db"

[wechat]
appid = "wx0123456789abcdef"
secret = "file:appsecret.txt"      # or "env:WECHAT_SECRET"; a secret never stands here itself
base_url = "http://127.0.0.1:{port}"

[message]
msg_type = 1
path = "pages/index/index"

[message.content]
title = "今日优惠活动"
topic = "双十一大促"
desc = "{desc}"
date = "2022/10/28"

[pace]
singles_per_second = 50

[poll]                             # a sandbox is quick; leave this out for the real thing
first_after = "500ms"
every = "1s"
"""

_ALIPAY: Final = """\
# {what}
# It goes to a sandbox on this machine. Start one in another terminal:
#     {sandbox}
# For the real thing, put the wallet's base_url and keys and your template in; `promomsg keys`
# makes a key pair of your own.
[campaign]
name = "{name}"
channel = "alipay"
recipients = "{recipients}"
journal = "{name}.db"

[alipay]
client_id = "2020000000000001"
app_id = "P000000000000001demo"
private_key = "file:key.pem"
# public_key = "file:wallet.pem"   # the wallet's own; every sandbox makes itself a new one
verify = false                     # true for the real thing, with the public key above
base_url = "http://127.0.0.1:{port}/api"

[message]
template_code = "TP_5800000001demo"
redirect_url = "/page/sale"

[[message.templates]]
language = "en-US"
[message.templates.parameters]
who = "{{who}}"

[pace]
singles_per_second = 50
"""

_REFUSED: Final = range(100, 1_100, 83)
"""Promoters whom the demo's sandbox refuses."""


def files_for(channels: tuple[str, ...], folder: str) -> dict[str, str]:
    """The input files by name.

    Args:
        channels: `"wechat"`, `"alipay"` or both.
        folder: as the user would type it.
    """
    sandbox = _SANDBOX.format(folder=folder)
    files = {"sandbox.toml": _sandbox_file()}
    if "wechat" in channels:
        files |= {
            "autumn.toml": _WECHAT.format(
                what="A campaign of one text to many: one group send, polled to its end.",
                name="autumn",
                recipients="promoters.csv",
                suppress='suppress = "blocked.csv"\n',
                desc="三件五折",
                port=PORT,
                sandbox=sandbox,
            ),
            "promoters.csv": _promoters(),
            "blocked.csv": "id\n" + "".join(f"{_id(n)}\n" for n in range(40, 800, 40)),
            "vip.toml": _WECHAT.format(
                what="A personal campaign: each of these gets a text of their own, one by one.",
                name="vip",
                recipients="vip.csv",
                suppress="",
                desc="{name},三件五折",
                port=PORT,
                sandbox=sandbox,
            ),
            "vip.csv": "key,openid,name\n"
            + "".join(f"vip-{n:02d},oVIP{n:024d},会员{n}\n" for n in range(1, 31)),
        }
    if "alipay" in channels:
        files |= {
            "wallet.toml": _ALIPAY.format(
                what="A campaign to the users of a wallet's Mini Program, one by one.",
                name="wallet",
                recipients="wallet-users.csv",
                port=PORT,
                sandbox=sandbox,
            ),
            "wallet-users.csv": "key,access_token,who\n"
            + "".join(f"user-{n:02d},demo-token-{n:04d},Guest {n}\n" for n in range(1, 31)),
        }
    return files


def _id(number: int) -> str:
    return str(200_000 + number)


def _promoters() -> str:
    """1,200 rows: 1,180 promoters, and 20 of them twice."""
    rows = [f"p{n:04d},{_id(n)},推广员{n}\n" for n in range(1, 1_181)]
    rows += [f"p{n:04d},{_id(n)},推广员{n}\n" for n in range(50, 1_050, 50)]
    return "key,id,name\n" + "".join(rows)


def _sandbox_file() -> str:
    refused = "".join(f'"{_id(n)}" = 103010\n' for n in _REFUSED)
    return (
        "# What the demo's sandbox is told: whom it refuses, and how a group send goes on.\n"
        "[settings]\n"
        "poll_steps = [40, 80, 100]\n\n"
        f"[settings.refuse_group]\n{refused}\n"
        "[settings.refuse_single]\n"
        f'"oVIP{7:024d}" = 43101\n'
        f'"oVIP{19:024d}" = 40003\n\n'
        "[settings.user_results]\n"
        '"demo-token-0005" = "USER_NOT_SUBSCRIBED"\n'
    )


def folder_for(wanted: Path, channels: tuple[str, ...]) -> tuple[Path, list[str]]:
    """Where the demo may write: `wanted` when it is new or nothing in it was edited, else a
    numbered one beside it. Also returns the names of what was edited.
    """
    changed: list[str] = []
    folder, number = wanted, 1
    while True:
        edited = _edited(folder, files_for(channels, str(folder)))
        if not edited:
            return folder, changed
        changed = changed or edited
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")


def _edited(folder: Path, files: Mapping[str, str]) -> list[str]:
    if not folder.exists():
        return []
    if not folder.is_dir():
        return [folder.name]
    edited = []
    ours = False
    for name, text in files.items():
        try:
            there = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError:
            edited.append(name)
            continue
        if there == text.encode():
            ours = True
        else:
            edited.append(name)
    if not ours and not edited:
        # Somebody else's folder: nothing of it is a demo's.
        edited = [entry.name for entry in folder.iterdir() if entry.name in _TAKEN]
    # A demo that is being sent from there just now.
    return edited + [entry.name for entry in folder.glob("demo-*.db.lock")]


_TAKEN: Final = frozenset({*RESULTS, *SECRETS, "demo-autumn.db", "demo-vip.db", "demo-wallet.db"})


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes what is not there yet.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists():
            path.write_bytes(text.encode())
