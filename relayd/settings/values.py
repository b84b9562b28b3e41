"""The small types of settings: each reads what a person writes and says what it expected."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain, normalise_domain, parse_address

_DURATION = re.compile(r"(\d+)(s|m|h|d)")
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|kB|KB|MB|GB)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OCTETS = {
    None: 1,
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_HOST_PORT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>\d{1,5})")
_SPKI = re.compile(r"[0-9a-f]{64}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_CONTRAST = 4.5
_FIELD = re.compile(r"\{([a-z]+)\}")
_FILE_NAME = re.compile(r"(?!\.)[A-Za-z0-9._ -]*")
_THIS_MACHINE = {"127.0.0.1", "localhost", "[::1]"}
_USUAL_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    raise ValueError("expected a duration such as 90s, 20m, 2h or 90d")


def _size(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _OCTETS[match[2]]
    raise ValueError("expected a size such as 256KiB or 36MB")


def _network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        meant = ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        raise ValueError("expected a network such as 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32") from None
    try:
        return ip_network(str(value))
    except ValueError:
        raise ValueError(f"has bits set behind its prefix; write {meant}") from None


def _domain(value: object) -> object:
    try:
        if isinstance(value, str) and not value.startswith("["):
            return normalise_domain(value)
    except SyntaxInvalid:
        pass
    raise ValueError("expected a domain such as clinic.example")


def _host_port(value: object) -> object:
    if isinstance(value, str) and (match := _HOST_PORT.fullmatch(value)) and 0 < int(match["port"]) < 65536:
        return value
    raise ValueError("expected host:port, such as mail.clinic.example:25 or [2001:db8::1]:25")


def _listen_address(value: object) -> object:
    if isinstance(value, str) and (match := _HOST_PORT.fullmatch(value)) and int(match["port"]) < 65536:
        try:
            ip_address(match["six"] or match["host"])
        except ValueError:
            pass
        else:
            return value
    raise ValueError('expected an address and a port in quotes, such as "0.0.0.0:25" or "[::]:25"')


def _loopback_address(value: object) -> object:
    host, _, _ = str(_listen_address(value)).rpartition(":")
    if not ip_address(host.strip("[]")).is_loopback:
        raise ValueError('expected an address of this machine alone, such as "127.0.0.1:9464"')
    return value


def address_and_port(text: str) -> tuple[str, int]:
    """A resolver's place: "127.0.0.1", "::1", "127.0.0.1:5353" or "[::1]:5353" as address and port (53 unless said).
    Raises ValueError."""
    match = _HOST_PORT.fullmatch(text)
    address, port = ((match["six"] or match["host"]), int(match["port"])) if match else (text, 53)
    if not 0 < port < 65536:
        raise ValueError("no port")
    return str(ip_address(address)), port


def _resolver(value: object) -> object:
    try:
        address_and_port(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("expected an IP address, such as 127.0.0.1, or with a port, 127.0.0.1:5353") from None
    return value


def _mail_address(value: object) -> object:
    try:
        if value == "" or (isinstance(value, str) and not parse_address(value).domain.startswith("[")):
            return value
    except SyntaxInvalid:
        pass
    raise ValueError("expected an address such as reports@clinic.example")


def _spki(value: object) -> object:
    if isinstance(value, str):
        digest = value.replace(":", "").strip().lower()
        if _SPKI.fullmatch(digest):
            return digest
    raise ValueError("expected the SHA-256 of the certificate's public key (SPKI): 64 hexadecimal digits in quotes")


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _colour(value: object) -> object:
    if not isinstance(value, str) or not _COLOUR.fullmatch(value):
        raise ValueError('expected a colour in quotes, such as "#0b5d4b"')
    if 1.05 / (_luminance(value) + 0.05) < _CONTRAST:
        raise ValueError("too light: white text on it can't be read (WCAG 2.2 §1.4.3 wants a contrast of 4.5 to 1)")
    return value.lower()


def _web_origin(value: object) -> object:
    """As browsers write it (RFC 6454 §6.1): in lower case, A-labels, without the usual port."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        usual = _USUAL_PORTS[parts.scheme]
        host, port = parts.hostname or "", parts.port
        host = _bracketed(host) or normalise_domain(host)
    except (KeyError, ValueError, SyntaxInvalid):
        host = ""
    if not host or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("expected a scheme and a host alone, such as https://viewer.clinic.example")
    if parts.scheme == "http" and host not in _THIS_MACHINE:
        raise ValueError("expected https://…: the link in each notification")
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def _bracketed(host: str) -> str:
    """An IP address as it stands in an origin, "" for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    return f"[{address}]" if address.version == 6 else str(address)


def _domain_or_none(value: object) -> object:
    return value if value == "" else _domain(value)


def _country(value: object) -> object:
    if isinstance(value, str) and value in SUPPORTED_REGIONS:
        return value
    raise ValueError("expected a country's two letters (ISO 3166) in capitals, such as NL")


def _name(value: object) -> object:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ValueError("expected a short name of lower-case letters, digits, '-', '_' and '.'")


def _file_names(value: object) -> object:
    known = {"message", "number", "type", "version", "reference", "sender", "receiver", "extension"}
    if isinstance(value, str):
        fields = _FIELD.findall(value)
        rest = _FIELD.sub("", value)
        if known.issuperset(fields) and {"message", "number"} <= set(fields) and _FILE_NAME.fullmatch(rest):
            return value
    raise ValueError(
        'expected a file name such as "{type}-{message}-{number}.{extension}", with {message} and {number}'
    )


def at_most(limit: timedelta, words: str) -> AfterValidator:
    """For a Duration that has a longest; ``words`` tell it to people, such as "10m"."""

    def within(value: timedelta) -> timedelta:
        if value > limit:
            raise ValueError(f"expected at most {words}")
        return value

    return AfterValidator(within)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
DomainName = Annotated[Domain, BeforeValidator(_domain)]
HostPort = Annotated[str, BeforeValidator(_host_port)]
ListenAddress = Annotated[str, BeforeValidator(_listen_address)]
LoopbackAddress = Annotated[str, BeforeValidator(_loopback_address)]
ResolverAddress = Annotated[str, BeforeValidator(_resolver)]
MailAddress = Annotated[str, BeforeValidator(_mail_address)]
SpkiDigest = Annotated[str, BeforeValidator(_spki)]
Colour = Annotated[str, BeforeValidator(_colour)]
FileNames = Annotated[str, BeforeValidator(_file_names)]
WebOrigin = Annotated[str, BeforeValidator(_web_origin)]
DomainOrNone = Annotated[Domain, BeforeValidator(_domain_or_none)]
Country = Annotated[str, BeforeValidator(_country)]
Name = Annotated[str, BeforeValidator(_name)]


class Settings(BaseModel):
    """Base of all settings: unknown keys are mistakes, values don't change after loading.

    A relative path counts from the folder that the file is in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @field_validator("*", mode="after")
    @classmethod
    def _from_the_folder(cls, value: Any, info: ValidationInfo) -> Any:
        folder: Path | None = (info.context or {}).get("folder")
        if folder is None:
            return value
        if isinstance(value, Path):
            return folder / value
        if isinstance(value, tuple) and value and isinstance(value[0], Path):
            return tuple(folder / path for path in value)
        return value
