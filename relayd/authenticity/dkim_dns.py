"""Does DNS show the DKIM keys that we have? One question per key, asked through the resolver."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from relayd.authenticity.dkim_keys import KeySet, StoredKey, record_name
from relayd.dns.records import Answer, Records
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain

_SERVICES: Final = frozenset({"*", "email"})


class Published(StrEnum):
    """What DNS has under a key's name. UNKNOWN: it couldn't be asked."""

    SHOWN = "shown"
    MISSING = "missing"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Publication:
    """One key's record as the world sees it. ``text`` says what is wrong, "" when nothing."""

    key: StoredKey
    name: str
    published: Published
    text: str = ""


async def look(resolver: Resolver, domain: Domain, keys: KeySet) -> list[Publication]:
    """Each key's record."""
    return list(await asyncio.gather(*(_look_one(resolver, domain, key) for key in keys.keys)))


def all_shown(publications: list[Publication]) -> bool:
    return all(one.published is Published.SHOWN for one in publications)


async def _look_one(resolver: Resolver, domain: Domain, key: StoredKey) -> Publication:
    name = record_name(domain, key)
    published, text = compare(await resolver.texts(name), key)
    return Publication(key, name, published, text)


def compare(found: Records[bytes], key: StoredKey) -> tuple[Published, str]:
    """Whether ``found`` is ``key``'s record, as a verifier reads it (RFC 6376 §3.6.1, §3.6.2.2)."""
    if not found.answer.certain:
        return Published.UNKNOWN, f"looking it up ended in {found.answer}"
    if found.answer is not Answer.FOUND or not found.values:
        return Published.MISSING, "there is no such record"
    if len(found.values) > 1:
        return Published.DIFFERENT, "there are several TXT records; verifiers take any one of them"
    tags = _tags(found.values[0])
    if tags is None or tags.get("v", "DKIM1") != "DKIM1":
        return Published.DIFFERENT, "it is no DKIM record"
    if tags.get("p") == "":
        return Published.DIFFERENT, "it revokes the key (p= is empty)"
    if tags.get("k", "rsa") != key.algorithm or _octets(tags.get("p", "")) != key.public:
        return Published.DIFFERENT, "it holds another key"
    if _SERVICES.isdisjoint(one.strip() for one in tags.get("s", "*").split(":")):
        return Published.DIFFERENT, "its service type (s=) isn't mail"
    if "y" in [one.strip() for one in tags.get("t", "").split(":")]:
        return Published.DIFFERENT, "it says that the domain is only testing (t=y)"
    return Published.SHOWN, ""


def _tags(octets: bytes) -> dict[str, str] | None:
    """A tag list (RFC 6376 §3.2); None for anything else."""
    try:
        text = octets.decode("ascii")
    except UnicodeDecodeError:
        return None
    pairs = [piece.partition("=") for piece in text.split(";") if piece.strip()]
    names = [name.strip() for name, _, _ in pairs]
    if not all(equals for _, equals, _ in pairs) or len(set(names)) != len(names):
        return None
    return {name.strip(): value.strip() for name, _, value in pairs}


def _octets(value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except binascii.Error:
        return b""
