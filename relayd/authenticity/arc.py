"""Verifies ARC chains (RFC 8617), for information only: the protocol is being retired, and no decision rests on it.

dkimpy does it, with the header section alone and in a thread; the body hashes are ours, as for DKIM.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import dkim

from relayd.authenticity.dkim_key import KeyUnfit, parse_tags, read_key
from relayd.authenticity.dkim_verify import AMBIGUOUS, fetch_keys, hash_body
from relayd.authenticity.results import Arc, Result
from relayd.dns.records import Records
from relayd.dns.resolver import Resolver
from relayd.errors import SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.mail.body import Body
from relayd.mail.headers import Field, Headers

#: Longer chains aren't looked at. RFC 8617 §4.2.1 allows fifty, which cost a stranger a quarter of a megabyte and us
#: seconds and a hundred keys; honest ones have three or four.
MOST_INSTANCES: Final = 10
_SETS: Final = ("arc-authentication-results", "arc-message-signature", "arc-seal")
_LONGEST_FIELD: Final = 8192
_SELECTOR: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
_NAMES: Final = re.compile(r"[!-9;-~]+(?:[ \t\r\n]*:[ \t\r\n]*[!-9;-~]+){0,200}")
_INSTANCE: Final = re.compile(r"[ \t]*i[ \t]*=[ \t]*([0-9]{1,3})[ \t]*", re.IGNORECASE)


class _Broken(Exception):
    """The chain can't hold; the text says why."""


async def verify(body: Body, dns: Resolver) -> Arc:
    """What the chain of a message comes to. ``dns`` bounds the time."""
    headers = Headers(body.head)
    fields = {name: headers.all(name) for name in _SETS}
    instances = len(fields["arc-seal"])
    if not any(fields.values()):
        return Arc()
    try:
        if AMBIGUOUS & set(headers.defects):
            raise _Broken("the header section can't be read")
        _check_instances(fields)
        names = _key_names(headers)
    except _Broken as broken:
        return Arc(Result.FAIL, min(instances, MOST_INSTANCES), str(broken))
    keys = await fetch_keys(names, dns)
    if any(not found.answer.certain for found in keys.values()):
        return Arc(Result.TEMPERROR, instances, "DNS doesn't tell all keys")
    hashes = await hash_body(body, {"simple", "relaxed"})
    return replace(await asyncio.to_thread(_judge, body.head, keys, hashes), instances=instances)


def _check_instances(fields: dict[str, list[Field]]) -> None:
    """Each set is whole, and they are numbered from 1 without a gap (RFC 8617 §5.2)."""
    numbers = {name: [_instance(field) for field in found] for name, found in fields.items()}
    expected = list(range(1, len(numbers["arc-seal"]) + 1))
    if len(expected) > MOST_INSTANCES:
        raise _Broken(f"more than {MOST_INSTANCES} instances")
    if any(sorted(found) != expected for found in numbers.values()):
        raise _Broken("a set is missing, broken or there twice")


def _instance(field: Field) -> int:
    """The number in i=, 0 without one: a tag among others, or what ARC-Authentication-Results begins with."""
    if len(field.raw) > _LONGEST_FIELD:
        return 0
    text = field.value.decode("utf-8", "replace")
    parts = [text.partition(";")[0]] if field.name == "arc-authentication-results" else text.split(";")
    found = [int(match[1]) for part in parts if (match := _INSTANCE.fullmatch(part))]
    return found[0] if len(found) == 1 else 0


def _key_names(headers: Headers) -> list[str]:
    names = []
    for name in ("arc-message-signature", "arc-seal"):
        for field in headers.all(name):
            try:
                tags = parse_tags(field.value, _LONGEST_FIELD)
                domain = normalise_domain(tags.get("d", ""))
            except SyntaxInvalid as error:
                raise _Broken(f"a set can't be read: {error}") from None
            if not _SELECTOR.fullmatch(tags.get("s", "")) or not _NAMES.fullmatch(tags.get("h", "from")):
                raise _Broken("a set can't be read")
            names.append(f"{tags['s']}._domainkey.{domain}")
    return names


def _judge(head: bytes, keys: dict[str, Records[bytes]], hashes: dict[str, bytes]) -> Arc:
    def lookup(name: bytes, timeout: float = 0) -> bytes | None:
        found = keys.get(name.decode("ascii", "replace").rstrip(".").lower())
        try:
            return read_key(found.values[0], "rsa-sha256").record if found and found.values else None
        except KeyUnfit:
            return None

    try:
        status, _, _ = _Chain(head + b"\r\n", hashes).verify(dnsfunc=lookup)
    except Exception:  # whatever dkimpy's reading of hostile octets comes to
        return Arc(Result.FAIL, reason="the chain can't be read")
    if status == dkim.CV_Pass:
        return Arc(Result.PASS)
    return Arc(Result.FAIL, reason="a signature doesn't hold, or a seal says that the chain was broken before")


class _Chain(dkim.ARC):  # type: ignore[misc]
    """dkimpy's verification of a chain, with body hashes computed elsewhere."""

    def __init__(self, head: bytes, hashes: dict[str, bytes]) -> None:
        super().__init__(head)
        self._hashes = hashes

    def verify_sig(
        self, sig: dict[bytes, bytes], include_headers: Iterable[bytes], sig_header: Any, dnsfunc: Any
    ) -> Any:
        if b"bh" in sig:
            canonicalisation = sig.get(b"c", b"relaxed/relaxed").decode("ascii").partition("/")[2] or "simple"
            if base64.b64decode(sig[b"bh"]) != self._hashes.get(canonicalisation):
                return False
            sig = {tag: value for tag, value in sig.items() if tag not in (b"bh", b"l")}
        return super().verify_sig(sig, include_headers, sig_header, dnsfunc)
