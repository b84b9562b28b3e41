"""What a policy can say. Verdicts are values: only the pipeline acts on them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from relayd.mail.address import Address
from relayd.mail.meta import Reader, Transformation
from relayd.mail.reply import Reply

#: The transforms there are, and the function of each, which the rendering process runs:
#: ``relayd.rendering.wire.Remake`` in, ``Remade`` out.
TRANSFORMS: Final = {"edi": "relayd.edi.shaping:remake"}


class RouteKind(StrEnum):
    """Where one recipient's copy goes. SYSTEM: by MLLP to a system that takes HL7. REPORT: relayd reads it itself, as a
    report on TLS or DMARC; BOUNCE: as one on a notification of the Viewer's."""

    RELAY = "relay"
    MAILBOX = "mailbox"
    VIEWER = "viewer"
    FOLDER = "folder"
    SYSTEM = "system"
    REPORT = "report"
    BOUNCE = "bounce"


class MessageClass(StrEnum):
    """What an outgoing copy demands of the way: ``docs/tls-decision.md`` has the table.

    CONFIDENTIAL: the next hop's certificate must prove a name from the domainbook. ORDINARY: the best TLS there is.
    NOTICE: relayd's own notifications and reports; policies can't choose it.
    """

    CONFIDENTIAL = "confidential"
    ORDINARY = "ordinary"
    NOTICE = "notice"


class RouteTarget(msgspec.Struct, frozen=True):
    """A route for one recipient.

    ``target`` names the next hop: the domainbook domain for ``relay``, the mailbox or folder's name for these, ""
    for ``viewer``. ``relay`` with class ORDINARY and an empty target means: by the recipient domain's MX.
    """

    kind: RouteKind
    target: str = ""
    message_class: MessageClass = MessageClass.CONFIDENTIAL


class Verdict(msgspec.Struct, frozen=True):
    """Base of all verdicts. ``reason`` is one sentence for the journal and ``explain``; it names no content.

    ``recipients`` are address keys the verdict is about; empty means the whole message.
    """

    reason: str
    recipients: tuple[str, ...] = ()


class Pass(Verdict, frozen=True):
    """Nothing against it."""


class Identify(Verdict, frozen=True, kw_only=True):
    """The message is proven to come from ``organisation``: the one that owns it from here on. "" means that the proof
    of a shared platform's tenant is missing, so that it counts as a stranger's from here on."""

    organisation: str


class Refuse(Verdict, frozen=True, kw_only=True):
    """Refuse with a permanent reply (5yz). After DATA this refuses the message for everyone."""

    reply: Reply


class Defer(Verdict, frozen=True, kw_only=True):
    """Can't be decided now (4yz). After DATA, recipients deferred beside accepted ones stay *undecided* and are
    judged again on retry; when all are deferred the reply is 4yz."""

    reply: Reply


class Hold(Verdict, frozen=True):
    """Accept, but deliver only after an operator's release."""


class RouteTo(Verdict, frozen=True, kw_only=True):
    """Send the copies of ``recipients`` this way. The first route for a recipient wins."""

    route: RouteTarget


class Rewrite(Verdict, frozen=True, kw_only=True):
    """Change the header of the copies of ``recipients`` (all when empty): drop every field of these lower-case
    ``drop`` names, put ``put`` (complete lines, CRLF) in front, replace Subject by ``subject`` when not None."""

    drop: tuple[str, ...] = ()
    put: bytes = b""
    subject: str | None = None


class Transform(Verdict, frozen=True, kw_only=True):
    """Make the content of the copies of ``recipients`` (all when empty) anew. It is done once, after the commit and
    before the first attempt; what fails for good goes out as it came. The first for a recipient wins."""

    transformation: Transformation


class Redirect(Verdict, frozen=True, kw_only=True):
    """At MESSAGE: these recipients stand for the mailbox ``to``, which takes their place from here on."""

    to: Address


class Attach(Verdict, frozen=True, kw_only=True):
    """A private fact found about recipients that a route needs: ``readers`` (address key, how he reads in
    the Viewer). Sealed, never logged."""

    readers: tuple[tuple[str, Reader], ...] = ()
