"""MTA-STS over the network: the TXT record from our resolver, the policy from its web server (RFC 8461 §3.3).

The server is a stranger that a mail address chose for us. So: one GET, no redirect, no cache, no cookie, no proxy; a
certificate that proves the name; at most 64 KiB; a minute in all, whatever is still dripping; and only public
addresses, since a name in DNS mustn't make relayd knock on doors inside its own network (relayd.tls.https).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, Protocol

import httpx

from relayd.dns.records import Answer
from relayd.dns.resolver import Resolver
from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain
from relayd.settings.models import Configuration
from relayd.tls import https
from relayd.tls.contexts import https_context
from relayd.tls.mta_sts import (
    MAX_OCTETS,
    PATH,
    StsFetch,
    StsReason,
    StsRecord,
    parse_policy,
    policy_host,
    read_records,
    record_name,
)

#: RFC 8461 §3.3: for everything together, in seconds.
_PATIENCE: Final = 60.0
_HTTPS: Final = 443
#: OpenSSL's X509_V_ERR codes.
_HAS_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_HOST_MISMATCH: Final = 62


class StsSource(Protocol):
    """Where policies come from."""

    async def record(self, domain: Domain) -> StsRecord:
        """What the domain's TXT record says. Never raises for what DNS says."""
        ...

    async def fetch(self, domain: Domain, identity: str) -> StsFetch:
        """The policy from its web server, to be known by ``identity``. Never raises for what a server does."""
        ...


class HttpsStsSource:
    """The world's. ``private_networks`` are those that a policy host may be in beside the public internet. A port
    other than 443 is for tests."""

    def __init__(
        self,
        resolver: Resolver,
        trusted_ca: Path | None = None,
        private_networks: Sequence[IPv4Network | IPv6Network] = (),
        *,
        port: int = _HTTPS,
        patience: float = _PATIENCE,
    ) -> None:
        self._resolver = resolver
        self._trusted_ca = trusted_ca
        self._private_networks = private_networks
        self._port = port
        self._patience = patience

    async def record(self, domain: Domain) -> StsRecord:
        if domain.startswith("["):
            return StsRecord(StsReason.NO_RECORD, detail="an address literal has no policy")
        found = await self._resolver.texts(record_name(domain))
        if not found.answer.certain:
            return StsRecord(StsReason.DNS_FAILED, detail=f"looking up the record ended in {found.answer}")
        return read_records(found.values)

    async def fetch(self, domain: Domain, identity: str) -> StsFetch:
        try:
            async with asyncio.timeout(self._patience):
                return await self._fetch(domain, identity)
        except TimeoutError:
            return StsFetch(StsReason.TIMEOUT, detail=f"no complete answer within {self._patience:g} seconds")

    async def _fetch(self, domain: Domain, identity: str) -> StsFetch:
        host = policy_host(domain)
        found = await self._resolver.addresses(host)
        if found.answer is not Answer.FOUND:
            return StsFetch(StsReason.NO_ADDRESS, detail=f"looking up {host} ended in {found.answer}")
        addresses = https.to_ask(found, self._private_networks)
        if not addresses:
            return StsFetch(StsReason.ADDRESS_NOT_PUBLIC, detail=f"{host} leads into a private network")
        # Loading the CAs takes milliseconds of the loop; policies are fetched rarely enough.
        try:
            context = await asyncio.to_thread(https_context, self._trusted_ca)
        except (OSError, ssl.SSLError):
            return StsFetch(StsReason.CERTIFICATE_UNTRUSTED, detail="the file of tls.trusted_ca can't be read")
        outcome = StsFetch(StsReason.UNREACHABLE)
        async with https.client(context) as client:
            for address in addresses:
                outcome = await self._ask(client, address, domain, identity)
                if outcome.reason is not StsReason.UNREACHABLE:
                    break
        return outcome

    async def _ask(self, client: httpx.AsyncClient, address: str, domain: Domain, identity: str) -> StsFetch:
        host = policy_host(domain)
        uri = httpx.URL(scheme="https", host=host, port=self._port, path=PATH)
        request = https.request("GET", uri, host, address, {"Host": host, "Accept": "text/plain"})
        try:
            response = await client.send(request, stream=True)
            try:
                return await _read(response, domain, identity)
            finally:
                await response.aclose()
        except httpx.ConnectError as error:
            return _not_connected(error)
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError, OSError):
            return StsFetch(StsReason.NOT_HTTP, detail="the server broke off, or doesn't speak HTTP")


def sts_source(configuration: Configuration, resolver: Resolver) -> HttpsStsSource:
    """The world's, as this configuration wants it asked."""
    return HttpsStsSource(resolver, configuration.tls.trusted_ca, configuration.mta_sts.private_networks)


async def _read(response: httpx.Response, domain: Domain, identity: str) -> StsFetch:
    """RFC 8461 §3.3: 200 and nothing else."""
    if 300 <= response.status_code < 400:
        return StsFetch(StsReason.REDIRECT, detail=f"HTTP {response.status_code}; redirects aren't followed")
    if response.status_code != 200:
        return StsFetch(StsReason.HTTP_STATUS, detail=f"HTTP {response.status_code}")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "text/plain":
        return StsFetch(StsReason.MEDIA_TYPE, detail="the media type isn't text/plain")
    octets = b""
    async for block in response.aiter_raw():
        octets += block
        if len(octets) > MAX_OCTETS:
            return StsFetch(StsReason.TOO_LARGE, detail=f"more than {MAX_OCTETS} octets")
    try:
        return StsFetch(StsReason.FOUND, parse_policy(domain, identity, octets))
    except SyntaxInvalid as error:
        return StsFetch(StsReason.POLICY_INVALID, detail=str(error))


def _not_connected(error: BaseException) -> StsFetch:
    """What kept the connection from being made."""
    cause = https.tls_error(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = {
            _HOST_MISMATCH: StsReason.CERTIFICATE_NAME,
            _HAS_EXPIRED: StsReason.CERTIFICATE_EXPIRED,
            _NOT_YET_VALID: StsReason.CERTIFICATE_EXPIRED,
        }.get(cause.verify_code, StsReason.CERTIFICATE_UNTRUSTED)
        return StsFetch(reason, detail=f"the certificate isn't trusted: {cause.verify_message}")
    if cause is not None:
        return StsFetch(StsReason.TLS_FAILED, detail=f"the TLS handshake failed: {cause.reason or 'no reason given'}")
    return StsFetch(StsReason.UNREACHABLE, detail="no connection could be made")
