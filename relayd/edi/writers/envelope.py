"""What a converter is told of the envelope that it makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Envelope:
    """The numbers of sender and receiver, which go before a message's own; and when it was made (ISO 8601) and its
    reference, for a message that doesn't say so."""

    sender: str = ""
    receiver: str = ""
    dated: str = ""
    reference: str = ""
