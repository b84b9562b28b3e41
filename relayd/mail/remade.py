"""A mail whose content is made anew: its header stays, new parts come first, and what it was follows unchanged.

::

    multipart/mixed
        multipart/alternative     what is shown: text, and HTML
        application/pdf …         new files
        multipart/mixed …         the content as it came, octet for octet; left out where the new parts say all of it

Nothing here holds the original: it streams between :attr:`Remade.before` and :attr:`Remade.after`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import msgspec

from relayd.mail.composing import Base64Lines
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch

_LINE_END = re.compile(rb"\r\n|\r|\n")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 ._()+-]{1,60}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f/\\]")
#: What says how the old content was written. It goes with that content, where that is kept.
_CONTENT: Final = "content-"
#: An author's signature is over a body that isn't there any more.
_UNTRUE: Final = frozenset({"mime-version", "dkim-signature"})


class NewPart(msgspec.Struct, frozen=True):
    """A part to write. ``type`` may have parameters ("text/html; charset=utf-8"). One with a ``name`` is a file."""

    type: str
    data: bytes
    name: str = ""


@dataclass(frozen=True, slots=True)
class Remade:
    """The header's change, and the octets around the old content: between them stands what followed the old header's
    empty line, if ``keeps`` says so."""

    change: HeaderPatch
    before: bytes
    after: bytes
    keeps: bool


def remade(
    headers: Headers,
    shown: Sequence[NewPart],
    files: Sequence[NewPart],
    boundary: str,
    *,
    keep: bool,
    name: str = "",
) -> Remade:
    """A mail that shows ``shown`` (one, or alternatives from plain to rich) and has ``files``. ``keep`` puts what it
    was behind them: as a file called ``name``, or as it is where that is ""."""
    dropped = tuple(one.number for one in headers.fields if one.name.startswith(_CONTENT) or one.name in _UNTRUE)
    new = [*([_alternatives(shown, boundary)] if shown else []), *map(_written, files)]
    if len(new) == 1 and not keep:
        head, _, content = new[0].partition(b"\r\n\r\n")
        return Remade(HeaderPatch(dropped, b"MIME-Version: 1.0\r\n" + head + b"\r\n"), content, b"", keeps=False)
    put = f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n'.encode("ascii")
    line = f"\r\n--{boundary}".encode("ascii")
    before = b"".join(line + b"\r\n" + one for one in new).removeprefix(b"\r\n")
    if keep:
        before += line + b"\r\n" + _old_fields(headers, name) + b"\r\n"
    change, end = HeaderPatch(dropped, put), line + b"--\r\n"
    return Remade(change, before, end, keeps=True) if keep else Remade(change, before + end, b"", keeps=False)


def _alternatives(shown: Sequence[NewPart], boundary: str) -> bytes:
    if len(shown) == 1:
        return _written(shown[0])
    inner = f"{boundary}-a"
    line = f"\r\n--{inner}".encode("ascii")
    head = f'Content-Type: multipart/alternative; boundary="{inner}"\r\n'.encode("ascii")
    return head + b"".join(line + b"\r\n" + _written(one) for one in shown) + line + b"--\r\n"


def _written(part: NewPart) -> bytes:
    """One part with its header. Text is written so that people can read it in the source."""
    lines = [f"Content-Type: {part.type}"]
    if part.name:
        lines.append(_disposition(part.name))
    if part.type.startswith("text/") and not part.name:
        lines.append("Content-Transfer-Encoding: quoted-printable")
        content = binascii.b2a_qp(_LINE_END.sub(b"\r\n", part.data))
    else:
        lines.append("Content-Transfer-Encoding: base64")
        base64 = Base64Lines()
        content = base64.feed(part.data) + base64.finish()
    return "\r\n".join([*lines, "", ""]).encode("ascii") + content


def _old_fields(headers: Headers, name: str) -> bytes:
    """The old content's own header. What becomes a file is shown by no program beside what is new."""
    old = [one for one in headers.fields if one.name.startswith(_CONTENT)]
    if not name:
        return b"".join(one.raw for one in old)
    fields = b"".join(one.raw for one in old if one.name != "content-disposition")
    return fields + f"{_disposition(name)}\r\n".encode("ascii")


def _disposition(name: str) -> str:
    """RFC 2183, with RFC 2231 for what isn't plain ASCII."""
    clean = _CONTROLS.sub("_", name)
    if _PLAIN_NAME.fullmatch(clean):
        return f'Content-Disposition: attachment;\r\n filename="{clean}"'
    encoded = quote(clean.encode("utf-8", "replace")[:120].decode("utf-8", "ignore"), safe="")
    return f"Content-Disposition: attachment;\r\n filename*=utf-8''{encoded}"
