"""Whatever becomes of a sample on its way: nothing raises, and every text of it is still to be read.

RELAYD_FUZZ sets how many mutations of each sample are tried. RELAYD_EDI_SAMPLES names a folder with more samples.
"""

from __future__ import annotations

import dataclasses
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayd.edi import edifact
from relayd.edi.charset import BOM, LENIENT
from relayd.edi.model import Reading, Result, Results, Text
from relayd.edi.readers.edifact import check, read

COUNT = int(os.environ.get("RELAYD_FUZZ", "300"))
FURTHER = os.environ.get("RELAYD_EDI_SAMPLES")
SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.edi")) + (
    sorted(
        path for path in Path(FURTHER).rglob("*") if path.suffix in (".edi", ".lab") and path.stat().st_size < 20_000
    )
    if FURTHER
    else []
)
TOKENS = [
    *(bytes([octet]) for octet in b"'+:?\r\n\0 0179<>\"*~\x1a\x7f\x82\xa0\xe9\xff"),
    b"\r\n", b"''", b"++", b"::", b"?'", b"??", b"?", b'""', b"\xc3\xa9", b"\xe2\x82\xac", b"UNA:+.? '",
    b"UNB+UNOA:1+",
    b"UNH+1+MEDLAB:1'", b"UNT+1+1'", b"UNZ+1+1'", b"'\r\nQQQ:1+x'", b"'\r\nBEP+0+x'", b"'\r\nOPB:1+x'",
    b"'DET+26:09:01'",
    b"'\r\nTXT:1+x'", b"'\r\nPID+1+2+3+4+5'", b"'\r\nFTX+GMR+1++x'", b"'\r\nNAD+PAT++x'", b"'S18+1'",
    b"zie onder", b"x" * 90,
]  # fmt: skip
#: Codes whose meaning is shown in words or by where their value stands.
KNOWN = {
    *(
        "M",
        "V",
        "F",
        "U",
        "O",
        "J",
        "N",
        "Y",
        "C",
        "0",
        "1",
        "2",
        "9",
        "H",
        "S",
        "VAN",
        "NAAR",
        "BSN",
        '""',
        "00",
        "0000",
    ),
    *(
        "SEN",
        "REC",
        "PAT",
        "100",
        "GMR",
        "UIT",
        "SPC",
        "RIT",
        "ACB",
        "BFD",
        "ERG",
        "137",
        "203",
        "102",
        "BTH",
        "329",
        "SCO",
    ),
    *(
        "ISR",
        "ISO",
        "SRI",
        "SLA",
        "PO",
        "CCR",
        "MR",
        "MS",
        "GP",
        "CGP",
        "CLB",
        "CSP",
        "CPH",
        "CZH",
        "VEK",
        "LZB",
        "PCL",
        "ZZ",
        "ROI",
    ),
    *(
        "TE",
        "FX",
        "EM",
        "AL",
        "AFD",
        "PU",
        "NAN",
        "NVV",
        "NEA",
        "NEV",
        "SU",
        "FO",
        "FS",
        "TI",
        "IN",
        "NV",
        "TV",
        "AV",
        "CV",
    ),
    *("RU", "MQ", "TSP", "AMB", "NHG", "LN", "LOINC", "SCT"),
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 8, 60))
        match chance.randrange(6):
            case 0:
                data = data[:at] + data[at + length :]
            case 1:
                data = data[:at] + chance.choice(TOKENS) + data[at:]
            case 2:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 3:
                data = data[:at] + data[at : at + length] + data[at:]
            case 4:
                segments = data.split(b"'")
                one, other = chance.randrange(len(segments)), chance.randrange(len(segments))
                segments[one], segments[other] = segments[other], segments[one]
                data = b"'".join(segments)
            case 5:
                data = data[:at]
        data = data or b"'"
    return data


def texts(value: object) -> Iterator[str]:
    """The texts of a reading; lines that belong together make one."""
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, Text):
        yield from (value.title, "".join(value.lines))
    elif isinstance(value, (Result, Results)):
        yield "".join(value.notes)
        yield from (text for field in dataclasses.fields(value) for text in texts(getattr(value, field.name)))
    elif dataclasses.is_dataclass(value):
        yield from (text for field in dataclasses.fields(value) for text in texts(getattr(value, field.name)))
    elif isinstance(value, tuple):
        yield from (text for item in value for text in texts(item))


def squashed(text: str) -> str:
    return re.sub(r"[\s\0\x1a]+", "", text)


class Shown:
    """What of a reading can be read, whatever the blanks and the form of dates."""

    def __init__(self, reading: Reading) -> None:
        self.text = "\1".join(squashed(text) for text in texts(reading))
        self.capitals = self.text.upper()
        self.digits = re.sub("[-:T]", "", self.text)

    def has(self, value: str) -> bool:
        return all(map(self.has_piece, value.replace("*", " ").split()))

    def has_piece(self, piece: str) -> bool:
        piece = squashed(re.sub(r"^BSN[:.]*", "", piece, flags=re.IGNORECASE))
        return (
            piece.upper() in KNOWN
            or piece.upper() in self.capitals
            or (piece.isdigit() and (piece in self.digits or piece.removesuffix("0000") in self.digits))
        )


def lost(data: bytes, reading: Reading) -> list[tuple[str, str]]:
    """The values of ``data`` that can't be found in its reading."""
    shown, found = Shown(reading), edifact.parse(data, reading.charset)
    values = [
        (segment.tag, value)
        for interchange in found.interchanges
        for segment in interchange.segments
        for parts in (segment.elements if segment.tag else [[segment.written]])
        for value in parts
    ]
    values += [("", part.octets.removeprefix(BOM).decode(reading.charset, LENIENT)) for part in found.outside]
    return [(tag, value) for tag, value in values if not shown.has(value)]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_read_whole(path: Path) -> None:
    data = path.read_bytes()
    assert lost(data, read(data)) == []


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_mutations_are_read_whole(path: Path) -> None:
    original = path.read_bytes()
    chance = random.Random(path.stem)
    for _ in range(COUNT):
        data = mutated(original, chance)
        reading = read(data)
        assert bytes(edifact.parse(data, reading.charset)) == data
        assert lost(data, reading) == [], data
        for finding in check(data):
            assert str(finding)


@pytest.mark.parametrize(
    "segments",
    [
        ["S01+71", "NAD+SLA+1"],
        ["S18:1+260901+G", "S18+260901"],
        ["NAD+PAT++Jansen:Otto::Laan++1234"],
        ["NAD+PAT++Jansen", "NAD+PAT++Pieters:Franz"],
    ],
)
def test_what_once_was_lost_is_read(segments: list[str]) -> None:
    for kind in ("MEDRPT:D:93A:UN:MRPN32", "MEDRPT:1:901:UN"):
        data = "'".join([f"UNH+1+{kind}", *segments, ""]).encode()
        assert lost(data, read(data)) == []


TYPES = [
    *("MEDLAB:1", "MEDVRI:1", "MEDSPE:1", "MEDRAD:1", "MEDSPE:3:911:IT:SPE31", "MEDRPT:D:93A:UN:MRPN32"),
    *("MEDRPT:1:901:UN", "MEDXYZ:1", "ORDERS:D:96A:UN", "", "MEDLAB"),
]  # fmt: skip
TAGS = [
    *("ZKH", "GGA", "GGO", "PID", "PAD", "BLG", "ART", "AFD", "ARA", "KOP", "DET", "IDE", "OPM", "OPB", "OPU", "COM"),
    *("TXT", "VRG", "VRS", "CON", "ADD", "SEC", "BEP", "NUB", "SPE", "REF", "OND", "BGM", "DTM", "NAD", "ADR", "CTA"),
    *("RFF", "STS", "FCA", "PNA", "PDI", "S01", "S02", "S06", "S16", "S18", "S20", "SPC", "INV", "RSL", "RND", "FTX"),
    *("UNT", "UNH", "UNZ", "UNS", "QQQ"),
]  # fmt: skip
VALUES = [
    *("", "", "", "1", "0", "26", "13", "2026", "260901", "202609010815", "V", "J", "BSN999990019", "x" * 80),
    *("Jan\xebn", "PAT", "SEN", "SLA", "PO", "GMR", "BFD", "137", "203", "BTH", "LZB", "VEK", "NVV", "NAN"),
    *("zie onder", "*", "M*de", "SCO", "ISR", "SRI", "TSP", "UIT", "RU", "NV", "HI", "TE", "AFD", "PU", "999990019"),
    *("\x00", "\x1c\x85", '""', " ", "een twee", "\r\n", "a'b?+:"),
]  # fmt: skip


def test_messages_made_of_anything_are_read_whole() -> None:
    chance, syntax = random.Random(11), edifact.Syntax()
    for _ in range(COUNT * 5):
        parts = [[["UNH"], ["1"], chance.choice(TYPES).split(":")]]
        for _ in range(chance.randrange(1, 12)):
            tag = [chance.choice(TAGS), *(["1"] * chance.choice((0, 0, 1, 3)))]
            elements = [chance.choices(VALUES, k=chance.choice((1, 1, 2, 5))) for _ in range(chance.randrange(10))]
            parts.append([tag, *elements])
        data = b"".join(syntax.join(segment) + b"'\r\n" for segment in parts)
        assert lost(data, read(data)) == [], data
        check(data)
