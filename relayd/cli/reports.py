"""``relayd reports``: what others report about our domains, and what became of our own reports."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import msgspec

from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.connect import configuration_of, with_store
from relayd.cli.table import printable, table
from relayd.cli.times import iso, local, moment
from relayd.errors import ConfigurationError, Problem, SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.reporting.read import read_mail, read_report
from relayd.reporting.summary import DmarcLine, Summary, TlsLine
from relayd.reporting.unpack import MOST_PACKED
from relayd.store.interface import Store
from relayd.store.report_counts import ReportFate, day_of
from relayd.store.report_received import Received, Wanted

_EPILOG: Final = """\
examples:
  relayd reports list                                received reports, the latest days first
  relayd reports list --domain clinic.example --kind tls --since 2026-11-20
  relayd reports list --kind unreadable              what came to the address and is no report
  relayd reports list --sent --json                  what became of our own
  relayd reports show 17                             sessions or sources with their results
  relayd reports read report.xml.gz                  the same for a file: .json, .xml, .gz, .zip or a mail

What to publish so that others report: relayd records DOMAIN.
exit status: 0 done, 1 nothing matches, or the file holds no report
"""
_KINDS: Final = ("tls", "dmarc", "unreadable")
_summary = msgspec.json.Decoder(Summary)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``reports``."""
    parser = commands.add_parser(
        "reports",
        help="TLS and DMARC reports of others, and our own",
        description="Look at the TLS reports (RFC 8460) and DMARC aggregate reports (RFC 9990) that others sent about "
        "our domains, and at what became of ours. docs/reports.md says how they come and go.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="received reports, or our own with --sent")
    listed.add_argument("--domain", type=_domain, help="about this domain only")
    listed.add_argument("--kind", choices=_KINDS)
    listed.add_argument("--since", type=moment, help="2026-11-23: about this day or a later one")
    listed.add_argument("--limit", type=int, default=100, help="at most so many (100)")
    listed.add_argument("--sent", action="store_true", help="our own reports of the last 30 days")
    listed.set_defaults(run=run_list)
    show = actions.add_parser("show", help="one of them, line by line")
    show.add_argument("id", metavar="ID", type=int)
    show.set_defaults(run=run_show)
    read = actions.add_parser("read", help="read a report from a file")
    read.add_argument("file", metavar="FILE", type=Path)
    read.set_defaults(run=run_read)
    for action in (listed, show, read):
        if action is not read:
            add_config(action)
        add_json(action)


def run_list(arguments: argparse.Namespace) -> int:
    """Print what matches; exit status 1 when nothing does."""
    return _list_sent(arguments) if arguments.sent else _list_received(arguments)


def _list_received(arguments: argparse.Namespace) -> int:
    wanted = Wanted(kind=arguments.kind, domain=arguments.domain, since=arguments.since, limit=arguments.limit)

    async def work(store: Store) -> list[Received]:
        found: list[Received] = await store.call("reports_received", wanted=wanted)
        return found

    found = with_store(configuration_of(arguments.config), work)
    if arguments.json:
        print_json([_received_json(one) for one in found])
    elif not found:
        print("no report matches")
    else:
        head = ("ID", "DAY", "KIND", "DOMAIN", "FROM", "PROVEN", "GOOD", "BAD")
        print(table(head, [_received_row(one) for one in found]))
    return 0 if found else 1


def _received_row(one: Received) -> tuple[str, ...]:
    if one.kind == "unreadable":
        return (str(one.id), day_of(one.at), one.kind, "-", f"mail {one.message_id}", "-", "-", one.detail)
    numbers = (str(one.good), str(one.bad))
    return (str(one.id), day_of(one.begins), one.kind, one.domain, one.organisation, one.proven or "-", *numbers)


def _received_json(one: Received) -> dict[str, Any]:
    named: dict[str, Any] = {"id": one.id, "kind": one.kind, "message": one.message_id, "received_at": iso(one.at)}
    if one.kind == "unreadable":
        return named | {"reason": one.detail}
    return named | {
        "organisation": one.organisation,
        "proven": one.proven,
        "report_id": one.report_id,
        "domain": one.domain,
        "begin": iso(one.begins),
        "end": iso(one.ends),
        "good": one.good,
        "bad": one.bad,
    }


def _list_sent(arguments: argparse.Namespace) -> int:
    since = day_of(arguments.since or 0.0)

    async def work(store: Store) -> list[ReportFate]:
        found: list[ReportFate] = await store.call("report_fates", since=since, domain=arguments.domain)
        return found

    fates = with_store(configuration_of(arguments.config), work)
    found = [one for one in fates if arguments.kind in (None, one.kind)][: arguments.limit]
    if arguments.json:
        print_json([msgspec.to_builtins(one) | {"due": iso(one.due)} for one in found])
    elif not found:
        print("no report matches")
    else:
        rows = [
            (one.day, one.kind, one.domain, one.state, str(one.tries), local(one.due) if one.state == "due" else "")
            for one in found
        ]
        print(table(("DAY", "KIND", "DOMAIN", "STATE", "TRIES", "NEXT"), rows))
        for day, kind, uncounted in sorted({(one.day, one.kind, one.uncounted) for one in found if one.uncounted}):
            print(f"{day} {kind}: {uncounted} results weren't counted, since there were too many different ones")
    return 0 if found else 1


def run_show(arguments: argparse.Namespace) -> int:
    """Print one received report."""

    async def work(store: Store) -> Received:
        found: Received = await store.call("report_received", id=arguments.id)
        return found

    found = with_store(configuration_of(arguments.config), work)
    if found.kind == "unreadable":
        if arguments.json:
            print_json(_received_json(found))
        else:
            print(f"mail {found.message_id} of {local(found.at)} can't be read as a report: {printable(found.detail)}")
        return 0
    summary = _summary.decode(found.detail)
    if arguments.json:
        print_json(_received_json(found) | _summary_json(summary))
    else:
        proven = f"proven to come from {found.proven}" if found.proven else "and nothing proves who sent it"
        print(f"received {local(found.at)} in mail {found.message_id}, {proven}")
        _print_summary(summary)
    return 0


def run_read(arguments: argparse.Namespace) -> int:
    """Print the report in a file; exit status 1 when it is none."""
    try:
        with arguments.file.open("rb") as file:
            data = file.read(2 * MOST_PACKED)
    except OSError as error:
        raise ConfigurationError([Problem(arguments.file, None, "", f"can't be read: {error.strerror}")]) from None
    try:
        summary = _read_file(data)
    except SyntaxInvalid as error:
        raise ConfigurationError([Problem(arguments.file, None, "", f"can't be read as a report: {error}")]) from None
    if arguments.json:
        print_json(_summary_json(summary))
    else:
        _print_summary(summary)
    return 0


def _read_file(data: bytes) -> Summary:
    try:
        return read_report(data)
    except SyntaxInvalid as error:
        try:
            return read_mail(data)
        except SyntaxInvalid as in_mail:
            raise (error if data.startswith((b"\x1f\x8b", b"PK", b"{", b"<")) else in_mail) from None


def _summary_json(summary: Summary) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(summary)
    return value | {"begin": iso(summary.begin), "end": iso(summary.end)}


def _print_summary(summary: Summary) -> None:
    what = "sessions" if summary.kind == "tls" else "messages"
    print(f"{summary.kind} report on {summary.domain} by {printable(summary.organisation)}, {summary.report_id}")
    print(f"{iso(summary.begin)} to {iso(summary.end)}; policy: {printable(summary.policy)}")
    print(f"{summary.good} {what} good, {summary.bad} bad")
    tls = [line for line in summary.lines if isinstance(line, TlsLine)]
    dmarc = [line for line in summary.lines if isinstance(line, DmarcLine)]
    if tls:
        head = ("COUNT", "RESULT", "POLICY", "HOST", "ADDRESS", "REASON")
        rows = [(str(one.count), one.result, one.policy, one.host, one.address, one.reason) for one in tls]
        print(f"\n{table(head, rows)}")
    if dmarc:
        head = ("COUNT", "SOURCE", "FROM", "DONE", "DKIM", "SPF")
        print(f"\n{table(head, [_dmarc_row(one) for one in dmarc])}")
    if summary.omitted:
        print(f"and {summary.omitted} lines with smaller counts")


def _dmarc_row(one: DmarcLine) -> tuple[str, ...]:
    dkim = " ".join(("aligned" if one.dkim_aligned else "no", *one.dkim))
    spf = " ".join(("aligned" if one.spf_aligned else "no", *one.spf))
    done = " ".join((one.disposition, *one.reasons))
    return str(one.count), one.source, one.header_from, done, dkim, spf


def _domain(text: str) -> str:
    try:
        return normalise_domain(text)
    except SyntaxInvalid:
        raise argparse.ArgumentTypeError("expected a domain such as clinic.example") from None
