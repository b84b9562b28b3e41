"""``relayd spf``: may this address send for that domain, and how does SPF come to that?"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from relayd.authenticity.results import Result
from relayd.authenticity.spf import MOST_LOOKUPS, MOST_VOID_LOOKUPS, check_host
from relayd.authenticity.spf_question import SpfCheck, SpfQuestion, question
from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.table import printable
from relayd.clock import SystemClock
from relayd.dns.resolver import DnsResolver
from relayd.errors import RelaydError, SyntaxInvalid
from relayd.mail.address import NULL_SENDER, parse_address
from relayd.settings.load import load
from relayd.settings.values import address_and_port

_EPILOG: Final = """\
examples:
  relayd spf 192.0.2.7 partner.example          may this server send mail from partner.example?
  relayd spf 192.0.2.7 jan@partner.example --helo mail.partner.example
  relayd spf 2001:db8::7 '' --helo mail.partner.example
                                                a report, which has no sender: the server's own name counts
  relayd spf 192.0.2.7 partner.example --json

Each line is one term, with the questions that it asked of DNS below it.
exit status: 0 pass, 1 any other result
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``spf``."""
    parser = commands.add_parser(
        "spf",
        help="may this address send for that domain, and why?",
        description="Evaluate SPF (RFC 7208) as if a message came in now, and show each term on the way to the result.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("address", metavar="IP", help="the server that sends")
    parser.add_argument("sender", metavar="FROM", help="envelope sender or its domain; '' for none")
    parser.add_argument("--helo", default="", metavar="NAME", help="what the server calls itself")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the result and the way to it."""
    configuration = load(Path(arguments.config)).configuration
    asked = _question(arguments, configuration.hostname)
    resolver = DnsResolver(*address_and_port(configuration.resolver))
    found = asyncio.run(_check(resolver, asked))
    if arguments.json:
        print_json(facts(asked, found))
    else:
        print("\n".join(printable(line) for line in describe(asked, found)))
    return 0 if found.spf.result is Result.PASS else 1


async def _check(resolver: DnsResolver, asked: SpfQuestion) -> SpfCheck:
    return await check_host(resolver, asked, explain=True)


def _question(arguments: argparse.Namespace, receiver: str) -> SpfQuestion:
    try:
        address = ip_address(arguments.address)
    except ValueError:
        raise RelaydError(f"{arguments.address} isn't an IP address") from None
    text = arguments.sender.strip("<>")
    if not text and not arguments.helo:
        raise RelaydError("without a sender the server's own name counts: give it with --helo")
    try:
        sender = parse_address(text if "@" in text else f"postmaster@{text}") if text else NULL_SENDER
    except SyntaxInvalid as error:
        raise RelaydError(f"{arguments.sender} is neither an address nor a domain: {error}") from None
    return question(address, sender, arguments.helo, receiver, SystemClock().now())


def describe(asked: SpfQuestion, found: SpfCheck) -> Iterator[str]:
    """The check in lines to read from top to bottom."""
    identity = "EHLO" if asked.is_helo else "MAIL FROM"
    yield f"{identity} {asked.domain or '(nothing)'}, sent by {asked.address}"
    for step in found.steps:
        indent = "    " * step.depth + "  "
        yield f"{indent}{step.domain}: {step.term + ' – ' if step.term else ''}{step.outcome}"
        yield from (f"{indent}    {one}" for one in step.asked)
    yield ""
    yield f"result: {found.spf.result}{f' ({found.spf.reason})' if found.spf.reason else ''}"
    if found.explanation:
        yield f"{asked.domain} explains: {found.explanation}"
    yield (
        f"terms that asked DNS: {found.lookups} of {MOST_LOOKUPS}; in vain: {found.void_lookups} of {MOST_VOID_LOOKUPS}"
    )


def facts(asked: SpfQuestion, found: SpfCheck) -> dict[str, Any]:
    """Plain data for JSON."""
    return {
        "address": str(asked.address),
        "identity": "helo" if asked.is_helo else "mailfrom",
        "domain": asked.domain,
        "result": found.spf.result.value,
        "reason": found.spf.reason,
        "explanation": found.explanation,
        "lookups": found.lookups,
        "void_lookups": found.void_lookups,
        "steps": [asdict(step) for step in found.steps],
    }
