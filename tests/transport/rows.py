"""The table: what a domain publishes and shows, and what must come of it.

A host's ``tlsa`` are records as "usage selector matching what": the receiver's own certificate (leaf), the private
CA's ``root`` or ``intermediate``, somebody's ``other`` key, or hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.kit.policy_servers import Sts

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
    sts: Sts | None = None
    require_tls: bool = False
    tls_optional: bool = False
    #: What the domainbook says of it, or that it is reached by its NTA 7516 record.
    book: str = ""
    nta: bool = False
    #: Where relayd refuses on purpose what Postfix takes.
    stricter: bool = False


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
    *_dane("a digest of the wrong length beside a sound one", "self-signed", ("3 1 1 abcd", "3 1 1 leaf")),
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
    ("a digest of the wrong length", "RFC 7672 §3.1", Host(tlsa=("3 1 1 abcd",)), "signed"),
    ("unknown selector", "RFC 7672 §3.1", Host(tlsa=(f"3 7 1 {BAD}",)), "signed"),
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
        proof="dane", domain="unsigned"),
    Row("unsigned domain, its host signed with TLSA, confidential", "RFC 7672 §2.2.1",
        (Host(tlsa=("3 1 1 leaf",)),), DEFERRED, "4.7", domain="unsigned", message_class="confidential"),
    Row("certificate of 2 0 1 names the domain", "RFC 7672 §3.2.3",
        (Host("private CA, names the domain", ("2 0 1 root",)),), DELIVERED, proof="dane", finger="Verified",
        domain="named-by-domain"),
    *_dane("3 1 1, key of 1024 bits", "self-signed, 1024 bits", "3 1 1 leaf"),
    *_dane("2 0 1, leaf's key of 1024 bits", "private CA, 1024 bits", "2 0 1 root", "", finger="Verified",
           stricter=True),
    *_dane("2 0 1, leaf signed with SHA-1", "private CA, SHA-1", "2 0 1 root", ""),
]  # fmt: skip


def _sts(name: str, shows: str, sts: Sts, result: str, proof: str = "", **more: object) -> list[Row]:
    """A host that only MTA-STS can prove, in a domain that isn't signed: ordinary mail, then confidential mail."""
    facts: dict[str, object] = {
        "source": "RFC 8461 §5",
        "hosts": (Host(shows),),
        "result": result,
        "status": "2." if result == DELIVERED else "4.7.5",
        "proof": proof,
        "domain": "unsigned",
        "sts": sts,
    }
    facts |= more
    confidential = facts | {"message_class": "confidential"}
    if not proof or sts.mode != "enforce":
        confidential |= {"result": DEFERRED, "proof": "", "status": "4.7.10" if shows == "no TLS" else "4.7.5"}
    return [
        Row(f"MTA-STS {name}", **facts),  # type: ignore[arg-type]
        Row(f"MTA-STS {name}, confidential", **confidential),  # type: ignore[arg-type]
    ]


#: A policy that can't be had is none; its domain is told.
_NONE_HAD = {"source": "RFC 8461 §3.3"}
ROWS += [
    *_sts("enforce", "public CA", Sts(), DELIVERED, "mta-sts"),
    *_sts("enforce, certificate self-signed", "self-signed", Sts(), DEFERRED),
    *_sts("enforce, certificate expired", "public CA, expired", Sts(), DEFERRED),
    *_sts("enforce, certificate names another host", "public CA, other name", Sts(), DEFERRED),
    *_sts("enforce, host not listed", "public CA", Sts(mx="mx.elsewhere.example"), DEFERRED),
    *_sts("enforce, STARTTLS not offered", "no TLS", Sts(), DEFERRED, status="4.7.10"),
    *_sts("testing, certificate self-signed", "self-signed", Sts("testing"), DELIVERED),
    *_sts("testing, certificate good", "public CA", Sts("testing"), DELIVERED, "mta-sts"),
    *_sts("none", "public CA", Sts("none"), DELIVERED),
    *_sts("policy redirected", "public CA", Sts(answer="redirect"), DELIVERED, **_NONE_HAD),
    *_sts("policy missing", "public CA", Sts(answer="missing"), DELIVERED, **_NONE_HAD),
    *_sts("policy too large", "public CA", Sts(answer="large"), DELIVERED, **_NONE_HAD),
    *_sts("policy unreadable", "public CA", Sts(answer="version: STSv9\r\n"), DELIVERED, **_NONE_HAD),
    *_sts("web server's certificate misnamed", "public CA", Sts(shows="misnamed"), DELIVERED, **_NONE_HAD),
    *_sts("web server's certificate expired", "public CA", Sts(shows="expired"), DELIVERED, **_NONE_HAD),
    *_sts("web server's certificate self-signed", "public CA", Sts(shows="self-signed"), DELIVERED, **_NONE_HAD),
    *_dane("DANE fails, MTA-STS would pass", "public CA", "3 1 1 other", "", source="RFC 8461 §2", sts=Sts()),
    *_dane("DANE passes, MTA-STS lists another host", "self-signed", "3 1 1 leaf", source="RFC 8461 §2",
           sts=Sts(mx="mx.elsewhere.example")),
    *_dane("unusable TLSA, MTA-STS passes", "public CA", "1 1 1 leaf", "mta-sts", source="RFC 8461 §2", sts=Sts(),
           finger="Untrusted"),
    Row("TLSA bogus, MTA-STS would pass", "RFC 8461 §2", (Host("public CA", ("3 1 1 leaf",), zone="spoilt-tlsa"),),
        DEFERRED, "4.4.3", sts=Sts(mx="*.spoilt-tlsa.example")),
    Row("REQUIRETLS, next hop without it", "RFC 8689 §4.2.1", (Host(tlsa=("3 1 1 leaf",)),), FAILED, "5.7.30",
        require_tls=True, finger="Verified"),
    Row("REQUIRETLS, nothing proves the host", "RFC 8689 §4.2.1", (Host(),), FAILED, "5.7.10", require_tls=True,
        finger="Untrusted"),
    Row("REQUIRETLS, STARTTLS not offered", "RFC 8689 §4.2.1", (Host("no TLS"),), FAILED, "5.7.10", require_tls=True),
    Row("TLS-Required: No, DANE fails", "RFC 8689 §4.3", (Host(tlsa=("3 1 1 other",)),), DELIVERED, tls_optional=True,
        finger="Untrusted"),
    Row("TLS-Required: No, MTA-STS fails", "RFC 8689 §4.3", (Host(),), DELIVERED, domain="unsigned", sts=Sts(),
        tls_optional=True),
    Row("TLS-Required: No, DANE fails, confidential", "RFC 8689 §4.3", (Host(tlsa=("3 1 1 other",)),), DEFERRED,
        "4.7.5", tls_optional=True, message_class="confidential", finger="Untrusted"),
    Row("domainbook: a name under a CA", "docs/tls-decision.md", (Host("public CA"),), DELIVERED, proof="ca",
        book="name", message_class="confidential", domain="unsigned"),
    Row("domainbook: certificate names another host", "docs/tls-decision.md", (Host("public CA, other name"),),
        DEFERRED, "4.7.5", book="name", message_class="confidential", domain="unsigned"),
    Row("domainbook: a pin", "docs/tls-decision.md", (Host("self-signed"),), DELIVERED, proof="pin", book="pin",
        message_class="confidential", domain="unsigned"),
    Row("domainbook: another pin", "docs/tls-decision.md", (Host("self-signed, other key"),), DEFERRED, "4.7.5",
        book="pin", message_class="confidential", domain="unsigned"),
    Row("domainbook: dane", "docs/tls-decision.md", (Host(tlsa=("3 1 1 leaf",)),), DELIVERED, proof="dane",
        book="dane", message_class="confidential", finger="Verified"),
    Row("domainbook: dane, no TLSA", "docs/tls-decision.md", (Host("public CA"),), DEFERRED, "4.7.5", book="dane",
        message_class="confidential"),
    Row("NTA 7516 host with DANE", "docs/policies/nta7516.md", (Host(tlsa=("3 1 1 leaf",)),), DELIVERED, proof="dane",
        nta=True, message_class="confidential", finger="Verified"),
    Row("NTA 7516 host without TLSA", "docs/policies/nta7516.md", (Host("public CA"),), DEFERRED, "4.7.5", nta=True,
        message_class="confidential"),
    Row("NTA 7516 host, TLSA of another key", "docs/policies/nta7516.md", (Host(tlsa=("3 1 1 other",)),), DEFERRED,
        "4.7.5", nta=True, message_class="confidential", finger="Untrusted"),
    Row("NTA 7516 host, TLSA unusable", "docs/policies/nta7516.md", (Host(tlsa=("1 1 1 leaf",)),), DEFERRED, "4.7.5",
        nta=True, message_class="confidential", finger="Untrusted"),
    Row("NTA 7516 host in an unsigned zone", "docs/policies/nta7516.md",
        (Host(tlsa=("3 1 1 leaf",), zone="plain-mx"),), DEFERRED, "4.7.5", nta=True, message_class="confidential"),
]  # fmt: skip
