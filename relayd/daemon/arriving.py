"""A body on its way in: sealed, scanned and hashed in one pass."""

from __future__ import annotations

from relayd.authenticity.dkim_sign import BodyHash
from relayd.mail.mime import MimeScanner
from relayd.store.blobs import BlobReceiving
from relayd.vault.vault import MessageKey


class Arriving:
    """Where a body's blocks go: sealed store, MIME scanner and DKIM body hash. Each block is seen once."""

    def __init__(self, key: MessageKey, organisation: str, epoch: str, blob: BlobReceiving, *, sign: bool) -> None:
        self.key = key
        self.organisation = organisation
        self.epoch = epoch
        self.blob = blob
        self.scanner = MimeScanner()
        self.body_hash = BodyHash() if sign else None
        self._seen = 0

    def write(self, block: bytes) -> None:
        self.blob.write(block)
        self.scanner.feed(block)
        if self.body_hash is not None:
            self._hash(block)
        self._seen += len(block)

    def discard(self) -> None:
        self.blob.discard()

    def _hash(self, block: bytes) -> None:
        assert self.body_hash is not None
        start = self.scanner.body_start
        if start is None:
            return  # Still in the header section; the blank line isn't here yet.
        self.body_hash.feed(block[max(0, start - self._seen) :] if start > self._seen else block)
