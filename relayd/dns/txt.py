"""TXT records for whoever must ask from a thread, such as dkimpy."""

from __future__ import annotations

from collections.abc import Callable

import dns.exception
import dns.resolver


def txt_lookup(server: str, port: int = 53, timeout: float = 5.0) -> Callable[[bytes], bytes | None]:
    """A function from a name to its one TXT record, strings joined (RFC 6376 §3.6.2.2); None when there is none.

    ``timeout`` is in seconds. A resolver that doesn't answer counts as "none": a proof that can't be had is no proof.
    """
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server]
    resolver.port = port
    resolver.lifetime = timeout

    def lookup(name: bytes) -> bytes | None:
        try:
            answer = resolver.resolve(name.decode("ascii").rstrip(".") + ".", "TXT")
        except (dns.exception.DNSException, UnicodeDecodeError):
            return None
        return b"".join(next(iter(answer)).strings)

    return lookup
