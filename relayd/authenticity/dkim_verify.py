"""Verifies DKIM signatures (RFC 6376): dkimpy for header and signature, hashes of our own for the body.

dkimpy wants a whole message in memory and holds the interpreter for as long as it works on it. So it gets the header
section alone, in a thread; the body is hashed block by block. What doesn't count here although it may verify:

* a signature over the start of the body only (l=), since anyone could put more behind it;
* SHA-1 (RFC 8301 §3.1), and keys that are too small or too large;
* a signature without From (RFC 6376 §5.4), and one that has expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import dkim

from relayd.authenticity.dkim_body import body_hash
from relayd.authenticity.dkim_key import KeyFacts, KeyUnfit, read_key
from relayd.authenticity.dkim_signature import DkimSignature, SignatureUnfit, parse_signature
from relayd.authenticity.results import Dkim, Result
from relayd.dns.records import Answer, Records
from relayd.dns.resolver import Resolver
from relayd.mail.body import Body
from relayd.mail.headers import Headers

#: Signatures looked at per message, from the top (RFC 6376 §6.1 lets a verifier limit them).
MOST_SIGNATURES: Final = 5

_FIELD: Final = "dkim-signature"
#: Defects of a header section (relayd.mail.headers) in which two readers may see different fields.
AMBIGUOUS: Final = frozenset({"starts-with-fold", "field-without-name", "space-before-colon", "bare-lf", "bare-cr"})


async def verify(body: Body, dns: Resolver, now: float) -> tuple[Dkim, ...]:
    """A result for each signature, from the top. ``now`` is in seconds since 1970; ``dns`` bounds the time."""
    headers = Headers(body.head)
    if not headers.all(_FIELD):
        return ()
    # dkimpy passes over a line such as "From : x", which others may take for the author.
    verifier = None if AMBIGUOUS & set(headers.defects) else await asyncio.to_thread(_open, body.head)
    if verifier is None:
        return (Dkim(Result.NEUTRAL, "", reason="the header section can't be read"),)
    fields = [field for field in verifier.headers if field[0].lower() == _FIELD.encode()][:MOST_SIGNATURES]
    read = [_read(field, now) for field in fields]
    signatures = [one for one in read if isinstance(one, DkimSignature)]
    keys = await fetch_keys((one.key_name for one in signatures), dns)
    hashes = await hash_body(body, {one.body_canonicalisation for one in signatures})
    results = []
    for field, one in zip(fields, read, strict=True):
        if isinstance(one, DkimSignature):
            one = await _verified(verifier, field, one, keys[one.key_name], hashes[one.body_canonicalisation])
        results.append(one)
    return tuple(results)


async def hash_body(body: Body, canonicalisations: set[str]) -> dict[str, bytes]:
    """The body's SHA-256 in each canonicalisation, in one pass, off the event loop."""
    hashing = {name: body_hash(name) for name in canonicalisations}
    if hashing:
        async for block in body.blocks(min(len(body.head) + 2, body.size)):  # behind the empty line
            for one in hashing.values():
                await asyncio.to_thread(one.feed, block)
    return {name: one.digest() for name, one in hashing.items()}


async def fetch_keys(names: Iterable[str], dns: Resolver) -> dict[str, Records[bytes]]:
    """The TXT records of each name, each asked once and all at the same time."""
    unique = list(dict.fromkeys(names))
    return dict(zip(unique, await asyncio.gather(*map(dns.texts, unique)), strict=True))


def _open(head: bytes) -> Any:
    """dkimpy's reading of a header section, None where it fails. What its parsing of hostile octets comes to, here and
    below, isn't always a DKIMException."""
    try:
        return dkim.DKIM(head + b"\r\n")
    except Exception:
        return None


def _read(field: Any, now: float) -> DkimSignature | Dkim:
    try:
        return parse_signature(field[1], now)
    except SignatureUnfit as unfit:
        return unfit.dkim


async def _verified(verifier: Any, field: Any, signature: DkimSignature, key: Records[bytes], digest: bytes) -> Dkim:
    if not key.answer.certain:
        return signature.result(Result.TEMPERROR, f"DNS doesn't tell its key ({key.answer})")
    if key.answer is not Answer.FOUND or not key.values:
        return signature.result(Result.PERMERROR, "there is no such key")
    # Several records at one name are undefined (RFC 6376 §3.6.2.2): the first one has to do.
    try:
        facts = await asyncio.to_thread(read_key, key.values[0], signature.algorithm)
    except KeyUnfit as unfit:
        return signature.result(Result.POLICY if unfit.weak else Result.PERMERROR, unfit.reason)
    if facts.exact_domain and signature.identity_domain != signature.domain:
        return signature.result(Result.PERMERROR, "the key is for d= itself, not for subdomains in i=")
    if signature.hash != digest:
        return signature.result(Result.FAIL, "the body was changed")
    valid = await asyncio.to_thread(_holds, verifier, field, signature, facts.record)
    if valid is None:
        return signature.result(Result.NEUTRAL, "the signature can't be processed")
    if not valid:
        return signature.result(Result.FAIL, "the header or the signature was changed")
    return signature.result(Result.PASS, _remark(facts))


def _holds(verifier: Any, field: Any, signature: DkimSignature, record: bytes) -> bool | None:
    """dkimpy's part: without bh= it leaves the body alone. None where it can't tell."""
    tags = {
        b"a": signature.algorithm.encode(),
        b"b": signature.signature.encode(),
        b"c": f"{signature.head_canonicalisation}/{signature.body_canonicalisation}".encode(),
        b"d": signature.domain.encode(),
        b"s": signature.selector.encode(),
    }
    names = [name.encode() for name in signature.names]
    try:
        return bool(verifier.verify_sig(tags, names, field, lambda name, timeout=0: record))
    except Exception:
        return None


def _remark(facts: KeyFacts) -> str:
    """What a reader may want to know of a signature that holds."""
    remarks = [f"{facts.bits}-bit key"] if 0 < facts.bits < 2048 else []
    if facts.testing:
        remarks.append("the domain is testing")
    return ", ".join(remarks)
