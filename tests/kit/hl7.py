"""HL7 for tests: the samples, messages from lines, and mutations of them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "edi" / "samples"
NAMES = tuple(sorted(path.name for path in SAMPLES.iterdir() if path.suffix in (".hl7", ".bin")))

MSH = r"MSH|^~\&|LIS|LABZUID|GLIMS|LABNOORD|20260901101500+0200||{type}|MSG1|P|2.5|||AL|NE|NLD|{charset}"
PID = "PID|1||999990019^^^NLMINBIZA^NNNLD||Jansen&&Jansen^A^^^^^L||19750318|F"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def third_party() -> list[Path]:
    """Others' samples, which aren't ours to copy; none where RELAYD_EDI_SAMPLES doesn't say where they are."""
    folder = os.environ.get("RELAYD_EDI_SAMPLES")
    return sorted(Path(folder).rglob("*.hl7")) if folder else []


def message(*segments: str, type: str = "ORU^R01^ORU_R01", charset: str = "8859/1", encoding: str = "latin-1") -> bytes:
    """A message of these segments behind an MSH."""
    return "\r".join((MSH.format(type=type, charset=charset), *segments, "")).encode(encoding)


_BITS = (
    *(b"|", b"^", b"~", b"&", b"\\", b"\r", b"\n", b"\r\n", b"\x0b", b"\x1c\r", b"\0", b"\xff", b"\xc3", b'""', b"<b>"),
    *(
        b"MSH|^~\\&|",
        b"OBX|",
        b"PID|",
        b"SPM|1",
        b"BTS|1\r",
        b"\\X0D\\",
        b"\\.br\\",
        b"|||||||",
        b"\xef\xbb\xbf",
        b"ED",
    ),
)


def mutations(octets: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``octets`` changed in one to six places: cut, doubled, swapped, overwritten, with what HL7 is made of."""
    chance = random.Random(seed)
    for _ in range(count):
        changed = bytearray(octets)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(changed) + 1)
            to = min(len(changed), at + chance.choice((1, 1, 2, 5, 40, 400)))
            match chance.randrange(6):
                case 0:
                    del changed[at:to]
                case 1:
                    changed[at:at] = chance.choice(_BITS)
                case 2:
                    changed[at:to] = bytes(chance.randrange(256) for _ in range(to - at))
                case 3:
                    changed[at:at] = changed[at:to] * chance.randint(1, 3)
                case 4:
                    changed[at:to] = chance.choice(_BITS)
                case 5:
                    piece = changed[at:to]
                    del changed[at:to]
                    other = chance.randrange(len(changed) + 1)
                    changed[other:other] = piece
        yield bytes(changed)
