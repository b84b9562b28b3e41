"""What TLS takes and refuses, by the guideline's table: handshakes with peers that offer one thing each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from relayd.tls import guideline, hello
from relayd.tls.contexts import SUITES
from relayd.tls.guideline import Level
from relayd.tls.probe import Offer, Seen

#: Does one handshake with a peer of this offer.
Try = Callable[[Offer], Seen]


class Side(StrEnum):
    """Whose TLS is looked at: our server, our client where the next hop must prove itself and where it needn't, or the
    server of somebody else."""

    SERVER = "server"
    PROVEN = "client, proven next hops"
    UNPROVEN = "client, other next hops"
    REMOTE = "remote server"


CLIENTS: Final = (Side.PROVEN, Side.UNPROVEN)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``taken`` is None where it couldn't be tried. ``fails`` means that the guideline isn't
    met: something insufficient was taken, or what has to work doesn't. ``group`` is what the server chose for the key
    exchange, "" where it doesn't tell."""

    side: Side
    subject: str
    what: str
    level: Level
    taken: bool | None
    detail: str
    fails: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to offer. ``level`` is the guideline's word on it, ``needed`` that we must take it."""

    subject: str
    what: str
    level: Level
    offer: Offer
    group: str = ""
    needed: bool = False


_KEYS: Final = ("ECDSA", "RSA")
_OLD: Final = "TLSv1_2"


def _suite(name: str) -> Item:
    level = guideline.suite(name)
    if name.startswith("TLS_"):
        offer = Offer(lowest="TLSv1_3", tls13_suites=name)
        return Item("TLS 1.3 suite", name, level, offer, needed=level is Level.GOOD)
    offer = Offer(highest=_OLD, suites=name, shows="rsa" if "-RSA-" in name else "elliptic")
    return Item("TLS 1.2 suite", name, level, offer, needed=name in SUITES)


def _suites(what: str, string: str, level: Level) -> Item:
    return Item("TLS 1.2 suite", what, level, Offer(highest=_OLD, suites=string, shows="rsa"))


def _group(name: str, *, old: bool = False, needed: bool = False) -> Item:
    # In TLS 1.2 a certificate's own curve would have to be among those offered: so it has an RSA key there.
    offer = Offer(highest=_OLD, groups=name, shows="rsa") if old else Offer(lowest="TLSv1_3", groups=name)
    return Item("group", name, guideline.group(name), offer, group=name, needed=needed)


def _signature(key: str, digest: str) -> Item:
    level = guideline.exchange_hash(digest)
    offer = Offer(highest=_OLD, signatures=f"{key}+{digest}", shows="rsa" if key == "RSA" else "elliptic")
    return Item("TLS 1.2 signature", f"{key} with {digest}", level, offer, needed=level is Level.GOOD)


ITEMS: Final = (
    Item("version", "TLS 1.3", guideline.version("TLSv1.3"), Offer(lowest="TLSv1_3"), needed=True),
    Item("version", "TLS 1.2", guideline.version("TLSv1.2"), Offer(highest=_OLD), needed=True),
    Item("version", "TLS 1.1", guideline.version("TLSv1.1"), Offer("TLSv1_1", "TLSv1_1")),
    Item("version", "TLS 1.0", guideline.version("TLSv1"), Offer("TLSv1", "TLSv1")),
    *map(_suite, ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")),
    *map(_suite, ("TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256")),
    *map(_suite, (*SUITES, "ECDHE-ECDSA-AES256-CCM")),
    _suites("ECDHE, AES-CBC with SHA-2", "ECDHE+AES+SHA256:ECDHE+AES+SHA384", Level.PHASE_OUT),
    _suites("ECDHE, Camellia and ARIA", "ECDHE+CAMELLIA:ECDHE+ARIA", Level.PHASE_OUT),
    _suites("ECDHE, AES-CBC with SHA-1", "ECDHE+SHA1", Level.INSUFFICIENT),
    _suites("RSA key exchange", "kRSA", Level.INSUFFICIENT),
    Item("TLS 1.2 suite", "CCM with short tags", Level.INSUFFICIENT, Offer(highest=_OLD, suites="AESCCM8")),
    _suites("3DES", "3DES", Level.INSUFFICIENT),
    _suites("no certificate", "aNULL", Level.INSUFFICIENT),
    _suites("no encryption", "eNULL", Level.INSUFFICIENT),
    *map(_group, ("X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024")),
    *(_group(name, needed=name in ("x25519", "secp256r1")) for name in ("x25519", "secp256r1", "x448")),
    *map(_group, ("secp384r1", "secp521r1", "ffdhe3072", "ffdhe2048")),
    *(_group(name, old=True) for name in ("brainpoolP256r1", "secp224r1", "secp192r1", "secp256k1")),
    *(_signature(key, digest) for digest in ("SHA256", "SHA384", "SHA512", "SHA224", "SHA1") for key in _KEYS),
)
#: The server decides how small a group DHE has, so this is another thing in each direction.
DHE: Final = "DHE"
_OURS_TO_GROUP: Final = _suites(DHE, "DHE+AESGCM", Level.PHASE_OUT)
_SMALL_GROUP: Final = _suites("DHE with ffdhe2048", "DHE+AESGCM", Level.INSUFFICIENT)
_WEAK: Final = Item("certificate", "RSA key of 1024 bits", Level.INSUFFICIENT, Offer(shows="weak"))
_MORE: Final = {Side.PROVEN: (_SMALL_GROUP, _WEAK), Side.UNPROVEN: (_SMALL_GROUP,)}
_PLAIN: Final = Offer(highest=_OLD)
_WITHOUT_MASTER_SECRET: Final = Offer(highest=_OLD, options="-ExtendedMasterSecret")
_COMPRESSED: Final = Offer(highest=_OLD, compression=True)
_WANTED: Final = {
    hello.EXTENDED_MASTER_SECRET: "extended master secret",  # RFC 7627
    hello.RENEGOTIATION_INFO: "secure renegotiation",  # RFC 5746
}
_HARMLESS: Final = "OpenSSL can't refuse it; with ECDHE and without renegotiation it adds nothing"


def look(side: Side, attempt: Try) -> Iterator[Row]:
    """The rows of one side. ``attempt`` does a handshake between it and a peer."""
    met = False
    for item in (*ITEMS, *_MORE.get(side, (_OURS_TO_GROUP,))):
        row = _row(side, item, attempt(item.offer))
        met = met or bool(row.taken)
        yield row
    if not met:
        yield Row(side, "version", "any", Level.INSUFFICIENT, False, "no handshake succeeded", fails=True)
        return
    yield from _extensions(side, attempt)


def _extensions(side: Side, attempt: Try) -> Iterator[Row]:
    """What isn't chosen but present or absent. A server answers these two extensions only to a client that has them."""
    seen = attempt(_PLAIN)
    if seen.client is None or seen.server is None:
        yield Row(side, "TLS 1.2", "extensions", Level.SUFFICIENT, None, seen.unable or _words(seen.error))
        return
    for number, what in _WANTED.items():
        has = number in seen.server.extensions
        yield Row(side, "TLS 1.2", what, Level.SUFFICIENT, has, "", not has)
    without = attempt(_WITHOUT_MASTER_SECRET)
    detail = _HARMLESS if without.done else _words(without.error)
    yield Row(side, "TLS 1.2", "peer without extended master secret", Level.SUFFICIENT, without.done, detail)
    if side not in CLIENTS:
        answered = attempt(_COMPRESSED).server
        has = any(answered.compression) if answered else False
        yield Row(side, "TLS", "compression", Level.INSUFFICIENT, has, "" if answered else "no answer", has)
        return
    for what, has in {
        "compression": any(seen.client.compression),
        "0-RTT": hello.EARLY_DATA in seen.client.extensions,
    }.items():
        yield Row(side, "TLS", what, Level.INSUFFICIENT, has, "offered" if has else "not offered", has)


def _row(side: Side, item: Item, seen: Seen) -> Row:
    row = partial(Row, side, item.subject, item.what)
    if seen.unable:
        return row(item.level, None, seen.unable)
    if not seen.done:
        # What kind of key somebody else's server has isn't known, so there is nothing that it needs to take.
        return row(item.level, False, _words(seen.error), item.needed and side is not Side.REMOTE)
    group = seen.server.group if seen.server else ""
    digest = seen.server.exchange_hash if seen.server else ""
    if item.group and group.lower() != item.group.lower():
        return row(item.level, None, "this OpenSSL can't offer it")
    passes = guideline.worst([item.level, *_levels(seen, group, digest)]).passes
    return row(item.level, True, " ".join(filter(None, (seen.version, seen.suite, group, digest))), not passes, group)


def _words(error: str) -> str:
    """OpenSSL's reasons are written as constants."""
    return error.lower().replace("_", " ")


def _levels(seen: Seen, group: str, digest: str) -> Iterator[Level]:
    """Of everything that a handshake came to."""
    yield guideline.version(seen.version)
    yield guideline.suite(seen.suite)
    if group:
        yield guideline.group(group)
    if digest:
        yield guideline.exchange_hash(digest)
