"""Sealing and opening what is known of a message's content, and of copies of it that were made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from relayd.mail.meta import Derived, MessageMeta

if TYPE_CHECKING:
    from relayd.vault.vault import MessageKey

#: The part's name in the sealed format's associated data.
PART = "meta"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(MessageMeta)
_derived = msgspec.msgpack.Decoder(Derived)


def seal_meta(key: MessageKey, meta: MessageMeta) -> bytes:
    """What goes into ``NewMessage.meta``."""
    return key.seal(PART, _encoder.encode(meta))


def open_meta(key: MessageKey, sealed: bytes) -> MessageMeta:
    """The meta of a stored message. Raises SealBroken."""
    return _decoder.decode(key.unseal(PART, sealed))


def copy_part(copy: int) -> str:
    """The part's name of a derived copy's content."""
    return f"copy:{copy}"


def seal_derived(key: MessageKey, copy: int, derived: Derived) -> bytes:
    """What goes into ``DerivedCopy.meta``."""
    return key.seal(f"{copy_part(copy)}:{PART}", _encoder.encode(derived))


def open_derived(key: MessageKey, copy: int, sealed: bytes) -> Derived:
    """The facts of a stored derived copy. Raises SealBroken."""
    return _derived.decode(key.unseal(f"{copy_part(copy)}:{PART}", sealed))
