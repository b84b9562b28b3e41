"""A small mutation fuzzer over kept corpora, the same for the tests and for ``scripts/fuzz``."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from tests.fuzz import authenticity_targets, mail_targets, report_targets, system_targets

CORPUS = Path(__file__).parent / "corpus"
MOST = 4096
#: Octets and words that mean something to one parser or another.
TOKENS = [
    *(bytes([octet]) for octet in b"\r\n\0.\"\\<>@,;:()[]=?*%-/ \t"),
    b"\r\n", b"\r\n\r\n", b"\r\n.\r\n", b"--b", b"--b--", b"=?utf-8?q?", b"?=", b"*0*=", b"utf-8''", b"\xff",
    b"\xc3\xa9", b"\xe2\x80\xae", b"xn--", b"Content-Type: ", b"multipart/mixed; boundary=b", b"message/rfc822",
    b"filename=", b"250-", b"250 ", b"PK\x03\x04", b"PK\x05\x06", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n", b"n,,n=",
    b"\x00\x00\x00\x05", b"\xff\xff\xff\xff", b"<<", b"&a", b"*a", b"begin 644 a.b", b"127.0.0.1", b"9" * 20,
]  # fmt: skip

Target = Callable[[bytes], None]


def targets() -> dict[str, Target]:
    """All parsers by name: the public functions of the modules that have a corpus."""
    found = {
        name: function
        for module in (authenticity_targets, mail_targets, report_targets, system_targets)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and (CORPUS / name).is_dir()
    }
    return dict(sorted(found.items()))


def corpus(name: str) -> list[bytes]:
    """The kept inputs, oldest first by name."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def keep(name: str, data: bytes, why: str) -> Path:
    """Write an input down; the name says why it is kept."""
    path = CORPUS / name / f"{why}-{sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def mutations(name: str, seed: int) -> Iterator[bytes]:
    """Endlessly many children of the corpus; the same ones for the same seed."""
    choose = random.Random(f"{name} {seed}")
    pool = corpus(name)
    while True:
        data = choose.choice(pool)
        for _ in range(choose.randint(1, 6)):
            data = _changed(data, pool, choose)
        yield data[:MOST]


def _changed(data: bytes, pool: list[bytes], choose: random.Random) -> bytes:
    at = choose.randint(0, len(data))
    end = min(len(data), at + choose.choice((1, 1, 2, 4, 16, 64)))
    match choose.randint(0, 6):
        case 0:
            return data[:at] + data[end:]
        case 1:
            return data[:at] + choose.choice(TOKENS) + data[at:]
        case 2:
            return data[:at] + choose.choice(TOKENS) + data[end:]
        case 3:
            return data[:at] + data[at:end] * choose.choice((2, 3, 20)) + data[end:]
        case 4:
            return data[:at] + bytes(octet ^ (1 << choose.randint(0, 7)) for octet in data[at:end]) + data[end:]
        case 5:
            other = choose.choice(pool)
            return data[:at] + other[choose.randint(0, len(other)) :]
        case _:
            return data[:at] + choose.randbytes(end - at) + data[end:]
