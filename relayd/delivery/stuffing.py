"""Dot-stuffing, block by block (RFC 5321 §4.5.2). Line ends are never touched: a signature covers them."""

from __future__ import annotations


class DotStuffer:
    """Feeds on content blocks as they come and gives what goes on the wire."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # content starts at the start of a line

    def feed(self, block: bytes) -> bytes:
        """The block with a dot before every dot that starts a line, also where CRLF ended the block before."""
        if not block:
            return block
        lead = b""
        if self._tail == b"\r\n":
            if block.startswith(b"."):
                lead = b"."
        elif self._tail.endswith(b"\r") and block.startswith(b"\n."):
            lead = b"\n."
            block = block[1:]
        self._tail = (self._tail + lead + block[-2:])[-2:]
        if b"\r\n." in block:
            block = block.replace(b"\r\n.", b"\r\n..")
        return lead + block if lead else block

    def end(self) -> bytes:
        """The end of data, on a line of its own."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"
