"""In-box rules: what a message's envelope says, and which rule of a list it meets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from relayd.edi.model import Format, Reading
from relayd.settings.edi import EdiRuleSettings


@dataclass(frozen=True, slots=True)
class Heading:
    """What rules and the gateway look at: one message's type, version, and the numbers of its two sides."""

    format: Format
    type: str = ""
    version: str = ""
    sender: str = ""
    receiver: str = ""


def headings(readings: Iterable[Reading]) -> tuple[Heading, ...]:
    """The headings of all messages, each once. A file without one still has its format."""
    found = [
        Heading(one.format, one.type, one.version, one.sender, one.receiver)
        for reading in readings
        for one in reading.documents or (Heading(reading.format),)
    ]
    return tuple(dict.fromkeys(found))


def hit(
    rules: Sequence[EdiRuleSettings], mail: Iterable[Heading], mailbox: str
) -> tuple[int, EdiRuleSettings, Heading] | None:
    """The first rule that one of a mail's messages meets, its place in the list from 1, and that message.

    ``mailbox`` is the recipient's address.
    """
    seen = tuple(mail)
    for number, rule in enumerate(rules, 1):
        if rule.mailboxes and not any(_like(mailbox, pattern) for pattern in rule.mailboxes):
            continue
        if heading := next((one for one in seen if _meets(one, rule)), None):
            return number, rule, heading
    return None


def _meets(heading: Heading, rule: EdiRuleSettings) -> bool:
    return (
        (rule.format is None or rule.format == heading.format)
        and _like(heading.type, rule.type)
        and _like(heading.version, rule.version)
        and _like(heading.sender, rule.sender)
    )


def _like(value: str, pattern: str) -> bool:
    return pattern == "*" or fnmatchcase(value.strip().casefold(), pattern.casefold())


def receiver_keys(receiver: str) -> tuple[str, ...]:
    """What a receiver may be looked up by: the whole; without its qualifier, or MSH-6 and MSH-5 by themselves."""
    application, caret, facility = receiver.partition("^")
    parts = [receiver, facility, application] if caret else [receiver, receiver.partition(":")[0]]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
