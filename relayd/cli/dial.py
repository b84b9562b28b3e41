"""``relayd dial``: connect to a domain's mail servers as a delivery would, and say what each one proves."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from relayd.cli.common import add_config, add_json, port_number, print_json, with_shipped_openssl_conf
from relayd.cli.outside import SelfTestingResolver, domain_of, ways_now
from relayd.cli.table import printable
from relayd.delivery.client import Client, Hop, HopUnavailable, Timeouts
from relayd.delivery.ways import NTA_TARGET, NoWay, Ways
from relayd.directory.load import build
from relayd.dns.records import Answer
from relayd.dns.resolver import Resolver
from relayd.errors import RelaydError
from relayd.mail.address import Domain
from relayd.mail.envelope import TlsFacts
from relayd.pipeline.verdict import MessageClass
from relayd.settings.load import Loaded, load
from relayd.tls.contexts import ClientTls
from relayd.tls.decision import HostPlan

_EPILOG: Final = """\
examples:
  relayd dial clinic.example                     by the domainbook where it stands there, else by MX
  relayd dial clinic.example --nta               by its NTA 7516 record
  relayd dial hospital.example --mx              a domain of our own, as others see it
  relayd dial clinic.example --host mx2.clinic.example --port 2525
exit status: 0 when every host that was tried shows what it must, 1 when one doesn't or there is none
"""
_TIMEOUTS: Final = Timeouts(connect=10, greeting=30, command=30)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``dial``."""
    parser = commands.add_parser(
        "dial",
        help="connect to a domain's mail servers and say what they prove, without sending mail",
        description="Decide the way to a domain as a delivery would, connect to each address of each host, and show "
        "the plan, the handshake and the verdict. Ends with QUIT before any MAIL.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("domain", metavar="DOMAIN", help="a mail domain: what stands behind the @")
    parser.add_argument("--host", help="only this one of its hosts")
    parser.add_argument("--port", type=port_number, default=25, help="the port that mail hosts listen on (default: 25)")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--mx", action="store_true", help="by MX, also where the domainbook says otherwise")
    way.add_argument("--nta", action="store_true", help="by its NTA 7516 record")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was shown."""
    with_shipped_openssl_conf()
    loaded = load(Path(arguments.config))
    domain = domain_of(arguments.domain)
    target = f"{NTA_TARGET}{domain}" if arguments.nta else ""
    if not arguments.mx and not arguments.nta and domain in build(loaded).domainbook:
        target = domain
    resolver = SelfTestingResolver(loaded.configuration)
    ways = ways_now(loaded, resolver, arguments.port, to=domain)
    dialled = asyncio.run(dial(domain, target, arguments.host, loaded, resolver, ways))
    if arguments.json:
        print_json(dialled.facts())
    else:
        print("\n".join(printable(line) for line in dialled.lines()))
    return 0 if dialled.good else 1


@dataclass(frozen=True, slots=True)
class Call:
    """One connection. ``reply`` says why it was given up, "" when the server showed what it must."""

    address: str
    tls: TlsFacts | None = None
    status: str = ""
    reply: str = ""

    def line(self) -> str:
        """The handshake and the verdict."""
        if self.reply:
            return f"{self.address}: refused ({self.status}): {self.reply}"
        if self.tls is None:
            return f"{self.address}: no TLS, and none is demanded"
        verdict = f"proven: {self.tls.proof}" if self.tls.proof else "as demanded; nothing is proven"
        return f"{self.address}: {self.tls.version} {self.tls.cipher}: {verdict}"


@dataclass(frozen=True, slots=True)
class Dialled:
    """What became of all hosts. ``why`` says why there was none to try, ``override`` what the operator ignores."""

    domain: Domain
    override: str = ""
    calls: tuple[tuple[HostPlan, tuple[Call, ...]], ...] = ()
    why: str = ""

    @property
    def good(self) -> bool:
        made = [call for _, calls in self.calls for call in calls]
        return bool(made) and not any(call.reply for call in made)

    def lines(self) -> Iterator[str]:
        """To read from top to bottom."""
        if self.override:
            yield f"override: {self.override}"
        if self.why:
            yield f"{self.domain}: {self.why}"
        for plan, calls in self.calls:
            yield f"{plan.host}:{plan.port}"
            yield f"  plan: {plan.demand.security if plan.demand else f'not tried ({plan.status})'}: {plan.reason}"
            for call in calls:
                yield f"  {call.line()}"

    def facts(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "domain": self.domain,
            "override": self.override or None,
            "why": self.why or None,
            "good": self.good,
            "hosts": [
                {
                    "host": plan.host,
                    "port": plan.port,
                    "demand": plan.demand.security if plan.demand else None,
                    "status": plan.status or None,
                    "reason": plan.reason,
                    "calls": [
                        {
                            "address": call.address,
                            "tls": msgspec.to_builtins(call.tls),
                            "good": not call.reply,
                            "status": call.status or None,
                            "reply": call.reply or None,
                        }
                        for call in calls
                    ],
                }
                for plan, calls in self.calls
            ],
        }


async def dial(
    domain: Domain, target: str, only: str | None, loaded: Loaded, resolver: Resolver, ways: Ways
) -> Dialled:
    """Decide and connect."""
    override = str(ways.override(domain) or "")
    plans = await ways.plan(target, domain, MessageClass.CONFIDENTIAL if target else MessageClass.ORDINARY)
    if isinstance(plans, NoWay):
        return Dialled(domain, override, why=f"{plans.status}: {plans.reply}")
    if only is not None:
        hosts = ", ".join(dict.fromkeys(plan.host for plan in plans))
        plans = tuple(plan for plan in plans if plan.host == only.lower().rstrip("."))
        if not plans:
            raise RelaydError(f"{only} isn't among the first mail hosts of {domain}: {hosts}")
    if not plans:
        return Dialled(domain, override, why="no host is named")
    contexts = ClientTls(loaded.configuration.tls.trusted_ca)
    calls = [await _calls(plan, loaded.configuration.hostname, contexts, resolver) for plan in plans]
    return Dialled(domain, override, tuple(zip(plans, calls, strict=True)))


async def _calls(plan: HostPlan, hostname: str, contexts: ClientTls, resolver: Resolver) -> tuple[Call, ...]:
    """One connection to each address of a host that may be tried."""
    if plan.demand is None:
        return ()
    found = await resolver.addresses(plan.host)
    if found.answer is not Answer.FOUND:
        return (Call(plan.host, None, "4.4.3", f"looking up its address ended in {found.answer}"),)
    hop = Hop(plan.host, plan.port, plan.demand, applied=plan.applied)
    return tuple(await asyncio.gather(*(_call(hop, address, hostname, contexts) for address in found.addresses)))


async def _call(hop: Hop, address: str, hostname: str, contexts: ClientTls) -> Call:
    client = Client(hop, hostname, _TIMEOUTS)
    try:
        await client.open(address, contexts)
    except HopUnavailable as error:
        return Call(address, client.tls, error.status, error.reply)
    await client.goodbye()
    return Call(address, client.tls_for(hop))
