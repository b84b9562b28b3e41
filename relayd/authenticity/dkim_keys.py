"""A domain's DKIM keys and what becomes of them: made, published, signed with, replaced, removed from DNS. Pure.

Keys come in sets of two, RSA for everyone and Ed25519 for those who can (RFC 8463 §3), each with a selector of its own,
and both sign every message. A set goes through four states::

    waiting  ──activate──►  signing  ──a newer set is activated──►  retired  ──IN_FLIGHT──►  removable
    in DNS soon             signs                                   stays in DNS             to be removed from DNS

So two sets are in DNS during a rotation, and no signature is ever looked up in vain: the new set signs only once DNS
shows it, and the old one stays for as long as mail that it signed can be on its way.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

import msgspec

from relayd.errors import RelaydError
from relayd.mail.address import Domain

#: How long a message that was signed may still be verified: our own queue's lifetime (2 days unless set), the next
#: relay's (RFC 5321 §4.5.4.1: 4 to 5 days), and a week for whoever fetches mail late and verifies then.
IN_FLIGHT: Final = timedelta(days=14)


class State(StrEnum):
    """Where a set of keys stands."""

    WAITING = "waiting"
    SIGNING = "signing"
    RETIRED = "retired"
    REMOVABLE = "removable"


class StoredKey(msgspec.Struct, frozen=True):
    """One key. ``public`` is the value of ``p=`` as octets: SubjectPublicKeyInfo for RSA (RFC 6376 §3.6.1), the bare
    key for Ed25519 (RFC 8463 §4). ``wrapped`` is the private key (PKCS #8) sealed under the root key ``root``; empty
    once nothing is signed with it any more."""

    algorithm: Literal["rsa", "ed25519"]
    selector: str
    public: bytes
    root: str
    wrapped: bytes

    def __repr__(self) -> str:
        return f"StoredKey({self.algorithm}, {self.selector})"


class KeySet(msgspec.Struct, frozen=True):
    """Keys that come and go together; times in unix seconds. ``selector`` is what their selectors begin with."""

    selector: str
    made: float
    keys: tuple[StoredKey, ...]
    signs_from: float | None = None
    signs_until: float | None = None

    def state(self, now: float) -> State:
        if self.signs_from is None:
            return State.WAITING
        if self.signs_until is None:
            return State.SIGNING
        return State.RETIRED if now < self.removable_at else State.REMOVABLE

    @property
    def removable_at(self) -> float:
        """When its records may go from DNS; infinite while it signs or waits."""
        return float("inf") if self.signs_until is None else self.signs_until + IN_FLIGHT.total_seconds()


class DomainKeys(msgspec.Struct, frozen=True):
    """All sets of one domain, the oldest first."""

    domain: str
    sets: tuple[KeySet, ...] = ()
    version: Literal[1] = 1

    @property
    def waiting(self) -> KeySet | None:
        return next((one for one in self.sets if one.signs_from is None), None)

    @property
    def signing(self) -> KeySet | None:
        return next((one for one in self.sets if one.signs_from is not None and one.signs_until is None), None)

    def free_selector(self, now: float) -> str:
        """The day, and a number behind it where the day's name is taken."""
        day = f"{datetime.fromtimestamp(now, UTC):%Y%m%d}"
        taken = {one.selector for one in self.sets}
        names = (day if number == 1 else f"{day}-{number}" for number in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def with_new(self, fresh: KeySet, now: float) -> DomainKeys:
        """With ``fresh`` waiting, and without the sets whose time is over. Raises RelaydError."""
        if self.waiting is not None:
            raise RelaydError(
                f"keys {self.waiting.selector} of {self.domain} wait to be signed with already; "
                f"publish them, then: relayd dkim activate {self.domain}"
            )
        if any(one.selector == fresh.selector for one in self.sets):
            raise RelaydError(f"{self.domain} has keys {fresh.selector} already; choose another selector")
        kept = tuple(one for one in self.sets if one.state(now) is not State.REMOVABLE)
        return msgspec.structs.replace(self, sets=(*kept, fresh))

    def activated(self, now: float, selector: str) -> DomainKeys:
        """With the set ``selector`` signing and the one before it retired, its private keys forgotten. Raises
        RelaydError when that set doesn't wait."""
        if self.waiting is None or self.waiting.selector != selector:
            raise RelaydError(f"no keys of {self.domain} wait to be signed with; relayd dkim rotate makes some")
        return msgspec.structs.replace(self, sets=tuple(_after_activation(one, now) for one in self.sets))


def _after_activation(one: KeySet, now: float) -> KeySet:
    if one.signs_from is None:
        return msgspec.structs.replace(one, signs_from=now)
    if one.signs_until is not None:
        return one
    bare = tuple(msgspec.structs.replace(key, root="", wrapped=b"") for key in one.keys)
    return msgspec.structs.replace(one, signs_until=now, keys=bare)


@dataclass(frozen=True, slots=True)
class DkimRecord:
    """A key's TXT record (RFC 6376 §3.6.1)."""

    name: str
    text: str


def record(domain: Domain, key: StoredKey, *, reports: bool) -> DkimRecord:
    """What to publish for ``key``. Its service type is mail alone; where TLS reports are signed with it (``reports``)
    it is any, since RFC 8460 §3 asks for a key whose type covers ``tlsrpt``, and some verifiers know no lists."""
    service = "*" if reports else "email"
    public = base64.b64encode(key.public).decode("ascii")
    return DkimRecord(record_name(domain, key), f"v=DKIM1; k={key.algorithm}; s={service}; p={public}")


def record_name(domain: str, key: StoredKey) -> str:
    return f"{key.selector}._domainkey.{domain}"
