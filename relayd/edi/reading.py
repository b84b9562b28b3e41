"""Read EDI of any format. Nothing raises out of here, whatever the octets are."""

from __future__ import annotations

from typing import Final, Protocol

from relayd.edi.detect import sniff
from relayd.edi.model import Finding, Format, Reading, Severity, Text
from relayd.edi.readers import edifact, hl7, xml


class Reader(Protocol):
    """What each module of :mod:`relayd.edi.readers` is."""

    def read(self, data: bytes, charset: str = "") -> Reading: ...

    def check(self, data: bytes, charset: str = "") -> list[Finding]: ...


_READERS: Final[dict[Format, Reader]] = {
    Format.EDIFACT: edifact,
    Format.HL7: hl7,
    Format.EDI_XML: xml,
    Format.V2_XML: xml,
    Format.XML: xml,
}


def read(data: bytes, charset: str = "") -> Reading:
    """What ``data`` says. ``charset`` is what its mail part says it is written in, or "".

    What is no EDI, or defeats its reader, comes back without documents, as text outside of any message, with a
    finding.
    """
    format = sniff(data)
    if format is None:
        return _as_text(data, Format.EDIFACT, NO_EDI)
    try:
        return _READERS[format].read(data, charset)
    except Exception as error:  # a defect of ours must not cost anybody his message
        return _as_text(data, format, Finding(Severity.ERROR, _UNREAD, values={"reason": type(error).__name__}))


def check(data: bytes, charset: str = "") -> list[Finding]:
    """Every finding on ``data``, stricter than :func:`read`."""
    format = sniff(data)
    if format is None:
        return [NO_EDI]
    try:
        return _READERS[format].check(data, charset)
    except Exception as error:
        return [Finding(Severity.ERROR, _UNREAD, values={"reason": type(error).__name__})]


NO_EDI: Final = Finding(Severity.ERROR, "This is no EDI message")
_UNREAD: Final = "The message couldn't be read (%(reason)s); this is its text"


def _as_text(data: bytes, format: Format, finding: Finding) -> Reading:
    try:
        text, charset = data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        text, charset = data.decode("windows-1252", "replace"), "windows-1252"
    lines = tuple(text.splitlines())
    return Reading(format, (), charset, (finding,), (Text(lines),) if lines else ())
