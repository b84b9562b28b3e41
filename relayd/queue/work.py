"""What lanes carry: the deliveries of one message that can go in one transaction."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from relayd.mail.body import Body
from relayd.mail.meta import MessageMeta
from relayd.store.records import Claimed, Delivery, Message

#: What makes deliveries share connections: route, target (the recipient's domain where there is none), class.
LaneKey = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class Work:
    """One job that waits or runs. ``lease`` numbers the lease under which it was claimed. ``body`` and ``meta`` are at
    hand for what was accepted just now, and read from the store otherwise."""

    message: Message
    deliveries: tuple[Delivery, ...]
    lease: int
    body: Body | None = None
    meta: MessageMeta | None = None

    @property
    def key(self) -> LaneKey:
        return lane_key(self.deliveries[0])


@dataclass(slots=True, eq=False)
class Lane:
    """The work for one next hop. ``listed`` says that it stands in line for a place."""

    waiting: deque[Work] = field(default_factory=deque)
    running: int = 0
    listed: bool = False


def lane_key(delivery: Delivery) -> LaneKey:
    """Undecided deliveries have no route yet and share one lane."""
    if not delivery.route:
        return ("", "", "")
    by_domain = delivery.route == "relay" and not delivery.target
    return (delivery.route, f"mx {delivery.domain}" if by_domain else delivery.target, delivery.message_class)


def grouped(claimed: Claimed, lease: int, body: Body | None = None, meta: MessageMeta | None = None) -> list[Work]:
    """Deliveries that agree in lane and copy become one job."""
    if len(claimed.deliveries) == 1:
        return [Work(claimed.message, claimed.deliveries, lease, body, meta)]
    groups: dict[tuple[LaneKey, int], list[Delivery]] = {}
    for delivery in claimed.deliveries:
        copy = delivery.copy if delivery.route else -1
        groups.setdefault((lane_key(delivery), copy), []).append(delivery)
    return [Work(claimed.message, tuple(group), lease, body, meta) for group in groups.values()]
