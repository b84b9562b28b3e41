"""The parameters of MAIL and RCPT (RFC 5321 §4.1.2) and the xtext that some of them hold (RFC 3461 §4).

xtext is validated and kept exactly as sent, since RFC 3461 §5.2 wants it relayed verbatim. What decodes to a control
character is refused: it would end up in the header of a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from relayd.errors import SyntaxInvalid
from relayd.mail.envelope import BodyType, Notify, Ret

_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a1-\ud7ff\ue000-\U0010ffff]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+\-/?^_`{|}~]+")
_PRINTABLE = re.compile(r"[ -~]*+")
#: RFC 6533 §3: utf-8-addr-xtext writes what isn't ASCII as \x{HEX}; unitext may use it as it is.
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_UNITEXT = re.compile("[ -~\u00a1-\ud7ff\ue000-\U0010ffff]*+")

_MOST_ENVID = 100
_MOST_ORCPT = 500


class UnknownParameter(SyntaxInvalid):
    """A keyword that we don't offer (555 5.5.4)."""


@dataclass(frozen=True, slots=True)
class MailParameters:
    """What stood after the reverse-path; the fields mean what they mean in Envelope."""

    size: int | None = None
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    require_tls: bool = False


@dataclass(frozen=True, slots=True)
class RcptParameters:
    """What stood after the forward-path; the fields mean what they mean in Recipient."""

    notify: frozenset[Notify] | None = None
    orcpt: str | None = None


def parse_mail_parameters(text: str) -> MailParameters:
    """The parameters of MAIL. Raises UnknownParameter, or SyntaxInvalid for what is repeated or malformed."""
    size, body, smtputf8, ret, envid, auth, require_tls = None, BodyType.SEVEN_BIT, False, None, None, None, False
    for keyword, value in _split(text):
        match keyword:
            case "SIZE":
                size = _size(value)
            case "BODY":
                body = _body(value)
            case "SMTPUTF8":
                smtputf8 = _flag(value)
            case "RET":
                ret = _ret(value)
            case "ENVID":
                envid = _envid(value)
            case "AUTH":
                auth = _auth(value)
            case "REQUIRETLS":
                require_tls = _flag(value)  # RFC 8689 §2
            case _:
                raise UnknownParameter("this parameter of MAIL is not known")
    return MailParameters(size, body, smtputf8, ret, envid, auth, require_tls)


def parse_rcpt_parameters(text: str, *, smtputf8: bool = False) -> RcptParameters:
    """The parameters of RCPT. ``smtputf8`` allows ORCPT=utf-8 beyond ASCII (RFC 6533 §3). Raises as for MAIL."""
    notify, orcpt = None, None
    for keyword, value in _split(text):
        match keyword:
            case "NOTIFY":
                notify = _notify(value)
            case "ORCPT":
                orcpt = _orcpt(value, smtputf8)
            case _:
                raise UnknownParameter("this parameter of RCPT is not known")
    return RcptParameters(notify, orcpt)


def decode_xtext(text: str) -> str:
    """What xtext stands for. Raises SyntaxInvalid."""
    if not _XTEXT.fullmatch(text):
        raise SyntaxInvalid("not xtext")
    return _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)


def encode_xtext(text: str) -> str:
    """``text`` as xtext. Raises SyntaxInvalid for what isn't ASCII."""
    if not text.isascii():
        raise SyntaxInvalid("xtext stands for ASCII only")
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def decode_orcpt(orcpt: str) -> tuple[str, str]:
    """Address type and address that an ORCPT stands for (RFC 3461 §4.2, RFC 6533 §3). Raises SyntaxInvalid."""
    kind, semicolon, text = orcpt.partition(";")
    if not semicolon or not text or not _ADDRESS_TYPE.fullmatch(kind):
        raise SyntaxInvalid("ORCPT is a type, a semicolon and an address")
    if kind.lower() != "utf-8":
        address = decode_xtext(text)
        if not _PRINTABLE.fullmatch(address):
            raise SyntaxInvalid("ORCPT stands for unprintable text")
        return kind, address
    address = _EMBEDDED.sub(_embedded, _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text))
    if not _UNITEXT.fullmatch(address):
        raise SyntaxInvalid("ORCPT stands for unprintable text")
    return kind, address


def _embedded(match: re.Match[str]) -> str:
    point = int(match[1], 16)
    if point > 0x10FFFF:
        raise SyntaxInvalid("ORCPT names a code point that doesn't exist")
    return chr(point)


def _split(text: str) -> Iterator[tuple[str, str | None]]:
    seen: set[str] = set()
    for word in re.split(r"[ \t]+", text.strip(" \t")) if text.strip(" \t") else ():
        match = _PARAMETER.fullmatch(word)
        if not match:
            raise SyntaxInvalid("a parameter is a keyword, and where it takes one, = and a value")
        keyword = match[1].upper()
        if keyword in seen:
            raise SyntaxInvalid("a parameter is repeated")
        seen.add(keyword)
        yield keyword, match[2]


def _upper(value: str | None) -> str:
    """A word in upper case; "" for none, and for one of other letters, of which some would become ours."""
    return value.upper() if value and value.isascii() else ""


def _size(value: str | None) -> int:
    if value is None or not re.fullmatch(r"[0-9]{1,20}", value):  # RFC 1870 §6
        raise SyntaxInvalid("SIZE takes a number")
    return int(value)


def _body(value: str | None) -> BodyType:
    try:
        return BodyType(_upper(value))
    except ValueError:
        raise SyntaxInvalid("BODY is 7BIT or 8BITMIME") from None


def _flag(value: str | None) -> bool:
    if value is not None:
        raise SyntaxInvalid("SMTPUTF8 and REQUIRETLS take no value")
    return True


def _ret(value: str | None) -> Ret:
    try:
        return Ret(_upper(value))
    except ValueError:
        raise SyntaxInvalid("RET is FULL or HDRS") from None


def _envid(value: str | None) -> str:
    if not value or len(value) > _MOST_ENVID or not _PRINTABLE.fullmatch(decode_xtext(value)):
        raise SyntaxInvalid("ENVID takes at most 100 characters of xtext that stand for printable text")
    return value


def _auth(value: str | None) -> str:
    if not value or len(value) > _MOST_ORCPT or not _PRINTABLE.fullmatch(decode_xtext(value)):  # RFC 4954 §5
        raise SyntaxInvalid("AUTH takes <> or a mailbox as xtext")
    return value


def _notify(value: str | None) -> frozenset[Notify]:
    try:
        words = frozenset(Notify(word) for word in _upper(value).split(","))
    except ValueError:
        raise SyntaxInvalid("NOTIFY is NEVER, or SUCCESS, FAILURE and DELAY with commas between") from None
    if Notify.NEVER in words and len(words) > 1:  # RFC 3461 §4.1
        raise SyntaxInvalid("NOTIFY=NEVER stands alone")
    return words


def _orcpt(value: str | None, smtputf8: bool) -> str:
    if not value or len(value) > _MOST_ORCPT:
        raise SyntaxInvalid("ORCPT takes at most 500 characters")
    if not value.isascii() and not smtputf8:
        raise SyntaxInvalid("ORCPT beyond ASCII needs SMTPUTF8")
    decode_orcpt(value)
    return value
