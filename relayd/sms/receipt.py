"""Delivery receipts: reading them, and proving that a gateway sent them. Pure; what can't be read says nothing.

A receipt counts only when it is final: on its way, accepted and unknown are no news to a reader.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from relayd.settings.sms import ReceiptSettings
from relayd.sms.message import Receipt
from relayd.sms.smpp_wire import MESSAGE_STATE, RECEIPTED_MESSAGE_ID, Delivered

_FORM: Final = "application/x-www-form-urlencoded"
_LONGEST_ID: Final = 256

#: SMPP 3.4 §5.2.28, and as the texts of appendix B write them. DELETED and REJECTD come to nothing as well.
_ARRIVED: Final = frozenset({2, "DELIVRD"})
_LOST: Final = frozenset({3, 4, 5, 8, "EXPIRED", "DELETED", "UNDELIV", "REJECTD"})
_TEXT_ID: Final = re.compile(r"\bid:\s*(\S{1,64})", re.IGNORECASE)
_TEXT_STATE: Final = re.compile(r"\bstat:\s*([A-Z]{1,7})", re.IGNORECASE)
#: esm_class of a receipt: bits 5 to 2, SMPP 3.4 §5.2.12.
_KIND: Final = 0x3C
_RECEIPT: Final = 0x04


def of_smpp(delivered: Delivered) -> Receipt | None:
    """The receipt in a deliver_sm: from its parameters where it has them, else from its text (appendix B).

    An ordinary message never is one, whatever its text: anybody can send that to our number.
    """
    if delivered.esm_class & _KIND != _RECEIPT:
        return None
    text = delivered.text.decode("latin-1")
    found_id, found_state = _TEXT_ID.search(text), _TEXT_STATE.search(text)
    name = delivered.parameters.get(RECEIPTED_MESSAGE_ID, b"").rstrip(b"\0").decode("latin-1")
    name = name or (found_id[1] if found_id else "")
    octets = delivered.parameters.get(MESSAGE_STATE, b"")
    state = octets[0] if len(octets) == 1 else (found_state[1].upper() if found_state else "")
    if not name or state not in _ARRIVED | _LOST:
        return None
    return Receipt(name, arrived=state in _ARRIVED)


def of_http(settings: ReceiptSettings, kind: str, body: bytes) -> Receipt | None:
    """The receipt in a request of type ``kind``, a form or else JSON."""
    value = _form(body) if kind.lower().startswith(_FORM) else _json(body)
    name, state = field_at(value, settings.id), field_at(value, settings.state)
    if not name or len(name) > _LONGEST_ID or state not in (*settings.delivered, *settings.failed):
        return None
    return Receipt(name, arrived=state in settings.delivered)


def is_proven(settings: ReceiptSettings, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the request shows the secret, or is signed with it: hexadecimal or base64, "sha256=" before it or not.
    ``headers`` finds its names in any case."""
    if settings.signature_header:
        shown = headers.get(settings.signature_header, "").strip().removeprefix("sha256=").encode()
        mac = hmac.digest(secret.encode(), body, "sha256")
        in_hex = hmac.compare_digest(mac.hex().encode(), shown.lower())
        return hmac.compare_digest(b64encode(mac), shown) or in_hex
    shown = headers.get(settings.secret_header, "").strip().removeprefix("Bearer ").encode()
    return hmac.compare_digest(secret.encode(), shown)


def field_at(value: object, path: str) -> str:
    """The text or number at ``path`` ("messages.0.id") in what JSON or a form held; "" when there is none."""
    if isinstance(value, dict) and path in value:
        return _scalar(value[path])
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and re.fullmatch(r"[0-9]{1,3}", step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return ""
    return _scalar(value)


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _form(body: bytes) -> object:
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=100))
    except ValueError:
        return None


def _json(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value
