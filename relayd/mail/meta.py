"""What relayd knows of a message's content: sealed beside the body, opened only by who needs it."""

from __future__ import annotations

from typing import Final

import msgspec

#: Defects of a multipart or message whose content was not taken apart: it is to be judged like any other file.
OPAQUE: Final = frozenset({"no-boundary", "encoded-container", "too-deep"})
#: Defects of a message's structure behind which another program may find what isn't listed here.
OUT_OF_SIGHT: Final = frozenset(
    {"too-many-parts", "too-many-names", "header-too-long", "unknown-encoding", "repeated:content-transfer-encoding"}
    | {"repeated-boundary", "near-boundary", "ambiguous-type", "file-in-text", "name-too-long"}
)


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One MIME part of the message (RFC 2045), leaf or container.

    ``path`` is its place ("1.2"; "" for the message itself). ``offset`` and ``length`` give its *encoded content*
    within the body, in octets. ``names`` are all decoded names it goes by (filename and name, RFC 2231 and RFC 2047
    decoded), most explicit first. ``type`` is "type/subtype" in lower case, ``charset`` "" when not given.
    ``defects`` name what is wrong with its structure.
    """

    path: str
    type: str
    offset: int
    length: int
    encoding: str = "7bit"
    charset: str = ""
    disposition: str = ""
    names: tuple[str, ...] = ()
    content_id: str = ""
    defects: tuple[str, ...] = ()

    @property
    def is_container(self) -> bool:
        """Its content is other parts, listed apart. False where the scanner could not look into it."""
        holds_parts = self.type.startswith("multipart/") or self.type in ("message/rfc822", "message/global")
        return holds_parts and OPAQUE.isdisjoint(self.defects)


class HeaderPatch(msgspec.Struct, frozen=True, array_like=True):
    """How a copy's header differs from the body's: field numbers to ``drop``, lines to ``put`` in front.

    ``drop`` counts header fields of the original from 0. ``put`` is complete lines, each ending in CRLF.
    """

    drop: tuple[int, ...] = ()
    put: bytes = b""


class Reader(msgspec.Struct, frozen=True):
    """What the sender's side gave for one recipient who reads in the Viewer.

    ``mobile`` is E.164. ``access_code`` is a code that the sender gives him by a way of his own, ``verifier`` the
    argon2id string of one that was given before. ``email``: where there is none of these, the code may go by e-mail.
    ``address`` is whom the notification goes to, where that isn't the delivery's recipient: a mail to a reply address
    goes to the reader behind it. ``thread`` is the conversation that the message belongs to; "" begins a new one.
    """

    mobile: str = ""
    access_code: str = ""
    verifier: str = ""
    email: bool = False
    address: str = ""
    thread: str = ""


class Transformation(msgspec.Struct, frozen=True, array_like=True):
    """How a copy's content is made anew after the commit: by the transform called ``name``, with these options, from
    the parts with these paths. Options are told in the journal and hold no content."""

    name: str
    options: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()

    def option(self, name: str) -> str:
        """An option's value, "" without it."""
        return next((value for key, value in self.options if key == name), "")


class Derived(msgspec.Struct, frozen=True):
    """The sealed facts of a copy that was made anew. Its header is finished: no patch belongs to it."""

    head_length: int
    parts: tuple[Part, ...] = ()


class MessageMeta(msgspec.Struct, frozen=True):
    """The sealed facts of one message. ``copies[n]`` is the patch of copy ``n``; a delivery names its copy.
    ``transformations`` has, by copy, how it is made anew; most mail has none.

    ``head_length`` is the length of the header section in octets (see Body.head). ``readers`` has, by address key, who
    reads in the Viewer and how. ``subject`` is decoded. ``message_id`` is the Message-ID with its brackets, or "".
    ``tls_optional``: the header says ``TLS-Required: No`` (RFC 8689 §3). ``automatic``: a program wrote it.
    ``receipt``: its sender asks to hear when it is read.
    """

    head_length: int
    parts: tuple[Part, ...] = ()
    copies: tuple[HeaderPatch, ...] = (HeaderPatch(),)
    transformations: dict[int, Transformation] = {}
    readers: dict[str, Reader] = {}
    subject: str = ""
    message_id: str = ""
    header_from: str = ""
    tls_optional: bool = False
    automatic: bool = False
    receipt: bool = False
