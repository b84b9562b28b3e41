"""``relayd nta7516``: what our organisations publish of NTA 7516, and what follows from what others publish."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.outside import SelfTestingResolver, as_others_see, domain_of
from relayd.cli.table import printable
from relayd.clock import Clock, SystemClock
from relayd.delivery.nta_hosts import nta_hosts
from relayd.delivery.routes import build_ways
from relayd.delivery.ways import NTA_TARGET, NoWay
from relayd.directory.directory import Directory, NtaEntry
from relayd.directory.load import build
from relayd.directory.nta7516 import NtaStanding, Published, standing, today
from relayd.directory.nta7516_dns import NtaDns
from relayd.dns.publish import txt_facts, zone_line
from relayd.dns.resolver import Resolver
from relayd.errors import RelaydError
from relayd.mail.address import Domain
from relayd.pipeline.verdict import MessageClass
from relayd.settings.explain import suggest
from relayd.settings.load import Loaded, load
from relayd.tls.decision import HostPlan

_EPILOG: Final = """\
examples:
  relayd nta7516 record hospital           the TXT records to publish for the organisation's domains
  relayd nta7516 check clinic.example      its record, DNSSEC, hosts and TLSA, and which way mail to it takes

The record is an organisation's own statement. Nobody certifies compliance with NTA 7516 any more, and relayd doesn't.
exit status: 0 the record counts today, or mail goes to the domain directly; 1 not
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``nta7516``."""
    parser = commands.add_parser(
        "nta7516",
        help="the Dutch norm for secure e-mail: record, check",
        description="What our organisations publish of NTA 7516, and what follows from what others publish.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    recording = actions.add_parser("record", help="print the DNS text that an organisation publishes")
    recording.add_argument("organisation", metavar="ORGANISATION", help="its id in organisations.yaml")
    recording.set_defaults(run=run_record)
    checking = actions.add_parser("check", help="look up a domain and say which way mail to it takes")
    checking.add_argument("domain", metavar="DOMAIN", help="a mail domain: what stands behind the @")
    checking.set_defaults(run=run_check)
    for action in (recording, checking):
        add_config(action)
        add_json(action)


def run_record(arguments: argparse.Namespace) -> int:
    """Print one record for each of the organisation's domains. Exit status 1 when it isn't valid today."""
    directory = build(load(Path(arguments.config)))
    organisation = directory.organisations.get(arguments.organisation)
    if organisation is None:
        hint = suggest(arguments.organisation, directory.organisations)
        raise RelaydError(f"there is no organisation {arguments.organisation}; {hint}")
    record = directory.nta_provider.own.get(organisation.id)
    if record is None:
        raise RelaydError(f"{organisation.id} isn't under own: in nta7516.yaml; add it with provider, start and end")
    domains = sorted(organisation.domains)
    valid = record.valid_on(today(SystemClock().now()))
    if arguments.json:
        records = [txt_facts(domain, str(record)) for domain in domains]
        span = {"start": record.start.isoformat(), "end": record.end.isoformat()}
        print_json({"records": records, **span, "valid_today": valid})
        return 0 if valid else 1
    for domain in domains:
        print(zone_line(domain, str(record)))
    print(f"\nOthers take it only from a zone signed with DNSSEC. It counts from {record.start} to {record.end}.")
    if not valid:
        print("That isn't today: until then mail to others goes to the Viewer.")
    return 0 if valid else 1


def run_check(arguments: argparse.Namespace) -> int:
    """Print what was found. Exit status 0 when mail of a compliant organisation would go to the domain directly."""
    domain, loaded = domain_of(arguments.domain), load(Path(arguments.config))
    seen = asyncio.run(examine(loaded, SelfTestingResolver(loaded.configuration), SystemClock(), domain))
    if arguments.json:
        print_json(seen.facts())
    else:
        print("\n".join(printable(line) for line in seen.lines()))
    return 0 if seen.direct else 1


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known about one domain. ``known`` is what the domainbook says of it, ``plans`` are the hosts that
    would be tried, or why there are none, ``senders`` those of our organisations that are compliant today."""

    domain: Domain
    known: str
    entry: NtaEntry | None
    published: Published
    standing: NtaStanding
    plans: tuple[HostPlan, ...] | NoWay
    senders: tuple[str, ...]

    @property
    def direct(self) -> bool:
        """Whether mail goes there by NTA 7516."""
        return not self.known and self.standing.compliant is True and any(one.demand for one in self._hosts)

    @property
    def _unknown(self) -> bool:
        """Whether DNS couldn't tell where to, or whether it is proven."""
        statuses = {self.plans.status} if isinstance(self.plans, NoWay) else {one.status for one in self.plans}
        return "4.4.3" in statuses

    @property
    def _hosts(self) -> tuple[HostPlan, ...]:
        return () if isinstance(self.plans, NoWay) else self.plans

    def follows(self) -> str:
        """Which way mail takes, in one sentence."""
        if self.known:
            return f"mail to {self.domain} goes where the domainbook says: {self.known}"
        if self.standing.compliant is None:
            return f"mail to {self.domain} waits, and is neither sent there nor to the Viewer, until DNS can tell"
        if not self.standing.compliant:
            return (
                f"mail to {self.domain} isn't sent by NTA 7516; later policies decide, and usually it is the Viewer's"
            )
        if not self.direct and self._unknown:
            return f"mail to {self.domain} waits until DNS can tell whether its hosts can be proven"
        if not self.direct:
            return f"no host of {self.domain} can be proven: its mail is usually the Viewer's, what is under way waits"
        whose = ", ".join(self.senders)
        if not whose:
            return f"{self.domain} is compliant, but none of our organisations is today: mail goes to the Viewer"
        return f"mail of {whose} goes to {self.domain} directly, by NTA 7516; everyone else's does not"

    def lines(self) -> Iterator[str]:
        """What was found, to read from top to bottom."""
        published, entry = self.published, self.entry
        dnssec = {True: "signed with DNSSEC", False: "not signed with DNSSEC", None: "resolver not tested yet"}
        yield f"DNS: {published.reading.text if published.answer.certain else published.answer}"
        if published.reading.record is not None:
            yield f"     {published.reading.record} ({dnssec[published.secure]})"
        if published.reading.ignored:
            yield f"     {published.reading.ignored} of its ntamx hosts can't be used and are passed over"
        if entry is not None:
            until = f" until {entry.until}" if entry.until else ""
            yield f"register: {'allow' if entry.allow else 'deny'}{until}: {entry.reason}"
        yield f"compliant: {_word(self.standing.compliant)}: {self.standing.reason}"
        for plan in self._hosts:
            yield f"host {plan.host}:{plan.port}: {'usable' if plan.demand else 'not usable now'}: {plan.reason}"
        if isinstance(self.plans, NoWay) and self.standing.compliant:
            yield f"hosts: {self.plans.reply}"
        yield f"→ {self.follows()}"

    def facts(self) -> dict[str, Any]:
        """The same for JSON."""
        published, entry = self.published, self.entry
        return {
            "domain": self.domain,
            "domainbook": self.known or None,
            "answer": published.answer.value,
            "dnssec": published.secure,
            "found": published.reading.found.value,
            "record": str(published.reading.record) if published.reading.record else None,
            "ignored_hosts": published.reading.ignored,
            "entry": {"allow": entry.allow, "reason": entry.reason, "until": entry.until} if entry else None,
            "compliant": self.standing.compliant,
            "reason": self.standing.reason,
            "hosts": [
                {"host": one.host, "port": one.port, "usable": one.demand is not None, "reason": one.reason}
                for one in self._hosts
            ],
            "senders": list(self.senders),
            "direct": self.direct,
            "follows": self.follows(),
        }


async def examine(loaded: Loaded, resolver: Resolver, clock: Clock, domain: Domain) -> Seen:
    """Look the domain up, and its hosts where it is compliant."""
    directory, day = build(loaded), today(clock.now())
    published = await NtaDns(resolver).look_up(domain)
    entry = directory.nta.get(domain)
    current = entry if entry is not None and entry.counts_on(day) else None
    found = current.standing if current is not None else standing(published, day)
    plans: tuple[HostPlan, ...] | NoWay = ()
    if found.compliant:
        hosts = nta_hosts(resolver, clock)
        ways = build_ways(
            as_others_see(loaded.configuration, directory, domain), directory, resolver, clock, nta_hosts=hosts
        )
        plans = await ways.plan(f"{NTA_TARGET}{domain}", domain, MessageClass.CONFIDENTIAL)
    senders = tuple(sorted(name for name, own in directory.nta_provider.own.items() if own.valid_on(day)))
    return Seen(domain, _known(directory, domain), entry, published, found, plans, senders)


def _known(directory: Directory, domain: Domain) -> str:
    book = directory.domainbook.get(domain)
    return "" if book is None else ", ".join(book.next_hops) or book.delivers.value


def _word(compliant: bool | None) -> str:
    return "unknown" if compliant is None else "yes" if compliant else "no"
