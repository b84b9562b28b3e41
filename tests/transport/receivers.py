"""The receiving side of the table: one Postfix that takes mail on many loopback addresses, each with a certificate of
its own kind, and the records that DNS gives of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.kit.pki import Issued, Pki
from tests.kit.postfix import Door, Postfix

#: The names that certificates carry: every host of the table, one of its domains, and somebody else.
NAMED, NEXT_HOP, ELSEWHERE = "*.mx.example", "named-by-domain.signed.example", "mx.elsewhere.example"
#: Where nobody listens.
NOWHERE = "127.77.1.250"


@dataclass(frozen=True)
class Receiver:
    """One listening address and what it shows."""

    address: str
    issued: Issued | None


class Receivers:
    """All of them. ``web`` is the PKI that relayd trusts as it would the public CAs; ``own`` is a private one."""

    def __init__(self, folder: Path) -> None:
        self.own, self.web = Pki(folder / "own", "own"), Pki(folder / "web", "web")
        self._doors: list[Door] = []
        self._by_kind = {kind: self._door(issued) for kind, issued in self._kinds().items()}

    def __getitem__(self, kind: str) -> Receiver:
        return self._by_kind[kind]

    def start(self) -> Postfix:
        settings = {"default_transport": "discard:", "inet_interfaces": "all", "smtpd_peername_lookup": "no"}
        return Postfix("mx.receivers.example", doors=self._doors, settings=settings)

    def _door(self, issued: Issued | None) -> Receiver:
        address = f"127.77.1.{len(self._doors) + 1}"
        chain, key = (issued.chain, issued.key_file) if issued else (None, None)
        self._doors.append(Door(address, chain, key))
        return Receiver(address, issued)

    def _kinds(self) -> dict[str, Issued | None]:
        own, web = self.own, self.web
        everything = [own.intermediate, own.root]
        return {
            "no TLS": None,
            "self-signed": own.self_signed("self", ELSEWHERE),
            "self-signed, other key": own.self_signed("other", ELSEWHERE),
            "self-signed, expired": own.self_signed("stale", ELSEWHERE, started=60, days=30),
            "self-signed, 1024 bits": own.self_signed("weak", ELSEWHERE, bits=1024),
            "private CA, all sent": own.leaf("full", NAMED, sent=everything),
            "private CA, root not sent": own.leaf("short", NAMED, sent=[own.intermediate]),
            "private CA, names the domain": own.leaf("domain", NEXT_HOP, sent=everything),
            "private CA, other name": own.leaf("misnamed", ELSEWHERE, sent=everything),
            "private CA, expired": own.leaf("old", NAMED, sent=everything, started=60, days=30),
            "private CA, 1024 bits": own.leaf("frail", NAMED, sent=everything, bits=1024),
            "private CA, SHA-1": own.signed_with_sha1("sha1", NAMED, everything),
            "public CA": web.leaf("public", NAMED, sent=[web.intermediate]),
            "public CA, expired": web.leaf("lapsed", NAMED, sent=[web.intermediate], started=60, days=30),
            "public CA, other name": web.leaf("astray", ELSEWHERE, sent=[web.intermediate]),
        }
