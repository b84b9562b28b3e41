"""TXT records for whoever must ask from a thread, such as dkimpy."""

from __future__ import annotations

from collections.abc import Callable

import dns.exception
import dns.resolver


def txt_lookup(server: str, port: int = 53) -> Callable[[bytes, float], bytes | None]:
    """A function from a name to its one TXT record, strings joined (RFC 6376 §3.6.2.2); None when there is none.

    Its second argument is how long it may take, in seconds. It raises TimeoutError when the resolver doesn't answer or
    can't find out: a proof that can't be had now may be had later.
    """
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server]
    resolver.port = port

    def lookup(name: bytes, seconds: float) -> bytes | None:
        try:
            answer = resolver.resolve(name.decode("ascii").rstrip(".") + ".", "TXT", lifetime=seconds)
        except (dns.exception.Timeout, dns.resolver.NoNameservers) as error:
            raise TimeoutError("the resolver doesn't answer") from error
        except (dns.exception.DNSException, UnicodeDecodeError):
            return None
        return b"".join(next(iter(answer)).strings)

    return lookup
