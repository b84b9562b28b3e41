"""Answers to HL7 messages: what the sender wants to hear, the ACK or ORL itself, and reading those of others.

In the original mode there is one answer, of the application: AA, AE or AR (HL7 2.5 §2.9.2). In the enhanced mode,
which a sender chooses by filling MSH-15 or MSH-16, there is one on receipt (CA, CE, CR) and one of the application
later, each under its condition (§2.9.3). Positive answers are for what is durable: commit first, then answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from relayd.edi.hl7 import USUAL, Message, Segment, escape, split
from relayd.edi.names_hl7 import ERRORS

#: The order that is answered by a response of its own, with that response (HL7 2.5 chapter 4).
_RESPONSES: Final = {
    ("OML", "O21"): ("ORL", "O22"), ("OML", "O33"): ("ORL", "O34"), ("OML", "O35"): ("ORL", "O36"),
    ("ORM", "O01"): ("ORR", "O02"), ("OMG", "O19"): ("ORG", "O20"), ("OMI", "O23"): ("ORI", "O24"),
}  # fmt: skip


class Answer(StrEnum):
    """Table 0008."""

    ACCEPTED = "AA"
    ERROR = "AE"
    REFUSED = "AR"
    RECEIVED = "CA"
    RECEIPT_ERROR = "CE"
    RECEIPT_REFUSED = "CR"

    @property
    def is_positive(self) -> bool:
        return self in (Answer.ACCEPTED, Answer.RECEIVED)

    @property
    def is_of_receipt(self) -> bool:
        """Of the enhanced mode's first step."""
        return self.value[0] == "C"

    @property
    def may_be_retried(self) -> bool:
        """Whether the same message may do better later: it was refused for a reason outside it (AR, CR)."""
        return self in (Answer.REFUSED, Answer.RECEIPT_REFUSED)


class ErrorCode(StrEnum):
    """Table 0357."""

    SEQUENCE = "100"
    REQUIRED_FIELD = "101"
    DATA_TYPE = "102"
    TABLE_VALUE = "103"
    MESSAGE_TYPE = "200"
    EVENT = "201"
    PROCESSING = "202"
    VERSION = "203"
    UNKNOWN_KEY = "204"
    DUPLICATE_KEY = "205"
    LOCKED = "206"
    INTERNAL = "207"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a message, for its sender. ``segment``, its number among those of its name, and ``field``
    count from 1; "" and 0 are "the message". ``text`` is for people and holds nothing of the message."""

    code: ErrorCode
    segment: str = ""
    number: int = 1
    field: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Which answers a sender wants. ``receipt`` and ``application`` are conditions of table 0155: AL, NE, ER, SU."""

    is_enhanced: bool
    receipt: str
    application: str

    def wants_receipt(self, positive: bool) -> bool:
        """Whether an answer on receipt (CA, CE, CR) is wanted."""
        return self.is_enhanced and _is_met(self.receipt, positive)

    def wants_application(self, positive: bool) -> bool:
        """Whether an answer of the application (AA, AE, AR) is wanted."""
        return not self.is_enhanced or _is_met(self.application, positive)


def _is_met(condition: str, positive: bool) -> bool:
    # An empty condition beside one that is filled is NE (HL7 2.5 §2.15.9.15); an unknown one wants all.
    return {"": False, "NE": False, "ER": not positive, "SU": positive}.get(condition, True)


def wishes(message: Message) -> Wishes:
    """What a message asks for in MSH-15 and MSH-16."""
    header = message.header
    receipt, application = (header.value(15).upper(), header.value(16).upper()) if header else ("", "")
    return Wishes(bool(receipt or application), receipt, application)


def key(message: Message) -> tuple[str, str, str] | None:
    """What makes a message the same as another: sending application, facility, control number. None without one.

    The second of two messages with one key gets the answer of the first, and nothing else happens.
    """
    header = message.header
    if header is None or not header.raw(10):
        return None
    return header.raw(3), header.raw(4), header.raw(10)


def faults(message: Message | None) -> tuple[Fault, ...]:
    """What keeps a message from being taken in at all: without these nobody can say what was received."""
    header = message.header if message is not None else None
    if header is None:
        return (Fault(ErrorCode.SEQUENCE, "MSH", text="The message doesn't begin with MSH"),)
    found = [Fault(ErrorCode.REQUIRED_FIELD, "MSH", 1, field) for field in (9, 10) if not header.raw(field)]
    version = header.value(12)
    if version and not version.startswith("2."):
        found.append(Fault(ErrorCode.VERSION, "MSH", 1, 12))
    return tuple(found)


def acknowledge(
    message: Message | None, answer: Answer, now: datetime, reference: str, problems: Sequence[Fault] = ()
) -> bytes:
    """The answer to ``message`` (None: what came was none), in its separators and character set.

    ``reference`` is our control number, at most 20 characters; ``now`` has a time zone. The answer of an application
    to an order is the response of its type, without the orders; all others are ACK.
    """
    header = message.header if message is not None else None
    separators = message.separators if message is not None else USUAL
    bar, hat, amp = separators.field, separators.component or "^", separators.subcomponent or "&"

    def taken(number: int, otherwise: str = "") -> str:
        return (header.raw(number) if header is not None else "") or otherwise

    version = header.value(12) if header is not None else ""
    fields = [
        "MSH", separators.encoding_characters(), taken(5), taken(6), taken(3), taken(4),
        now.strftime("%Y%m%d%H%M%S%z"), "", _type(header, answer, hat), escape(reference, separators),
        taken(11, "P"), taken(12, "2.5"), "", "", "", "", taken(17), taken(18),
    ]  # fmt: skip
    segments = [_line(fields, bar)]
    is_old = version[:3] in ("2.1", "2.2", "2.3", "2.4")
    words = [escape(fault.text or ERRORS[fault.code], separators) for fault in problems]
    segments.append(_line(["MSA", answer.value, taken(10), words[0] if words and is_old else ""], bar))
    for fault, text in zip(problems, words, strict=True):
        name = escape(ERRORS[fault.code], separators)
        place = [fault.segment, str(fault.number), str(fault.field)] if fault.segment else []
        place = place if fault.field else place[:2]
        if is_old:
            # ERR-1 before 2.5: segment, its number, field, and the error as a coded element.
            place += [""] * (3 - len(place))
            segments.append(_line(["ERR", hat.join([*place, amp.join((fault.code, name, "HL70357"))])], bar))
        else:
            said = text if fault.text else ""
            coded = hat.join((fault.code, name, "HL70357"))
            segments.append(_line(["ERR", "", hat.join(place), coded, "E", "", "", "", said], bar))
    charset = message.charset if message is not None else "ascii"
    return "".join(f"{segment}\r" for segment in segments).encode(charset, "replace")


def _type(header: Segment | None, answer: Answer, hat: str) -> str:
    """MSH-9: with its structure since 2.3.1, where the message has one."""
    code, event = (header.value(9), header.value(9, 2)) if header is not None else ("", "")
    response = None if answer.is_of_receipt else _RESPONSES.get((code, event))
    if response is not None:
        return hat.join((*response, "_".join(response)))
    return hat.join(("ACK", event, "ACK")) if event else "ACK"


def _line(fields: list[str], bar: str) -> str:
    while not fields[-1]:
        fields.pop()
    return bar.join(fields)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that came for a message of ours. ``reference`` is that message's control number; ``errors`` are the
    codes of table 0357."""

    answer: Answer
    reference: str
    errors: tuple[str, ...]


def read_answer(octets: bytes) -> Answered | None:
    """The answer in what came back; None where there is none in it."""
    for message in split(octets).messages:
        for segment in message.segments:
            if segment.tag != "MSA":
                continue
            try:
                answer = Answer(segment.value(1).upper())
            except ValueError:
                return None
            return Answered(answer, segment.value(2), _errors(message))
    return None


def _errors(message: Message) -> tuple[str, ...]:
    """ERR-3 since 2.5; before, the fourth component of ERR-1."""
    codes = (segment.value(3) or segment.value(1, 4) for segment in message.segments if segment.tag == "ERR")
    return tuple(code for code in codes if code)
