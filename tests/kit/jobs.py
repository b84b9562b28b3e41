"""Makes messages, deliveries, contents and jobs for delivery tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from relayd.mail.meta import HeaderPatch, MessageMeta
from relayd.queue.outcome import Job
from relayd.store.records import BlobRef, Delivery, Message, State

CONTENT = b"From: a@hospital.example\r\nTo: b@partner.example\r\nSubject: x\r\n\r\nhello\r\n.dot\r\n..two\r\nend\r\n"


class Blocks:
    """Content, and a Body, over octets in memory, handed out in blocks of ``block`` octets."""

    def __init__(self, data: bytes = CONTENT, block: int = 65536) -> None:
        self.data = data
        self.block = block

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0] + b"\r\n"

    async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        data = self.data[start:] if length is None else self.data[start : start + length]
        for at in range(0, len(data), self.block):
            yield data[at : at + self.block]


def make_message(**changes: Any) -> Message:
    facts: dict[str, Any] = {
        "id": "m1",
        "organisation": "hospital",
        "epoch": "2026-W48",
        "received_at": 1000.0,
        "expires_at": 1e9,
        "sender": "a@hospital.example",
        "size": len(CONTENT),
        "origin": "relay",
        "wrapped_key": b"",
        "body": BlobRef("", 0, 0),
        "meta": b"",
    }
    return Message(**(facts | changes))


def make_delivery(number: int = 0, recipient: str = "b@partner.example", **changes: Any) -> Delivery:
    facts: dict[str, Any] = {
        "message_id": "m1",
        "number": number,
        "recipient": recipient,
        "domain": recipient.rpartition("@")[2],
        "state": State.QUEUED,
        "route": "relay",
        "target": recipient.rpartition("@")[2],
        "message_class": "confidential",
        "copy": 0,
        "notify": None,
        "orcpt": None,
        "next_attempt": 0.0,
        "attempts": 0,
        "owner": "w1",
        "generation": 1,
        "delayed_notice": False,
        "last_reply": "",
        "updated_at": 0.0,
    }
    return Delivery(**(facts | changes))


def make_job(
    *deliveries: Delivery,
    content: Blocks | None = None,
    message: Message | None = None,
    meta: MessageMeta | None = None,
    still_mine: Callable[[], bool] = lambda: True,
) -> Job:
    return Job(
        message=message or make_message(),
        deliveries=deliveries or (make_delivery(),),
        patch=HeaderPatch(),
        content=content or Blocks(),
        meta=meta or MessageMeta(head_length=0),
        still_mine=still_mine,
    )
