"""Asking web servers that strangers name: those of MTA-STS policies, and those that take reports.

Only at a public address, and by the address that our own resolver gave, so that nobody resolves the name once more; the
certificate has to prove the name all the same. No redirect, no cookie, no proxy. Time and octets are the caller's.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

import httpx

from relayd.dns.public import may_be_asked
from relayd.dns.records import Addresses

#: How many addresses of one host are tried.
_ADDRESSES: Final = 4


def to_ask(found: Addresses, private_networks: Sequence[IPv4Network | IPv6Network]) -> list[str]:
    """The addresses of a host that are tried, in order: public ones, and those in ``private_networks``."""
    return [one for one in found.addresses if may_be_asked(one, private_networks)][:_ADDRESSES]


def client(context: ssl.SSLContext) -> httpx.AsyncClient:
    """A client for one host. It has no time limit of its own: the caller's is for all of a request."""
    return httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False, timeout=None)  # noqa: S113


def request(
    method: str, uri: httpx.URL, host: str, address: str, headers: Mapping[str, str], content: bytes | None = None
) -> httpx.Request:
    """A request for ``uri`` of ``host`` that goes to ``address``."""
    return httpx.Request(
        method,
        uri.copy_with(host=address),
        headers={"Host": uri.netloc.decode("ascii"), "Accept-Encoding": "identity", "User-Agent": "relayd", **headers},
        content=content,
        extensions={"sni_hostname": host},
    )


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """What of TLS kept a connection from being made, None when it was something else: httpx wraps it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause
