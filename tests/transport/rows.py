"""The table: what a domain publishes and shows, and what must come of it.

A host's ``tlsa`` are records as "usage selector matching what": the receiver's own certificate (leaf), the private
CA's ``root`` or ``intermediate``, somebody's ``other`` key, or hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DELIVERED, DEFERRED, FAILED = "delivered", "deferred", "failed"


@dataclass(frozen=True)
class Host:
    """One mail host. ``zone`` is where its name lives: signed, unsigned, or signed with spoilt records (``spoilt``)."""

    shows: str = "self-signed"
    tlsa: Sequence[str] = ()
    zone: str = "mx"
    #: Another name that this one is an alias of: of a host in this zone, whose address and ``tlsa`` are these.
    alias_in: str = ""
    #: Where the records stand when it is an alias: at the alias or at the name behind it.
    tlsa_at_alias: bool = False


@dataclass(frozen=True)
class Row:
    """``proof`` is the beginning of what is said to prove the way; ``status`` that of the enhanced code. ``finger`` is
    what posttls-finger says of the first host: Verified, Untrusted, or "" where it connects to none or without TLS."""

    name: str
    source: str
    hosts: Sequence[Host]
    result: str
    status: str = "2."
    proof: str = ""
    finger: str | None = None
    domain: str = "signed"
    message_class: str = "ordinary"


def _dane(name: str, shows: str, tlsa: str | Sequence[str], proof: str = "dane", **more: object) -> list[Row]:
    """A host whose records must match: for ordinary and for confidential mail alike."""
    records = (tlsa,) if isinstance(tlsa, str) else tuple(tlsa)
    good = bool(proof)
    facts: dict[str, object] = {
        "source": "RFC 7672 §3.1",
        "hosts": (Host(shows, records),),
        "result": DELIVERED if good else DEFERRED,
        "status": "2." if good else "4.7.5",
        "proof": proof,
        "finger": "Verified" if good else "Untrusted",
    }
    facts |= more
    return [
        Row(f"{name}", **facts),  # type: ignore[arg-type]
        Row(f"{name}, confidential", **facts | {"message_class": "confidential"}),  # type: ignore[arg-type]
    ]


BAD = "00" * 32
ROWS: list[Row] = [
    *_dane("3 1 1", "self-signed", "3 1 1 leaf"),
    *_dane("3 1 2", "self-signed", "3 1 2 leaf"),
    *_dane("3 1 0", "self-signed", "3 1 0 leaf"),
    *_dane("3 0 1", "self-signed", "3 0 1 leaf"),
    *_dane("3 0 2", "self-signed", "3 0 2 leaf"),
    *_dane("3 0 0", "self-signed", "3 0 0 leaf"),
    *_dane("3 1 1 of another key", "self-signed", "3 1 1 other", ""),
    *_dane("3 1 1, certificate expired", "self-signed, expired", "3 1 1 leaf"),
    *_dane("3 1 1, key rolled over", "self-signed", ("3 1 1 other", "3 1 1 leaf")),
    *_dane("2 0 1, root sent", "private CA, all sent", "2 0 1 root"),
    *_dane("2 0 2, root sent", "private CA, all sent", "2 0 2 root"),
    *_dane("2 1 1, root sent", "private CA, all sent", "2 1 1 root"),
    *_dane("2 0 1, intermediate", "private CA, all sent", "2 0 1 intermediate"),
    *_dane("2 1 1, intermediate", "private CA, root not sent", "2 1 1 intermediate"),
    *_dane("2 0 1, root not sent", "private CA, root not sent", "2 0 1 root", ""),
    *_dane("2 0 0, root not sent", "private CA, root not sent", "2 0 0 root"),
    *_dane("2 1 0, root not sent", "private CA, root not sent", "2 1 0 root"),
    *_dane("2 0 1, certificate names another host", "private CA, other name", "2 0 1 root", ""),
    *_dane("2 0 1, certificate expired", "private CA, expired", "2 0 1 root", ""),
    *_dane("2 0 1 of another authority", "self-signed", "2 0 1 root", ""),
    *_dane("3 1 1 wrong beside 2 0 1 right", "private CA, all sent", ("3 1 1 other", "2 0 1 root")),
    *_dane("usages 1 and 3", "self-signed", (f"1 1 1 {BAD}", "3 1 1 leaf")),
    *_dane("SHA-512 wrong, SHA-256 right", "self-signed", ("3 1 2 other", "3 1 1 leaf"), "", source="RFC 7671 §9"),
    *_dane("STARTTLS not offered", "no TLS", "3 1 1 other", "", status="4.7.10", finger=""),
]

#: Not proven by anything: ordinary mail goes encrypted, confidential mail doesn't go.
for _name, _source, _host, _domain in (
    ("no TLSA", "RFC 7672 §2.2", Host(), "signed"),
    ("usage 0 only", "RFC 7672 §3.1.3", Host(tlsa=(f"0 0 1 {BAD}",)), "signed"),
    ("usage 1 only", "RFC 7672 §3.1.3", Host(tlsa=("1 1 1 leaf",)), "signed"),
    ("unknown matching type", "RFC 7672 §3.1", Host(tlsa=("3 1 9 abcd",)), "signed"),
    ("unknown selector", "RFC 7672 §3.1", Host(tlsa=(f"3 7 1 {BAD}",)), "signed"),
    ("digest of the wrong length", "RFC 7672 §3.1", Host(tlsa=("3 1 1 abcd",)), "signed"),
    ("TLSA in an unsigned zone", "RFC 7672 §2.2.2", Host(tlsa=("3 1 1 leaf",), zone="plain-mx"), "signed"),
    ("nothing signed", "RFC 7672 §2.2.1", Host(zone="plain-mx"), "unsigned"),
):
    ROWS += [
        Row(_name, _source, (_host,), DELIVERED, proof="", finger="Untrusted", domain=_domain),
        Row(f"{_name}, confidential", _source, (_host,), DEFERRED, "4.7", finger="Untrusted", domain=_domain,
            message_class="confidential"),
    ]  # fmt: skip

ROWS += [
    Row("TLSA bogus", "RFC 7672 §2.1.2", (Host(tlsa=("3 1 1 leaf",), zone="spoilt-tlsa"),), DEFERRED, "4."),
    Row("TLSA can't be asked", "RFC 7672 §2.1.1", (Host(tlsa=(), zone="lame-tlsa"),), DEFERRED, "4."),
    Row("address bogus", "RFC 7672 §2.1.2", (Host(tlsa=("3 1 1 leaf",), zone="spoilt-address"),), DEFERRED, "4."),
    Row("MX bogus", "RFC 7672 §2.1.2", (Host(),), DEFERRED, "4.", domain="broken"),
    Row("MX can't be asked", "RFC 7672 §2.1.1", (), DEFERRED, "4.", domain="lame"),
    Row("domain doesn't exist", "RFC 5321 §5.1", (), FAILED, "5.1.2", domain="absent"),
    Row("null MX", "RFC 7505 §4", (), FAILED, "5.1.10", domain="null"),
    Row("no MX, the domain is its own host", "RFC 7672 §2.2.2", (Host(tlsa=("3 1 1 leaf",)),), DELIVERED, proof="dane",
        finger="Verified", domain="implicit"),
    Row("first host fails DANE, second fulfils it", "RFC 7672 §2.1",
        (Host(tlsa=("3 1 1 other",)), Host(tlsa=("3 1 1 leaf",))), DELIVERED, proof="dane", finger="Untrusted"),
    Row("first host without STARTTLS, second fulfils DANE", "RFC 7672 §2.1",
        (Host("no TLS", ("3 1 1 other",)), Host(tlsa=("3 1 1 leaf",))), DELIVERED, proof="dane", finger=""),
    Row("first host's TLSA bogus, second fulfils DANE", "RFC 7672 §2.1",
        (Host(tlsa=("3 1 1 leaf",), zone="spoilt-tlsa"), Host(tlsa=("3 1 1 leaf",))), DELIVERED, proof="dane"),
    Row("alias, TLSA at the name behind it", "RFC 7672 §2.2.2", (Host(tlsa=("3 1 1 leaf",), alias_in="mx"),),
        DELIVERED, proof="dane", finger="Verified"),
    Row("alias, TLSA at the alias", "RFC 7672 §2.2.2",
        (Host(tlsa=("3 1 1 leaf",), alias_in="mx", tlsa_at_alias=True),), DELIVERED, proof="dane", finger="Verified"),
    Row("alias into an unsigned zone, TLSA at the alias", "RFC 7672 §2.2.2",
        (Host(tlsa=("3 1 1 leaf",), alias_in="plain-mx", tlsa_at_alias=True),), DELIVERED, proof="dane",
        finger="Verified"),
    Row("alias into an unsigned zone, TLSA there", "RFC 7672 §2.2.2",
        (Host(tlsa=("3 1 1 leaf",), alias_in="plain-mx"),), DELIVERED, finger="Untrusted"),
    Row("unsigned domain, its host signed with TLSA", "RFC 7672 §2.2.1", (Host(tlsa=("3 1 1 leaf",)),), DELIVERED,
        domain="unsigned"),
    Row("unsigned domain, its host signed with TLSA, confidential", "RFC 7672 §2.2.1",
        (Host(tlsa=("3 1 1 leaf",)),), DEFERRED, "4.7", domain="unsigned", message_class="confidential"),
    Row("certificate of 2 0 1 names the domain", "RFC 7672 §3.2.3",
        (Host("private CA, names the domain", ("2 0 1 root",)),), DELIVERED, proof="dane", finger="Verified",
        domain="named-by-domain"),
    *_dane("3 1 1, key of 1024 bits", "self-signed, 1024 bits", "3 1 1 leaf", ""),
    *_dane("2 0 1, leaf signed with SHA-1", "private CA, SHA-1", "2 0 1 root", ""),
]  # fmt: skip
