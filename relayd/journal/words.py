"""Journal records in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from relayd.journal import kinds
from relayd.journal.event import Event

_WORDS: Final[Mapping[str, str]] = {
    kinds.RECEIVED: "received",
    kinds.JUDGED: "judged by the policies",
    kinds.CREATED: "made by relayd itself",
    kinds.ROUTED: "got its route",
    kinds.DELIVERED: "delivered",
    kinds.RELAYED: "delivered to a server that reports nothing further",
    kinds.TRANSFORMED: "its content was made anew",
    kinds.NOT_TRANSFORMED: "its content can't be made anew; it goes out as it came",
    kinds.DEFERRED: "not delivered now; will be tried again",
    kinds.FAILED: "failed for good",
    kinds.AMBIGUOUS: "the reply to the end of the message was lost; it may arrive twice",
    kinds.EXPIRED: "given up: too old",
    kinds.DELAY_NOTICED: "the sender was told of the delay",
    kinds.REPORTED: "a report went to the sender",
    kinds.NOTIFIED: "a notification with the link was sent",
    kinds.LINK_VISITED: "the link was visited",
    kinds.CODE_SENT: "an access code was sent",
    kinds.CODE_FAILED: "an access code could not be sent",
    kinds.WRONG_CODE: "a wrong access code was given",
    kinds.VERIFIED: "the access code was right",
    kinds.OPENED: "read",
    kinds.DOWNLOADED: "downloaded",
    kinds.LOCKED: "locked after too many wrong codes",
    kinds.UNLOCKED: "unlocked",
    kinds.REVOKED: "withdrawn",
    kinds.RESTORED: "may be read again",
    kinds.CONFIRMED: "the sender got the link to follow it",
    kinds.NOTIFICATION_FAILED: "the notification could not be delivered",
    kinds.REMINDED: "the reader was reminded",
    kinds.CODE_DELIVERED: "the access code reached the phone",
    kinds.CODE_LOST: "the access code didn't reach the phone",
    kinds.NUMBER_DISPUTED: "the reader says that the number isn't his",
    kinds.NUMBER_CORRECTED: "the sender corrected the number",
    kinds.PASSKEY_ADDED: "the reader added a passkey",
    kinds.PASSKEYS_REMOVED: "the reader removed his passkeys",
    kinds.REPLIED: "answered",
    kinds.REPLY_FAILED: "the answer didn't arrive; its reader was told",
    kinds.PASSED_ON: "passed on",
    kinds.FORWARD_FAILED: "what was passed on didn't arrive; its reader was told",
    kinds.RECEIPT_SENT: "the read receipt was sent",
    kinds.HELD: "held",
    kinds.RELEASED: "released by an operator",
    kinds.RETRIED: "an operator asked for a try now",
    kinds.CANCELLED: "cancelled by an operator",
    kinds.RESENT: "an operator had it delivered once more",
    kinds.RETENTION_ENDS: "the sender was told that it will soon be forgotten",
    kinds.KEY_REMOVED: "its retention day: its key was removed and nobody can read it any more",
    kinds.EPOCH_DESTROYED: "the week's key was destroyed",
}


def in_words(event: Event) -> str:
    """Who it is about, what happened, and the facts: one line, and one more for each verdict of the policies."""
    line = f"{event.recipient}: " if event.recipient else ""
    line += _WORDS.get(event.kind, event.kind)
    if event.kind == kinds.JUDGED:
        return "\n".join([line, *map(_verdict, event.facts.get("verdicts", ()))])
    told = {name: value for name, value in event.facts.items() if value not in ("", None, [], {})}
    facts = "; ".join(f"{name} {_value(value)}" for name, value in told.items())
    return f"{line} ({facts})" if facts else line


def _verdict(verdict: Mapping[str, Any]) -> str:
    """``sender: pass: recognised by network``, with the recipients that it is about and what it came to."""
    told = f"    {verdict.get('policy')}: {verdict.get('verdict')}: {verdict.get('reason')}"
    if verdict.get("route"):
        told += f" → {' '.join(filter(None, (verdict['route'], verdict.get('target'))))} ({verdict.get('class')})"
    if verdict.get("reply"):
        told += f" → {verdict['reply']}"
    return told + (f" [{_value(verdict['recipients'])}]" if verdict.get("recipients") else "")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_value(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    return str(value)
