"""``relayd dkim``: the keys that sign an organisation's mail."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from relayd.authenticity.dkim_dns import Publication, Published, all_shown, look
from relayd.authenticity.dkim_keys import IN_FLIGHT, DomainKeys, KeySet, State, StoredKey, record, record_name
from relayd.authenticity.dkim_sign import is_selector
from relayd.authenticity.dkim_store import DkimKeyFiles, make_set
from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.dkim_advice import Seen, advice, notices_domain, reports_domain, see, story
from relayd.cli.outside import domain_of
from relayd.cli.reload import ask
from relayd.cli.times import iso
from relayd.clock import SystemClock
from relayd.dns.publish import txt_facts, zone_line
from relayd.dns.resolver import DnsResolver
from relayd.errors import RelaydError, StoreUnavailable
from relayd.mail.address import Domain
from relayd.settings.explain import suggest
from relayd.settings.load import load_configuration, load_organisations
from relayd.settings.models import Configuration
from relayd.settings.values import address_and_port
from relayd.vault.keyring import Keyring

_EPILOG: Final = f"""\
examples:
  relayd dkim create clinic.example      the first keys, and what to publish in DNS
  relayd dkim activate clinic.example    sign with them, once DNS shows them
  relayd dkim rotate clinic.example      new keys beside those in use, and what to publish; then activate
  relayd dkim show                       all domains: what signs, what waits, what may go from DNS

Each domain has an RSA-2048 and an Ed25519 key, and both sign. They are sealed under the root key in the keys folder.
Keys that were replaced stay in DNS for {IN_FLIGHT.days} days, as mail that they signed may still be on its way;
show says when their records may go. Rotate once a year, and whenever a key may have become known.
exit status: 0 done, 1 something is to be done first, such as publishing the records
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``dkim``."""
    parser = commands.add_parser(
        "dkim",
        help="the keys that sign mail: create, rotate, activate, show",
        description="The DKIM keys of the domains that send through relayd.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("create", run_create, "make a domain's first keys and print the DNS records to publish"),
        ("rotate", run_rotate, "make new keys beside those in use and print the DNS records to publish"),
    ):
        making = _action(actions, name, text)
        making.add_argument("domain", metavar="DOMAIN")
        making.add_argument("--selector", metavar="S", help="what the two selectors begin with (default: today's date)")
        making.add_argument("--activate", action="store_true", help="sign with them at once, without asking DNS")
        making.set_defaults(run=run)
    activating = _action(actions, "activate", "sign with the waiting keys, if DNS shows them")
    activating.add_argument("domain", metavar="DOMAIN")
    activating.set_defaults(run=run_activate)
    showing = _action(actions, "show", "what signs, what waits, what DNS has, what to do next")
    showing.add_argument("domain", metavar="DOMAIN", nargs="?", help="this domain only")
    showing.add_argument("--no-dns", action="store_true", help="don't ask the resolver")
    showing.set_defaults(run=run_show)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_config(parser)
    add_json(parser)
    return parser


def run_create(arguments: argparse.Namespace) -> int:
    """The first keys; exit status 1 where there are some already."""
    return _Site(arguments).make(arguments, first=True)


def run_rotate(arguments: argparse.Namespace) -> int:
    """The next keys; exit status 1 where there are none, or some wait already."""
    return _Site(arguments).make(arguments, first=False)


def run_activate(arguments: argparse.Namespace) -> int:
    """Exit status 1 while DNS doesn't show the waiting keys."""
    return _Site(arguments).activate(arguments)


def run_show(arguments: argparse.Namespace) -> int:
    """Exit status 1 when something is to be done."""
    return _Site(arguments).show(arguments)


class _Site:
    """The configuration that a command works with."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        folder = Path(arguments.config)
        self.configuration: Configuration = load_configuration(folder)
        self.organisations = load_organisations(folder)
        self.files = DkimKeyFiles(self.configuration.keys)
        self.now = SystemClock().now()
        self.resolver = DnsResolver(*address_and_port(self.configuration.resolver))

    def make(self, arguments: argparse.Namespace, *, first: bool) -> int:
        domain = self._domain(arguments.domain)
        keyring = Keyring.load(self.configuration.keys)

        def step(keys: DomainKeys) -> DomainKeys:
            if first and keys.sets:
                raise RelaydError(f"{domain} has keys; relayd dkim rotate {domain} makes new ones beside them")
            if not first and not keys.sets:
                raise RelaydError(f"{domain} has no keys yet; relayd dkim create {domain}")
            selector = arguments.selector or keys.free_selector(self.now)
            if not is_selector(selector):
                raise RelaydError("a selector is made of letters, digits and hyphens, in labels between dots")
            changed = keys.with_new(make_set(keyring, domain, selector, self.now), self.now)
            return changed.activated(self.now, selector) if arguments.activate else changed

        fresh = self.files.change(domain, step).sets[-1]
        reloaded = self._reload() if arguments.activate else None
        if arguments.json:
            print_json(self._facts(domain, fresh, None) | {"reloaded": reloaded})
            return 0
        print(f"Publish these in the DNS of {domain}:\n")
        for name, text in self._records(domain, fresh):
            print(zone_line(name, text))
        print(f"\n{_activated(domain, reloaded) if arguments.activate else f'Then: relayd dkim activate {domain}'}")
        return 0

    def activate(self, arguments: argparse.Namespace) -> int:
        domain = self._domain(arguments.domain)
        waiting = self.files.read(domain).waiting
        if waiting is None:
            verb = "rotate" if self.files.read(domain).sets else "create"
            raise RelaydError(f"no keys of {domain} wait to be signed with; relayd dkim {verb} {domain} makes some")
        seen = asyncio.run(look(self.resolver, domain, waiting))
        shown = all_shown(seen)
        if shown:
            asked = waiting.selector
            waiting = self.files.change(domain, lambda keys: keys.activated(self.now, asked)).signing or waiting
        reloaded = self._reload() if shown else None
        if arguments.json:
            print_json(self._facts(domain, waiting, seen) | {"activated": shown, "reloaded": reloaded})
        elif shown:
            print(_activated(domain, reloaded))
        else:
            for one in seen:
                if one.published is not Published.SHOWN:
                    print(f"{one.name}: {one.text}", file=sys.stderr)
            print("relayd goes on as it was; publish what relayd dkim show prints, and try again", file=sys.stderr)
        return 0 if shown else 1

    def show(self, arguments: argparse.Namespace) -> int:
        chosen = [self._domain(arguments.domain)] if arguments.domain else self.files.domains()
        found = [(domain, self.files.read(domain)) for domain in chosen]
        seen = {} if arguments.no_dns else asyncio.run(see(self.resolver, found))
        if arguments.json:
            print_json(
                {
                    domain: [self._facts(domain, one, seen.get((domain, one.selector))) for one in keys.sets]
                    for domain, keys in found
                }
            )
        else:
            texts = ["\n".join(self._described(domain, keys, seen)) for domain, keys in found]
            print("\n\n".join(texts) or "no keys yet; relayd dkim create DOMAIN makes some")
        return 1 if any(advice(domain, keys, seen, self.now) for domain, keys in found) else 0

    def _described(self, domain: Domain, keys: DomainKeys, seen: Seen) -> Iterator[str]:
        yield f"{domain}{'' if keys.sets else ': no keys; relayd dkim create makes some'}"
        for one in keys.sets:
            yield f"  {one.selector}: {story(one, self.now)}"
            for publication in seen.get((domain, one.selector), ()):
                yield f"    {publication.name}: {publication.text or 'DNS shows it'}"
            if one.state(self.now) in (State.WAITING, State.SIGNING):
                yield from (f"    {zone_line(name, text)}" for name, text in self._records(domain, one))
        yield from (f"  → {text}" for text in advice(domain, keys, seen, self.now))

    def _records(self, domain: Domain, keys: KeySet) -> list[tuple[str, str]]:
        found = (record(domain, key, reports=self._reports(domain)) for key in keys.keys)
        return [(one.name, one.text) for one in found]

    def _reports(self, domain: Domain) -> bool:
        """Whether TLS reports are signed for ``domain``."""
        return domain == reports_domain(self.configuration)

    def _facts(self, domain: Domain, keys: KeySet, seen: list[Publication] | None) -> dict[str, Any]:
        published = {one.key.selector: one for one in seen or ()}
        return {
            "domain": domain,
            "selector": keys.selector,
            "state": keys.state(self.now).value,
            "made": _iso(keys.made),
            "signs_from": _iso(keys.signs_from),
            "signs_until": _iso(keys.signs_until),
            "remove_from_dns_after": None if keys.signs_until is None else _iso(keys.removable_at),
            "records": [self._record_facts(domain, key, published.get(key.selector)) for key in keys.keys],
        }

    def _record_facts(self, domain: Domain, key: StoredKey, seen: Publication | None) -> dict[str, Any]:
        text = record(domain, key, reports=self._reports(domain)).text
        return txt_facts(record_name(domain, key), text) | {
            "dns": seen.published.value if seen else None,
            "wrong": seen.text if seen else "",
        }

    def _domain(self, text: str) -> Domain:
        domain = domain_of(text)
        ours = (
            notices_domain(self.configuration),
            reports_domain(self.configuration),
            self.configuration.viewer_mail_domain if self.configuration.viewer.enabled else None,
        )
        known = {one for one in ours if one is not None}
        for entry in self.organisations.organisations.values():
            known |= {*entry.domains, *entry.relays_for}
        if domain not in known and domain not in self.files.domains():
            raise RelaydError(f"{domain} is no organisation's domain; {suggest(domain, known)}")
        return domain

    def _reload(self) -> bool | None:
        """Whether the daemon took the keys; None where none runs."""
        try:
            return bool(ask(self.configuration.state / "control.sock", "reload")["ok"])
        except StoreUnavailable:
            return None


def _activated(domain: Domain, reloaded: bool | None) -> str:
    if reloaded is None:
        return f"{domain} is signed for with the new keys from the daemon's next start"
    if not reloaded:
        return f"{domain} is signed for with the new keys once relayd reload works: it was refused now"
    return f"{domain} is signed for with the new keys now"


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)
