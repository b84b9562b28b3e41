"""What of a message is shown and what is offered as a download, decided from its part index alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from relayd.mail.meta import Part

ATTACHED_MESSAGE: Final = frozenset({"message/rfc822", "message/global"})
_SHOWN: Final = frozenset({"text/plain", "text/html"})
#: Direction marks and overrides can make "gpj.exe" out of "exe.jpg".
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NAME_LIMIT: Final = 120
#: File systems take 255 octets or UTF-16 units; the rest is for a number behind it, and for what a browser adds.
_NAME_OCTETS: Final = 200
#: What Windows takes for a device, whatever extension follows.
_DEVICES: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789\u00b9\u00b2\u00b3"}
)
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
    boxes = {part.path for part in parts if part.type in ATTACHED_MESSAGE}
    outer = [part for part in parts if _outermost(part.path, boxes) is None]
    # A multipart that couldn't be taken apart is a file like any other.
    leaves = [part for part in outer if not part.is_container or part.type in ATTACHED_MESSAGE]
    shown = [part for part in leaves if _is_shown(part)]
    attachments = [part for part in leaves if not _is_shown(part)]
    alternatives = {part.path for part in outer if part.type == "multipart/alternative"}
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
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join("_" if character in '<>:"|?*' else character for character in name if _printable(character))
    kept = " ".join(kept.split()).strip(" .")
    stem, dot, extension = kept.rpartition(".")
    if not stem or len(extension) > 10:
        stem, dot, extension = kept, "", ""
    stem = _start(stem, _NAME_LIMIT, _NAME_OCTETS - len(f"{dot}{extension}".encode()))
    kept = f"{stem}{dot}{extension}" if dot else stem.rstrip(" .")
    return f"_{kept}" if kept.partition(".")[0].rstrip().upper() in _DEVICES else kept


def _start(text: str, characters: int, octets: int) -> str:
    return text[:characters].encode()[:octets].decode(errors="ignore").strip()


def _printable(character: str) -> bool:
    return character not in _BIDI and unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def _is_shown(part: Part) -> bool:
    return part.type in _SHOWN and part.disposition != "attachment" and not part.names


def _outermost(path: str, containers: Collection[str]) -> str | None:
    """The outermost of these containers that this part is in. Costs as much as the part lies deep, however many there
    are."""
    if not path:
        return None
    steps = path.split(".")
    above = (".".join(steps[:depth]) for depth in range(len(steps)))
    return next((one for one in above if one in containers), None)


def _form(shown: list[Part], alternatives: set[str], wanted: str) -> list[Part]:
    """Of each multipart/alternative the wanted form (or what there is), and every part outside one."""
    groups: dict[str, list[Part]] = {}
    for part in shown:
        group = _outermost(part.path, alternatives)
        groups.setdefault(part.path if group is None else group, []).append(part)
    return [
        part for choices in groups.values() for part in [one for one in choices if one.type == wanted] or choices[-1:]
    ]
