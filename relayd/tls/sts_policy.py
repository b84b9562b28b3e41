"""A domain's MTA-STS policy as a value (RFC 8461 §3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from relayd.mail.address import Domain


class StsMode(StrEnum):
    """ENFORCE: a host that doesn't fit gets nothing. TESTING: it does, but the domain wants to hear of it."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """``id`` is the TXT record's, ``mx`` the patterns as published, ``max_age`` in seconds."""

    domain: Domain
    id: str
    mode: StsMode
    mx: tuple[str, ...]
    max_age: int

    def covers(self, host: str) -> bool:
        """Whether a pattern matches; a wildcard stands for one whole left-most label (RFC 8461 §4.1)."""
        host = host.lower().rstrip(".")
        label, _, parent = host.partition(".")
        return host in self.mx or (bool(label) and f"*.{parent}" in self.mx)


class StsPolicies(Protocol):
    """The policies of the world."""

    async def policy(self, domain: Domain) -> StsPolicy | None:
        """The policy to apply now: fresh, or kept and not yet expired (RFC 8461 §5.1). None when there is none. Never
        raises for what DNS or a server says."""
        ...


class NoStsPolicies:
    """Where nobody fetches policies, there are none."""

    async def policy(self, domain: Domain) -> StsPolicy | None:
        return None
