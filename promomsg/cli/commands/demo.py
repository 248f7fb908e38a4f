"""`demo`: three campaigns over HTTP to a sandbox in this process; reports and files are left."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from promomsg.cli.demo_files import PORT, files_for, folder_for, write_files
from promomsg.cli.exit_status import ALL_SENT, FAILURES
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.language.terminal_language import _
from promomsg.cli.output.printing import print_line, print_to_stderr
from promomsg.errors import UsageError

__all__ = ["demo"]

_CAMPAIGNS: Final = {"wechat": ("autumn", "vip"), "alipay": ("wallet",)}


@click.command(short_help="Send three sample campaigns to a sandbox on this machine.")
@click.option(
    "--channel", type=click.Choice(("wechat", "alipay")), help="Only this one; default both."
)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), default=Path("promomsg-demo"),
    help="Where to leave the files; default promomsg-demo.",
)  # fmt: skip
def demo(channel: str | None, folder: Path) -> int:
    """Send three campaigns to a sandbox on this machine, and leave their files to go on with."""
    channels = ("wechat", "alipay") if channel is None else (channel,)
    place, edited = folder_for(folder, channels)
    if edited:
        print_to_stderr(
            f"{folder}: {', '.join(sorted(edited)[:5])} is yours and stays; using {place}"
        )
    try:
        write_files(place, files_for(channels, str(place)))
        _secrets(place, channels)
    except OSError as error:
        raise UsageError(f"{error.filename or place} cannot be written: {error.strerror}") from None
    return run_async(lambda interrupts: _demo(place, channels, interrupts))


def _secrets(place: Path, channels: tuple[str, ...]) -> None:
    from promomsg.private_files import write_private

    if "wechat" in channels and not (place / "appsecret.txt").exists():
        write_private(place / "appsecret.txt", b"demo-appsecret-of-nobody\n")
    if "alipay" in channels and not (place / "key.pem").exists():
        from promomsg.alipay.signing import make_key_pair

        pair = make_key_pair()
        write_private(place / "key.pem", pair.private_pem.reveal().encode())


async def _demo(place: Path, channels: tuple[str, ...], interrupts: Interrupts) -> int:
    from promomsg.journal.locate import ALL_ENDINGS
    from promomsg.sandbox import FaultPlan, Sandbox

    names = [name for channel in channels for name in _CAMPAIGNS[channel]]
    first: Path | None = None
    box = Sandbox(faults=FaultPlan.load(place / "sandbox.toml"))
    async with box:
        print_line(f"a sandbox of both providers listens on {box.url}; nothing leaves this machine")
        for name in names:
            print_line()
            journal = place / f"demo-{name}.db"
            for side in ("", *ALL_ENDINGS):
                journal.with_name(journal.name + side).unlink(missing_ok=True)
            status = await _send(place / f"{name}.toml", journal, box, interrupts)
            if status not in (ALL_SENT, FAILURES):
                return status
            first = first or journal
    assert first is not None
    _leave(place, first, names)
    return 0


async def _send(file: Path, journal: Path, box: Any, interrupts: Interrupts) -> int:
    import msgspec

    from promomsg.cli.campaign.campaign_file import load_campaign
    from promomsg.cli.campaign.to_engine import open_channel, options_of, recipients_of
    from promomsg.cli.drive_campaign import SendOptions, plan_and_send
    from promomsg.cli.output.printing import command_line
    from promomsg.engine.campaign import Campaign

    campaign: Any = load_campaign(file, journal=journal)
    # The file names the port of a sandbox that the user may start; this one has another.
    here: dict[str, Any] = {"base_url": box.url}
    if campaign.channel == "alipay":
        here = {
            "base_url": f"{box.url}/api", "public_key": box.alipay_public_key, "verify": True,
        }  # fmt: skip
    campaign = msgspec.structs.replace(
        campaign, account=msgspec.structs.replace(campaign.account, **here)
    )
    options = SendOptions(yes=True, as_json=False, resume_with=command_line("resume", str(journal)))
    async with open_channel(campaign) as channel:
        sending = Campaign(
            channel,
            campaign.message,
            recipients_of(campaign),
            name=campaign.name,
            journal=journal,
            suppress=campaign.suppress,
            campaign_file=str(campaign.path),
            **options_of(campaign),
        )
        return await plan_and_send(sending, options, interrupts)


def _leave(place: Path, journal: Path, names: list[str]) -> None:
    """The reports, and what to do next."""
    from promomsg.cli.output.printing import command_line, private_file
    from promomsg.cli.output.report_writer import write_report
    from promomsg.report_formats.contents import NOT_SENT

    with private_file(place / "report.json") as file:
        write_report(journal, "json", None, file)
    with private_file(place / "failures.csv") as file:
        write_report(journal, "csv", NOT_SENT, file)
    campaign = place / f"{names[0]}.toml"
    print_line()
    print_line(f"left in {place}: campaign files, recipients, journals (demo-*.db), report.json,")
    print_line(f"failures.csv; the reports are of {journal.name}")
    print_line(_("next:"))
    print_line(f"  1. edit {campaign}")
    print_line(
        f"  2. {command_line('sandbox', '--port', str(PORT), '--faults', str(place / 'sandbox.toml'))}"
    )
    print_line("     (in another terminal; or put your own account into the file)")
    print_line(f"  3. {command_line('send', str(campaign))}")
