"""``scripts/internet-nl DOMAIN``: the mail checks of internet.nl that can be run here, and their points."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict

from relayd.cli.table import table
from relayd.dns.records import MailHosts
from relayd.dns.resolver import DnsResolver, Resolver
from relayd.errors import SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.settings.values import address_and_port
from scripts.lib.internet_nl.names import authenticity, dnssec
from scripts.lib.internet_nl.score import ELSEWHERE, Category, Check, category_score, failed, total, worst_of
from scripts.lib.internet_nl.servers import MOST_SERVERS, look_at_server

_DESCRIPTION = """\
Runs the checks of internet.nl's mail test that need no more than a validating resolver and a connection to the mail
servers, by the rules of internet.nl 1.11, and prints their points. Not run here, since they tell how the rest of the
world reaches a network: IPv6 and RPKI. So 100 % here is the mean of three of internet.nl's five categories.
Exit status 1 below full marks, 2 when the call itself was wrong.
"""
_EPILOG = """\
examples:
  scripts/internet-nl clinic.example
  scripts/internet-nl clinic.example --resolver 127.0.0.1:5353 --port 2525
  scripts/internet-nl clinic.example --json
"""


async def run(resolver: Resolver, domain: str, port: int) -> list[Check]:
    """All checks."""
    name = normalise_domain(domain)
    hosts = await resolver.mail_hosts(name)
    checks = [check async for check in dnssec(resolver, name, hosts)]
    checks += [check async for check in authenticity(resolver, name)]
    if not hosts.answer.certain:
        return [*checks, failed(Category.TRANSPORT, "STARTTLS", f"the mail servers can't be known: {hosts.answer}")]
    # One connection at a time, as internet.nl does.
    checks += worst_of([await look_at_server(resolver, host, port) for host in _servers(hosts)])
    return checks


def _servers(hosts: MailHosts) -> tuple[str, ...]:
    """Nothing stands in for an absent MX here."""
    return () if hosts.null or hosts.implicit else hosts.hosts[:MOST_SERVERS]


def _print(checks: list[Check]) -> None:
    for category in Category:
        of_category = [check for check in checks if check.category is category]
        if not of_category:
            print(f"{category}: not run: the domain has no mail server\n")
            continue
        head = (category.value, "", f"{float(category_score(of_category)):.0%}", "")
        print(table(head, [_row(check) for check in of_category]), end="\n\n")
    for category_name, what in ELSEWHERE.items():
        print(f"{category_name}: not run here: {what}")
    print(f"\n{float(total(checks)):.0%} of the categories that were run")


def _row(check: Check) -> tuple[str, str, str, str]:
    return check.name, check.status, f"{check.points}/{check.most}" if check.most else "", check.detail


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/internet-nl",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("domain", metavar="DOMAIN")
    parser.add_argument("--resolver", default="127.0.0.1", metavar="ADDRESS[:PORT]", help="validates (%(default)s)")
    parser.add_argument("--port", type=int, default=25, help="of the mail servers, and in TLSA names (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    arguments = parser.parse_args()
    try:
        resolver = DnsResolver(*address_and_port(arguments.resolver))
        domain = normalise_domain(arguments.domain)
    except (ValueError, SyntaxInvalid) as error:
        parser.error(str(error))
    checks = asyncio.run(run(resolver, domain, arguments.port))
    if arguments.json:
        facts = {"score": float(total(checks)), "not_run": list(ELSEWHERE), "checks": [asdict(one) for one in checks]}
        json.dump(facts, sys.stdout, indent=2)
        print()
    else:
        _print(checks)
    return 0 if total(checks) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
