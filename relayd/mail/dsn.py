"""Delivery status notifications (RFC 3461, RFC 3464; RFC 6533 for internationalised ones).

A report has three parts: an explanation for people in Dutch and English, the fields for programs, and the header
section of the message (RET=HDRS, the default: content is confidential) or all of it (RET=FULL). With RET=FULL the
content is not built in here: ``build_full_report`` gives what goes before and behind its stream.

A report goes out with the null reverse-path, and there is never one about a message that had it (RFC 3461 §6.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from relayd.errors import SyntaxInvalid
from relayd.mail.envelope import Notify
from relayd.mail.parameters import decode_orcpt, decode_xtext
from relayd.mail.received import format_date

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SMTP_REPLY = re.compile(r"[2-5][0-9]{2}(?:[ -]|$)")
_WIDTH = 900


class Action(StrEnum):
    """RFC 3464 §2.3.3, without ``expanded``: relayd expands no lists."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What became of one recipient. ``final`` is the address we delivered to, ``orcpt`` as it was sent, ``status`` an
    enhanced code, ``remote`` the host it was about ("" when it was us) and ``reply`` its SMTP reply, or in our words
    why there is none; ``until``: how long a delayed one is still tried."""

    final: str
    action: Action
    status: str
    orcpt: str | None = None
    remote: str = ""
    reply: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """One report to ``to`` about one message. ``sender`` is its From address, ``head`` the original's header section,
    ``envid`` xtext as it was sent, ``arrived`` when we took the message over."""

    id: str
    hostname: str
    sender: str
    to: str
    recipients: tuple[ReportedRecipient, ...]
    arrived: float
    now: float
    head: bytes
    envid: str | None = None
    smtputf8: bool = False


def wants_report(notify: frozenset[Notify] | None, action: Action) -> bool:
    """Whether a recipient with this NOTIFY is to be reported so (RFC 3461 §4.1; None: failures and delays)."""
    wanted = frozenset({Notify.FAILURE, Notify.DELAY}) if notify is None else notify
    match action:
        case Action.FAILED:
            return Notify.FAILURE in wanted
        case Action.DELAYED:
            return Notify.DELAY in wanted
    return Notify.SUCCESS in wanted


def build_report(request: ReportRequest) -> bytes:
    """The complete report, with the header section of the original."""
    kind = "message/global-headers" if _is_international(request) else "text/rfc822-headers"
    head = request.head if request.head.endswith(b"\r\n") or not request.head else request.head + b"\r\n"
    return _before(request, kind, not request.head.isascii()) + head + _after(request)


def build_full_report(request: ReportRequest) -> tuple[bytes, bytes]:
    """What goes before and behind the octets of the original (RFC 3461 §4.3: only where RET=FULL asked for it)."""
    kind = "message/global" if _is_international(request) else "message/rfc822"
    return _before(request, kind, True), _after(request)


def _is_international(request: ReportRequest) -> bool:
    """RFC 6533 §4: needed as soon as an address or the header section isn't ASCII."""
    return request.smtputf8 and not (
        request.head.isascii() and request.to.isascii() and all(one.final.isascii() for one in request.recipients)
    )


def _boundary(request: ReportRequest) -> str:
    """Can't occur in the original: it holds an id that was made after that had come in."""
    return f"=_report_{request.id}"


def _before(request: ReportRequest, kind: str, eight_bit: bool) -> bytes:
    international = _is_international(request)
    boundary = _boundary(request)
    status_kind = "message/global-delivery-status" if international else "message/delivery-status"
    encoding = "8bit" if eight_bit else "7bit"
    lines = [
        f"From: Mail Delivery System <{request.sender}>",
        f"To: {request.to}",
        f"Subject: {_subject(request)}",
        f"Date: {format_date(request.now)}",
        f"Message-ID: <{request.id}@{request.hostname}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type="
        f"{'global-delivery-status' if international else 'delivery-status'};",
        f'\tboundary="{boundary}"',
        f"Content-Transfer-Encoding: {'8bit' if eight_bit or international else '7bit'}",
        "",
        f"--{boundary}",
        f"Content-Type: text/plain; charset={'utf-8' if international else 'us-ascii'}",
        f"Content-Transfer-Encoding: {'8bit' if international else '7bit'}",
        "Content-Language: nl, en",
        "",
        *_explanation(request),
        "",
        f"--{boundary}",
        f"Content-Type: {status_kind}",
        f"Content-Transfer-Encoding: {'8bit' if international else '7bit'}",
        "",
        *_message_fields(request),
        *(line for one in request.recipients for line in _recipient_fields(one, international)),
        "",
        f"--{boundary}",
        f"Content-Type: {kind}",
        f"Content-Transfer-Encoding: {encoding}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8" if international else "ascii", "replace")


def _after(request: ReportRequest) -> bytes:
    return f"\r\n--{_boundary(request)}--\r\n".encode("ascii")


_SUBJECTS = {
    Action.FAILED: "Niet bezorgd / Undelivered mail",
    Action.DELAYED: "Vertraagd / Delayed mail",
    Action.DELIVERED: "Bezorgd / Delivered mail",
    Action.RELAYED: "Doorgegeven / Relayed mail",
}
_DUTCH = {
    Action.FAILED: "Uw bericht kon niet worden bezorgd bij:",
    Action.DELAYED: "Uw bericht is nog niet bezorgd; wij blijven het proberen. U hoeft niets te doen. Het gaat om:",
    Action.DELIVERED: "Uw bericht is bezorgd bij:",
    Action.RELAYED: "Uw bericht is doorgegeven aan een mailserver die geen ontvangst meldt, voor:",
}
_ENGLISH = {
    Action.FAILED: "Your message could not be delivered to:",
    Action.DELAYED: "Your message has not been delivered yet; we keep trying. You need not do anything. It is for:",
    Action.DELIVERED: "Your message was delivered to:",
    Action.RELAYED: "Your message was passed to a mail server that sends no delivery reports, for:",
}
#: The most important first: it names the report.
_ORDER = (Action.FAILED, Action.DELAYED, Action.DELIVERED, Action.RELAYED)


def _subject(request: ReportRequest) -> str:
    actions = {one.action for one in request.recipients}
    return next(_SUBJECTS[action] for action in _ORDER if action in actions)


def _explanation(request: ReportRequest) -> list[str]:
    lines: list[str] = []
    for texts, answer, until in (
        (_DUTCH, "antwoord van", "Wij proberen het tot"),
        (_ENGLISH, "reply of", "We keep trying until"),
    ):
        for action in _ORDER:
            chosen = [one for one in request.recipients if one.action is action]
            if not chosen:
                continue
            lines += [texts[action], ""]
            for one in chosen:
                lines.append(f"  <{_clean(one.final)}> ({_status(one)})")
                if one.reply:
                    said = f"{answer} {_clean(one.remote)}" if _replied(one) else request.hostname
                    lines.append(f"    {said}: {_clean(one.reply)}")
                if one.until is not None:
                    lines.append(f"    {until} {format_date(one.until)}.")
            lines.append("")
    lines.append(f"{request.hostname}, {request.id}")
    return lines


def _message_fields(request: ReportRequest) -> list[str]:
    """The per-message fields (RFC 3464 §2.2)."""
    fields = []
    if request.envid is not None:
        fields.append(f"Original-Envelope-Id: {_clean(_readable(request.envid))}")
    fields.append(f"Reporting-MTA: dns; {request.hostname}")
    fields.append(f"Arrival-Date: {format_date(request.arrived)}")
    return fields


def _recipient_fields(one: ReportedRecipient, international: bool) -> list[str]:
    """The empty line and the fields of one recipient (RFC 3464 §2.3)."""
    fields = [""]
    if one.orcpt is not None and (original := _original(one.orcpt, international)):
        fields.append(f"Original-Recipient: {original}")
    fields.append(f"Final-Recipient: {_typed(one.final, international)}")
    fields.append(f"Action: {one.action}")
    fields.append(f"Status: {_status(one)}")
    if one.remote:
        fields.append(f"Remote-MTA: dns; {_clean(one.remote)}")
    if one.reply:
        fields.append(f"Diagnostic-Code: {'smtp' if _replied(one) else 'x-relayd'}; {_clean(one.reply)}")
    if one.action is Action.DELAYED and one.until is not None:
        fields.append(f"Will-Retry-Until: {format_date(one.until)}")
    return fields


def _replied(one: ReportedRecipient) -> bool:
    """Whether the reply is the remote's own: a diagnostic of type smtp is nothing else (RFC 3464 §2.3.6)."""
    return bool(one.remote) and _SMTP_REPLY.match(one.reply) is not None


def _original(orcpt: str, international: bool) -> str:
    """Original-Recipient of an ORCPT (RFC 3464 §2.3.1): the xtext is decoded."""
    try:
        kind, address = decode_orcpt(orcpt)
    except SyntaxInvalid:
        return ""
    if kind.lower() == "utf-8":
        return _typed(address, international)
    return f"{kind}; {_clean(address)}"


def _typed(address: str, international: bool) -> str:
    """``address`` with its type. RFC 6533 §3: in a 7-bit report what isn't ASCII is written as \\x{HEX}."""
    address = _clean(address)
    if address.isascii():
        return f"rfc822; {address}"
    if international:
        return f"utf-8; {address}"
    escaped = "".join(c if c.isascii() and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in address)
    return f"utf-8; {escaped}"


def _readable(envid: str) -> str:
    try:
        return decode_xtext(envid)
    except SyntaxInvalid:
        return envid


def _status(one: ReportedRecipient) -> str:
    """RFC 3464 §2.3.4: x.0.0 when there is nothing better, and the class that the action demands."""
    wanted = {Action.FAILED: "5", Action.DELAYED: "4"}.get(one.action, "2")
    if _STATUS.fullmatch(one.status) and (one.status[0] == wanted or (wanted == "5" and one.status[0] == "4")):
        return one.status
    return f"{wanted}.0.0"


def _clean(text: str) -> str:
    """``text`` on one line: a reply may have several, and a peer may send anything."""
    return _UNPRINTABLE.sub(" ", text).strip()[:_WIDTH]
