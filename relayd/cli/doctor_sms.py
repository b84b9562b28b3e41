"""``relayd doctor``: can codes be sent by SMS, how much of each gateway's day is used, and does it look like fraud?"""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from relayd.cli.connect import existing_database
from relayd.cli.findings import Finding, Level
from relayd.clock import SystemClock
from relayd.errors import ConfigurationError, RelaydError
from relayd.settings.models import Configuration
from relayd.settings.sms import GatewaySettings, SmppSettings, SmsSettings
from relayd.sms.message import Receipt
from relayd.sms.secret import read_secret
from relayd.sms.smpp_link import BindRefused, open_link
from relayd.store.client import StoreClient
from relayd.store.database import open_reader
from relayd.store.server import SOCKET
from relayd.store.viewer_sms import Country, viewer_sms_countries, viewer_sms_gateways

_PATIENCE = 10.0
#: A share of a day that is used this far soon runs out.
_NEARLY = 0.8
#: SMPP 3.4 §5.1.3: this system_id is bound, by the running relayd.
_ALREADY_BOUND = 0x05


def sms_use(configuration: Configuration) -> Iterator[Finding]:
    """What the store knows."""
    if not configuration.viewer.enabled:
        return

    try:
        used, countries = asyncio.run(_ask(configuration))
    except (RelaydError, sqlite3.OperationalError):
        return  # The line about the store says it; or the database is an older version's, until the next start.
    yield from shares(configuration.sms, used)
    yield from fraud(countries)


async def _ask(configuration: Configuration) -> tuple[dict[str, int], list[Country]]:
    client = StoreClient(configuration.state / SOCKET)
    try:
        await client.connect()
    except RelaydError:
        now = SystemClock().now()
        database = await open_reader(existing_database(configuration))
        try:
            return await database.run(lambda db: (viewer_sms_gateways(db, now), viewer_sms_countries(db, now)))
        finally:
            await database.close()
    try:
        return await client.call("viewer_sms_gateways"), await client.call("viewer_sms_countries")
    finally:
        await client.close()


def shares(sms: SmsSettings, used: Mapping[str, int]) -> Iterator[Finding]:
    """How much of each gateway's day is used."""
    for name, gateway in sms.named.items():
        if not gateway.per_day:
            continue
        count = used.get(name, 0)
        text = f"{name} was given {count} of the {gateway.per_day} messages of its day"
        if count < gateway.per_day * _NEARLY:
            yield Finding("sms", Level.OK, text)
        else:
            level = Level.BAD if count >= gateway.per_day else Level.WARN
            yield Finding("sms", level, text, "find out why it is so many; then per_day may be higher")


def fraud(countries: Sequence[Country]) -> Iterator[Finding]:
    """Where the last hour looks like fraud."""
    for one in countries:
        if one.suspicious:
            text = f"{one.sends} messages to {one.region} within an hour, and {one.used} right codes: it may be fraud"
            yield Finding("sms", Level.WARN, text, "docs/operating.md, SMS, says how to find out and what to do")


async def sms_gateways(configuration: Configuration) -> list[Finding]:
    """Whether each gateway can be reached. Sends nothing."""
    if not configuration.viewer.enabled:
        return []
    return await asyncio.gather(*(_gateway(name, one) for name, one in configuration.sms.named.items()))


async def _gateway(name: str, gateway: GatewaySettings) -> Finding:
    try:
        match gateway.sender:
            case "none":
                return Finding("sms", Level.WARN, "no gateway: codes can't be sent", "set sms in relayd.yaml")
            case "file":
                return Finding("sms", Level.OK, f"{name} writes to {gateway.file}")
            case "http":
                return await _http(name, gateway)
            case "smpp":
                return await _smpp(name, gateway)
    except ConfigurationError as error:
        return Finding("sms", Level.BAD, f"{name}: {error}", "relayd check says more")
    except (OSError, ValueError) as error:
        text = f"{name} can't be reached ({type(error).__name__})"
        return Finding(
            "sms", Level.BAD, text, "codes fail or go by the next gateway; see the network and its status page"
        )


async def _http(name: str, gateway: GatewaySettings) -> Finding:
    parts = urlsplit(gateway.url)
    secure = parts.scheme == "https"
    async with asyncio.timeout(_PATIENCE):
        _, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if secure else 80), ssl=ssl.create_default_context() if secure else None
        )
    writer.close()
    return Finding("sms", Level.OK, f"{name} can be reached{' by TLS' if secure else ''}")


async def _smpp(name: str, gateway: GatewaySettings) -> Finding:
    if gateway.smpp is None or gateway.secret_file is None:
        return Finding("sms", Level.BAD, f"{name} lacks smpp or secret_file", "relayd check says more")
    try:
        await _bind(gateway.smpp, read_secret(gateway.secret_file))
    except BindRefused as error:
        if error.status == _ALREADY_BOUND:
            return Finding("sms", Level.OK, f"{name} can be reached; it is bound already and allows one bind")
        text = f"{name} refuses the bind with status {error.status:#x}"
        return Finding("sms", Level.BAD, text, "see system_id and the password, and ask the gateway's operator")
    return Finding("sms", Level.OK, f"{name} lets us bind{'' if gateway.smpp.plaintext else ' by TLS'}")


async def _bind(settings: SmppSettings, password: str) -> None:
    async def heard(_: Receipt) -> None:
        """A transmitter is brought no receipts: these are the running relayd's."""

    link = await open_link(settings, password, heard, command="bind_transmitter")
    await link.close()
