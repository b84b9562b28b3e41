"""``relayd mta-sts``: what a domain's MTA-STS policy is, what follows from it, and what to publish for our own."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.connect import open_store, with_store
from relayd.cli.outside import domain_of
from relayd.cli.records import tls_record
from relayd.cli.table import printable
from relayd.cli.times import iso, relative, span
from relayd.clock import Clock, SystemClock
from relayd.directory.load import build
from relayd.dns.publish import txt_facts, zone_line
from relayd.dns.records import MailHosts
from relayd.dns.resolver import DnsResolver, Resolver
from relayd.errors import RelaydError, StoreUnavailable
from relayd.mail.address import Domain
from relayd.settings.load import Loaded, load
from relayd.settings.values import address_and_port
from relayd.store.interface import Store
from relayd.tls.mta_sts import PATH, StsFetch, StsReason, StsRecord, policy_host, policy_lines, record_name
from relayd.tls.sts_cache import Kept
from relayd.tls.sts_fetch import StsSource, sts_source
from relayd.tls.sts_policy import StsMode, StsPolicy
from relayd.tls.sts_publish import published

_EPILOG: Final = """\
examples:
  relayd mta-sts clinic.example                record, policy, what is kept, what follows for each mail host
  relayd mta-sts clinic.example --purge        forget what is kept; the next mail fetches the policy anew
  relayd mta-sts hospital.example --publish    the DNS records and the policy file of a domain of our own

The policy is fetched for this look alone; what relayd keeps of it stays as it is.
exit status: 0 a policy is in force (or: was forgotten, is published), 1 not
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``mta-sts``."""
    parser = commands.add_parser(
        "mta-sts",
        help="MTA-STS of a domain: look, forget what is kept, publish our own",
        description="What a domain's MTA-STS policy (RFC 8461) is, and what follows from it for mail to the domain.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("domain", metavar="DOMAIN", help="a mail domain: what stands behind the @")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--purge", action="store_true", help="forget the policy that is kept")
    instead.add_argument("--publish", action="store_true", help="print what to publish for a domain of our own")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look, purge or publish."""
    domain = domain_of(arguments.domain)
    loaded = load(Path(arguments.config))
    if arguments.publish:
        return _publish(loaded, domain, as_json=arguments.json)
    if arguments.purge:
        return _purge(loaded, domain, as_json=arguments.json)
    configuration = loaded.configuration
    resolver = DnsResolver(*address_and_port(configuration.resolver))
    return show(loaded, domain, sts_source(configuration, resolver), resolver, SystemClock(), as_json=arguments.json)


# looking


@dataclass(frozen=True, slots=True)
class Look:
    """All that is known of one domain at ``now``. ``fetched`` is None where no record names a policy, ``kept`` where
    nothing is kept or the store can't be asked, for which there is ``store_problem``."""

    domain: Domain
    record: StsRecord
    fetched: StsFetch | None
    kept: Kept | None
    hosts: MailHosts
    now: float
    store_problem: str = ""

    @property
    def in_force(self) -> StsPolicy | None:
        """What mail of this moment goes by: the fresh policy, else the kept one (RFC 8461 §5.1)."""
        if self.fetched is not None and self.fetched.policy is not None:
            return self.fetched.policy
        return self.kept.live(self.now) if self.kept is not None else None

    @property
    def counts(self) -> bool:
        return self.in_force is not None and self.in_force.mode is not StsMode.NONE

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"record    {record_name(self.domain)}: {_found(self.record.reason, f'id {self.record.id}', self.record)}"
        if self.fetched is not None:
            policy = self.fetched.policy
            said = "; ".join(policy_lines(policy)[1:]) if policy is not None else ""
            url = f"https://{policy_host(self.domain)}{PATH}"
            yield f"policy    {url}: {_found(self.fetched.reason, said, self.fetched)}"
        yield f"kept      {self._kept_in_words()}"
        yield f"in force  {self._force_in_words()}"
        if not self.hosts.hosts:
            yield f"hosts     none: {'null MX' if self.hosts.null else self.hosts.answer}"
        for host in self.hosts.hosts:
            yield f"host      {host}: {self.follows(host)}"

    def _kept_in_words(self) -> str:
        kept = self.kept
        if kept is None:
            return self.store_problem or "nothing"
        words = []
        if kept.policy:
            words.append(f"id {kept.id}, fetched {relative(kept.fetched_at, self.now)}")
            words.append(
                f"{'expires' if kept.expires_at > self.now else 'expired'} {relative(kept.expires_at, self.now)}"
            )
        if kept.failure:
            words.append(f"the last try, {relative(kept.tried_at, self.now)}, failed: {kept.failure}")
        return ", ".join(words)

    def _force_in_words(self) -> str:
        policy = self.in_force
        if policy is None:
            return "no policy"
        origin = "fetched now" if self.fetched is not None and self.fetched.policy is not None else "the kept one"
        return f"mode {policy.mode}, id {policy.id}, {origin}"

    def follows(self, host: str) -> str:
        """What the policy means for one mail host. DANE comes first where the host has it, and isn't looked at here."""
        policy = self.in_force
        if policy is None or policy.mode is StsMode.NONE:
            return "MTA-STS asks nothing of it"
        if policy.covers(host):
            return f"listed; its certificate {_MUST[policy.mode]} prove {host} under a CA"
        return f"not listed; {_ELSE[policy.mode]}"

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "domain": self.domain,
            "record": {"reason": self.record.reason, "id": self.record.id, "detail": self.record.detail},
            "fetched": _fetched_facts(self.fetched) if self.fetched is not None else None,
            "kept": _kept_facts(self.kept, self.now) if self.kept is not None else None,
            "store": self.store_problem,
            "in_force": _policy_facts(self.in_force) if self.in_force is not None else None,
            "hosts": [
                {
                    "host": host,
                    "listed": self.in_force is not None and self.in_force.covers(host),
                    "follows": self.follows(host),
                }
                for host in self.hosts.hosts
            ],
        }


_MUST: Final = {StsMode.ENFORCE: "must", StsMode.TESTING: "should"}
_ELSE: Final = {
    StsMode.ENFORCE: "nothing is sent to it",
    StsMode.TESTING: "mail goes to it all the same, and the domain hears of it",
}


def show(loaded: Loaded, domain: Domain, source: StsSource, resolver: Resolver, clock: Clock, *, as_json: bool) -> int:
    """Print what is known. Exit status 1 when no policy is in force."""
    seen = asyncio.run(look(loaded, domain, source, resolver, clock))
    if as_json:
        print_json(seen.facts())
    else:
        print("\n".join(printable(line) for line in seen.lines()))
    return 0 if seen.counts else 1


async def look(loaded: Loaded, domain: Domain, source: StsSource, resolver: Resolver, clock: Clock) -> Look:
    """Ask DNS, the web server and the store."""
    record = await source.record(domain)
    fetched = await source.fetch(domain, record.id) if record.reason is StsReason.FOUND else None
    hosts = await resolver.mail_hosts(domain)
    kept, problem = None, ""
    try:
        store = await open_store(loaded.configuration)
        try:
            kept = await store.call("sts_kept", domain=domain)
        finally:
            await store.close()
    except StoreUnavailable as error:
        problem = str(error)
    return Look(domain, record, fetched, kept, hosts, clock.now(), problem)


def _found(reason: StsReason, good: str, found: StsRecord | StsFetch) -> str:
    return good if reason is StsReason.FOUND else f"{reason}" + (f" ({found.detail})" if found.detail else "")


def _policy_facts(policy: StsPolicy) -> dict[str, Any]:
    return {"id": policy.id, "mode": policy.mode, "mx": list(policy.mx), "max_age": policy.max_age}


def _fetched_facts(fetched: StsFetch) -> dict[str, Any]:
    policy = _policy_facts(fetched.policy) if fetched.policy is not None else None
    return {"reason": fetched.reason, "detail": fetched.detail, "policy": policy}


def _kept_facts(kept: Kept, now: float) -> dict[str, Any]:
    return {
        "id": kept.id,
        "policy": kept.policy.splitlines(),
        "fetched_at": iso(kept.fetched_at) if kept.policy else None,
        "expires_at": iso(kept.expires_at) if kept.policy else None,
        "live": kept.live(now) is not None,
        "tried_at": iso(kept.tried_at),
        "failure": kept.failure,
    }


# forgetting


def _purge(loaded: Loaded, domain: Domain, *, as_json: bool) -> int:
    async def work(store: Store) -> bool:
        forgotten: bool = await store.call("sts_forget", domain=domain)
        return forgotten

    forgotten = with_store(loaded.configuration, work)
    if as_json:
        print_json({"domain": domain, "forgotten": forgotten})
    else:
        print(f"what was kept of {domain} is forgotten" if forgotten else f"nothing is kept of {domain}")
    return 0 if forgotten else 1


# publishing


def _publish(loaded: Loaded, domain: Domain, *, as_json: bool) -> int:
    """Print records and policy file. Exit status 1 where none is wanted."""
    directory, configuration = build(loaded), loaded.configuration
    policy = published(directory, configuration.hostname, domain)
    if policy is None:
        if directory.served(domain) is None:
            raise RelaydError(
                f"{domain} isn't a domain whose mail comes here: it isn't an organisation's in the domainbook"
            )
        raise RelaydError(f"the settings of {domain} have no mta_sts; add it in organisations.yaml, mode testing first")
    records = [(record_name(domain), f"v=STSv1; id={policy.id};")]
    if configuration.reports.address:
        records.append(tls_record(domain, configuration.reports.address))
    if as_json:
        listed = [txt_facts(name, text) for name, text in records]
        print_json({"records": listed, "url": f"https://{policy_host(domain)}{PATH}", "policy": policy_lines(policy)})
        return 0
    print("\n".join(zone_line(name, text) for name, text in records))
    print(f"\nhttps://{policy_host(domain)}{PATH} serves:\n")
    print("\n".join(policy_lines(policy)))
    print(
        f"\n{policy_host(domain)} needs an address that leads to relayd's web process, by HTTPS with a certificate for"
    )
    print(f"this name. Publish the record when that answers. Senders go by the policy for {span(policy.max_age)}.")
    if not configuration.reports.address:
        print("Without reports.address in relayd.yaml nobody tells us what they see: there is no _smtp._tls record.")
    return 0
