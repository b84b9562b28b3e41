"""Sealing and opening a message's MessageMeta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from relayd.mail.meta import MessageMeta

if TYPE_CHECKING:
    from relayd.vault.vault import MessageKey

#: The part's name in the sealed format's associated data.
PART = "meta"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(MessageMeta)


def seal_meta(key: MessageKey, meta: MessageMeta) -> bytes:
    """What goes into ``NewMessage.meta``."""
    return key.seal(PART, _encoder.encode(meta))


def open_meta(key: MessageKey, sealed: bytes) -> MessageMeta:
    """The meta of a stored message. Raises SealBroken."""
    return _decoder.decode(key.unseal(PART, sealed))
