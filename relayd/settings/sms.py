"""The settings of text messages: the gateways, which of them gets a message, and how their receipts come."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from relayd.settings.values import Country, HostPort, Name, Network, Settings

#: Octets that a password of SMPP may have, without its end (SMPP 3.4 §5.2.2).
LONGEST_PASSWORD: Final = 8
_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SOURCE: Final = r"^(\+?[0-9]{1,15}|[A-Za-z0-9 ._&-]{1,11})$"
#: Countries (ISO 3166) whose mobiles get codes unless a setting says others.
COUNTRIES: Final = ("NL", "BE", "DE", "LU")
#: What a template of ``sender: http`` is filled with.
PLACEHOLDERS: Final = ("number", "text", "reference", "id", "secret")
_PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,14}")


def _prefix(value: object) -> object:
    if isinstance(value, str) and _PREFIX.fullmatch(value):
        return value
    raise ValueError('expected the beginning of numbers in quotes, such as "+32"')


class SmppSettings(Settings):
    """A gateway's SMPP 3.4 interface."""

    address: HostPort = Field(description='Where it listens, for TLS: "smpp.gateway.example:3550".')
    system_id: str = Field(min_length=1, max_length=15, description="Our name there; the password is in secret_file.")
    source: str = Field(pattern=_SOURCE, description="Sender of the messages: a number, or up to 11 letters.")
    alphabet: Literal["gsm7", "latin1"] = Field(
        "gsm7", description="latin1 for a gateway that doesn't take the default alphabet of GSM 03.38."
    )
    ca: Path | None = Field(None, description="CAs that prove its certificate; the system's when absent.")
    plaintext: bool = Field(False, description="Without TLS: for a gateway on this machine only.")


class ReceiptSettings(Settings):
    """How a gateway tells by HTTP what became of a message: POST /sms/receipts/NAME on the Viewer."""

    id: str = Field("id", description='Field of the JSON or form that names the message; "message.id" inside another.')
    state: str = Field("status", description="Field that says what became of it.")
    delivered: tuple[str, ...] = Field(("delivered",), description="What that field says when it reached the phone.")
    failed: tuple[str, ...] = Field(("failed", "undelivered", "expired"), description="And when it never will.")
    secret_file: Path = Field(description="The secret that the gateway shows or signs with; not readable by others.")
    secret_header: str = Field("", description="Header that holds the secret itself.")
    signature_header: str = Field("", description="Or: header with the HMAC-SHA256 of the body by the secret.")
    networks: tuple[Network, ...] = Field((), description="Where receipts come from; empty: from anywhere.")


class GatewaySettings(Settings):
    """One way out for text messages."""

    sender: Literal["none", "file", "http", "smpp"] = Field(
        "none", description="file is for the demo and for tests only."
    )
    file: Path | None = Field(None, description="Where the file sender writes; needs demo: true.")
    url: str = Field("", description="http: where the request goes.")
    method: Literal["POST", "GET"] = Field("POST", description="http: the request's method.")
    headers: dict[str, str] = Field({}, description="http: header templates; {secret} is read from secret_file.")
    body: str = Field(
        "", description="http: body template with {number}, {text}, {reference}, {id}, {secret}, JSON-escaped."
    )
    secret_file: Path | None = Field(
        None, description="http, smpp: file with the gateway's secret or password (smpp: at most 8 characters)."
    )
    success: tuple[int, ...] = Field((200, 201, 202, 204), description="http: status codes that mean accepted.")
    answer_id: str = Field(
        "", description='http: field of the answer with the gateway\'s own id ("messages.0.id"), if it takes no {id}.'
    )
    smpp: SmppSettings | None = Field(None, description="smpp: where, and as whom.")
    receipts: ReceiptSettings | None = Field(None, description="http: how its delivery receipts come.")
    per_day: int = Field(0, ge=0, description="At most so many a day by this gateway; 0: no limit of its own.")


class SmsSettings(GatewaySettings):
    """How access codes are sent: by the one gateway set here, or by several under ``gateways``."""

    gateways: dict[Name, GatewaySettings] = Field({}, description="Several gateways by name, instead of the one here.")
    failover: tuple[Name, ...] = Field((), description="Which gateways are tried, in this order; empty: as they stand.")
    by_prefix: dict[Annotated[str, BeforeValidator(_prefix)], tuple[Name, ...]] = Field(
        {}, description='The same for numbers that begin so: {"+32": [belgian]}. The longest prefix counts.'
    )
    countries: tuple[Country, ...] = Field(COUNTRIES, description="Countries whose mobiles get codes.")
    per_organisation: int = Field(2000, ge=1, description="At most so many SMS per organisation and day.")
    per_hour: int = Field(3000, ge=1, description="At most so many SMS per hour together: stops a run-away.")

    @property
    def named(self) -> dict[str, GatewaySettings]:
        """All gateways by name. A single one is called after its kind: "http"."""
        return dict(self.gateways) or {self.sender: self}


def keeps_secrets(url: str) -> bool:
    """Whether a request to this address can be read by nobody else: HTTPS, or never off this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _HERE))


def on_this_machine(address: str) -> bool:
    """Whether "host:port" is a place on this machine."""
    return address.rpartition(":")[0].strip("[]") in _HERE
