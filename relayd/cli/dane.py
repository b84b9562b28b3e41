"""``relayd dane``: what a domain publishes of DANE, and what follows for mail that goes there by MX."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relayd.cli.common import add_config, add_json, port_number, print_json
from relayd.cli.outside import SelfTestingResolver, domain_of, ways_now
from relayd.cli.table import printable
from relayd.delivery.ways import NoWay, Plans, Ways
from relayd.directory.load import build
from relayd.dns.hosts import HostFacts
from relayd.dns.records import Validation
from relayd.dns.validation import Tested
from relayd.mail.address import Domain
from relayd.pipeline.verdict import MessageClass
from relayd.settings.load import load
from relayd.tls.dane import usable
from relayd.tls.decision import World
from relayd.tls.demand import Security

_EPILOG: Final = """\
examples:
  relayd dane clinic.example             as seen by a delivery; a domain of our own as others see it
  relayd dane clinic.example --json
exit status: 0 when every mail host is proven by DANE, 1 when one isn't
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``dane``."""
    parser = commands.add_parser(
        "dane",
        help="look up a domain's mail hosts and TLSA records, and say what follows",
        description="Look up a domain's MX, the hosts' addresses and TLSA records, whether DNSSEC vouches for each, "
        "and say what mail that goes there by MX has to be shown. Connects to no mail server: relayd dial does.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("domain", metavar="DOMAIN", help="a mail domain: what stands behind the @")
    parser.add_argument("--port", type=port_number, default=25, help="the port that mail hosts listen on (default: 25)")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was found."""
    loaded = load(Path(arguments.config))
    resolver = SelfTestingResolver(loaded.configuration)
    domain = domain_of(arguments.domain)
    ways = ways_now(loaded, resolver, arguments.port, to=domain)
    book = build(loaded).domainbook.get(domain)
    elsewhere = "" if book is None else ", ".join(book.next_hops) or f"a {book.delivers} here"
    seen = asyncio.run(examine(domain, elsewhere, resolver, ways))
    if arguments.json:
        print_json(seen.facts())
    else:
        print("\n".join(printable(line) for line in seen.lines()))
    return 0 if seen.proven else 1


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known about one domain. ``elsewhere`` is where the domainbook sends its mail, "" for nowhere."""

    domain: Domain
    elsewhere: str
    resolver: Tested
    world: World | None
    hosts: tuple[HostFacts, ...]
    ordinary: Plans
    confidential: Plans

    @property
    def proven(self) -> bool:
        """Whether every host must, and can, be proven by DANE."""
        plans = () if isinstance(self.confidential, NoWay) else self.confidential
        return bool(plans) and all(one.demand and one.demand.security is Security.DANE for one in plans)

    def lines(self) -> Iterator[str]:
        """What was found, to read from top to bottom."""
        if self.resolver.validation is not Validation.ON:
            yield f"resolver: validation is {self.resolver.validation}: {self.resolver.reason}"
        if self.elsewhere:
            yield f"domainbook: mail to {self.domain} goes to {self.elsewhere}; what follows is about mail by MX"
        if self.world is not None:
            found = self.world.mail_hosts
            what = "no MX: the domain is its own mail host" if found.implicit else f"MX: {', '.join(found.hosts)}"
            yield f"{what} ({_word(found.secure)})"
            if self.world.override is not None:
                yield f"override: {self.world.override}"
        for facts in self.hosts:
            yield from self._host(facts)
        yield f"→ {self.follows()}"

    def _host(self, facts: HostFacts) -> Iterator[str]:
        yield ""
        yield facts.host
        addresses = facts.addresses
        yield f"  addresses: {', '.join(addresses.addresses) or addresses.answer} ({_word(addresses.secure)})"
        if facts.tlsa is None:
            yield "  TLSA: not asked for, since the host's name isn't in a zone that DNSSEC vouches for"
        else:
            answer = "" if facts.tlsa.values else f" {facts.tlsa.answer}"
            yield f"  TLSA at _{facts.port}._tcp.{facts.base}:{answer} ({_word(facts.tlsa.secure)})"
            kept = usable(facts.tlsa.values)
            for record in facts.tlsa.values:
                yield f"    {record}{'' if record in kept else '  (unusable, or a stronger digest stands beside it)'}"
        for name, plans in (("ordinary", self.ordinary), ("confidential", self.confidential)):
            for plan in () if isinstance(plans, NoWay) else plans:
                if plan.host == facts.host:
                    what = plan.demand.security if plan.demand else f"not used now ({plan.status})"
                    yield f"  {name} mail: {what}: {plan.reason}"

    def follows(self) -> str:
        """What it comes to, in one sentence."""
        if isinstance(self.confidential, NoWay):
            return f"no mail goes to {self.domain} by MX: {self.confidential.reply}"
        demanded = [plan.demand for plan in self.confidential if plan.demand is not None]
        if not demanded:
            return f"confidential mail can't go to {self.domain} by MX now"
        by = " and ".join(sorted({"DANE" if one.security is Security.DANE else "MTA-STS" for one in demanded}))
        which = "every mail host" if len(demanded) == len(self.confidential) else "some of the mail hosts"
        return f"{which} of {self.domain} must prove itself by {by}; confidential mail may go there by MX"

    def facts(self) -> dict[str, Any]:
        """The same for JSON."""
        found = self.world.mail_hosts if self.world is not None else None
        return {
            "domain": self.domain,
            "domainbook": self.elsewhere or None,
            "resolver": {"validation": self.resolver.validation.value, "reason": self.resolver.reason},
            "mx": {"hosts": found.hosts, "implicit": found.implicit, "secure": found.secure} if found else None,
            "override": str(self.world.override) if self.world and self.world.override else None,
            "hosts": [_host_facts(facts) for facts in self.hosts],
            "ordinary": plan_facts(self.ordinary),
            "confidential": plan_facts(self.confidential),
            "proven": self.proven,
            "follows": self.follows(),
        }


def _host_facts(facts: HostFacts) -> dict[str, Any]:
    addresses, tlsa = facts.addresses, facts.tlsa
    kept = usable(tlsa.values) if tlsa is not None else ()
    return {
        "host": facts.host,
        "addresses": {"answer": addresses.answer, "found": addresses.addresses, "secure": addresses.secure},
        "tlsa": None
        if tlsa is None
        else {
            "base": facts.base,
            "answer": tlsa.answer,
            "secure": tlsa.secure,
            "records": [{"record": str(record), "usable": record in kept} for record in tlsa.values],
        },
    }


def plan_facts(plans: Plans) -> list[dict[str, Any]] | dict[str, Any]:
    """Plans for JSON: what each host must show, or why it isn't used."""
    if isinstance(plans, NoWay):
        return {"status": plans.status, "reason": plans.reply}
    return [
        {
            "host": plan.host,
            "port": plan.port,
            "demand": plan.demand.security if plan.demand else None,
            "proven": plan.proven,
            "status": plan.status or None,
            "reason": plan.reason,
        }
        for plan in plans
    ]


async def examine(domain: Domain, elsewhere: str, resolver: SelfTestingResolver, ways: Ways) -> Seen:
    """Ask DNS, and MTA-STS where DANE leaves something open."""
    looked = await ways.look(domain)
    world, hosts = (None, ()) if isinstance(looked, NoWay) else looked
    ordinary = await ways.plan("", domain, MessageClass.ORDINARY)
    confidential = await ways.plan("", domain, MessageClass.CONFIDENTIAL)
    return Seen(domain, elsewhere, await resolver.tested(), world, hosts, ordinary, confidential)


def _word(secure: bool) -> str:
    return "secure" if secure else "not secure"
