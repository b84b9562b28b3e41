"""What of a message is shown and what is offered as a download, decided from its part index alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relayd.mail.meta import Part

ATTACHED_MESSAGE: Final = frozenset({"message/rfc822", "message/global"})
_SHOWN: Final = frozenset({"text/plain", "text/html"})
#: Direction marks and overrides can make "gpj.exe" out of "exe.jpg".
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NAME_LIMIT: Final = 120
_KINDS: Final = (
    ("application/pdf", "PDF"),
    ("image/", "Picture"),
    ("text/csv", "Spreadsheet"),
    ("text/", "Text"),
    ("message/", "E-mail"),
    ("audio/", "Sound"),
    ("video/", "Video"),
    ("application/msword", "Document"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml", "Document"),
    ("application/vnd.oasis.opendocument.text", "Document"),
    ("application/vnd.ms-excel", "Spreadsheet"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml", "Spreadsheet"),
    ("application/vnd.oasis.opendocument.spreadsheet", "Spreadsheet"),
    ("application/zip", "Archive"),
)
#: The words that :func:`kind_of` gives.
KINDS: Final = frozenset({word for _, word in _KINDS} | {"File"})


@dataclass(frozen=True, slots=True)
class Reading:
    """``html`` and ``text`` are the parts to show one after the other in each form; ``inline`` the images that HTML may
    refer to, by Content-ID; ``attachments`` everything a person may want to download."""

    html: tuple[Part, ...]
    text: tuple[Part, ...]
    inline: dict[str, Part]
    attachments: tuple[Part, ...]


def reading(parts: Sequence[Part]) -> Reading:
    """Sort the parts. Nothing inside an attached message is looked at: that message is one attachment."""
    attached = [part.path for part in parts if part.type in ATTACHED_MESSAGE]
    outer = [part for part in parts if not any(_inside(part.path, box) for box in attached)]
    # A multipart that couldn't be taken apart is a file like any other.
    leaves = [part for part in outer if not part.is_container or part.type in ATTACHED_MESSAGE]
    shown = [part for part in leaves if part.type in _SHOWN and part.disposition != "attachment" and not part.names]
    alternatives = {part.path for part in outer if part.type == "multipart/alternative"}
    attachments = [part for part in leaves if part not in shown]
    return Reading(
        html=tuple(_form(shown, alternatives, "text/html")),
        text=tuple(_form(shown, alternatives, "text/plain")),
        inline={
            part.content_id.strip("<> "): part
            for part in attachments
            if part.content_id and part.type.startswith("image/")
        },
        attachments=tuple(attachments),
    )


def shown_size(part: Part) -> int:
    """About how many octets it is when decoded, without decoding it."""
    if part.encoding == "base64":
        return part.length * 57 // 78  # 76 characters and CRLF for 57 octets
    return part.length


def kind_of(kind: str) -> str:
    """What people call a file of this type; one of the words in KINDS."""
    for pattern, word in _KINDS:
        if kind.startswith(pattern):
            return word
    return "File"


def safe_name(part: Part, fallback: str) -> str:
    """A file name that names no folder, hides no extension and fits everywhere."""
    return clean_name(part.names[0] if part.names else fallback) or fallback


def attachment_name(part: Part, fallback: str) -> str:
    """The name a person sees and saves it under; an attached message without one ends in .eml."""
    return safe_name(part, f"{fallback}.eml" if part.type in ATTACHED_MESSAGE else fallback)


def clean_name(name: str) -> str:
    """The same for any name; "" when nothing of it is left."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join("_" if character in '<>:"|?*' else character for character in name if _printable(character))
    kept = " ".join(kept.split()).strip(" .")
    stem, dot, extension = kept.rpartition(".")
    if not stem or len(extension) > 10:
        stem, dot, extension = kept, "", ""
    return f"{stem[:_NAME_LIMIT].strip()}{dot}{extension}"


def _printable(character: str) -> bool:
    return character not in _BIDI and unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def _inside(path: str, box: str) -> bool:
    return path != box and _within(path, box)


def _form(shown: list[Part], alternatives: set[str], wanted: str) -> list[Part]:
    """Of each multipart/alternative the wanted form (or what there is), and every part outside one."""
    chosen: list[Part] = []
    done: set[str] = set()
    for part in shown:
        group = max((path for path in alternatives if _within(part.path, path)), key=len, default=None)
        if group is None:
            chosen.append(part)
            continue
        if group in done:
            continue
        done.add(group)
        choices = [other for other in shown if _within(other.path, group)]
        fitting = [other for other in choices if other.type == wanted]
        chosen += fitting or choices[-1:]
    return chosen


def _within(path: str, group: str) -> bool:
    return path.startswith(f"{group}.") if group else True
