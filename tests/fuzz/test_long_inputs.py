"""No parser takes longer than its input is long: what would take a square of it never ends within pytest's limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from relayd.errors import SyntaxInvalid
from relayd.inspection.names import extensions
from relayd.mail.address_list import parse_address_list
from relayd.mail.headers import Headers
from relayd.mail.mime import MimeScanner
from relayd.mail.mime_header import read_part_header
from relayd.mail.parameters import parse_mail_parameters, parse_rcpt_parameters
from relayd.mail.path import parse_forward_path
from relayd.mail.words import decode_words
from relayd.smtp.scram import Exchange
from tests.fuzz.mutation import TOKENS

LENGTH = 256 * 1024
#: Read token by token, and of a field of 16 KiB at most.
SHORTER = {"address list": 32 * 1024}


def _scan(data: bytes) -> None:
    scanner = MimeScanner()
    scanner.feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n")
    scanner.feed(data)
    scanner.finish()


def _headers(data: bytes) -> None:
    headers = Headers(b"From: " + data + b"\r\nSubject: " + data + b"\r\n")
    headers.address_defects("from")
    headers.text("subject")


def _text(parse: Callable[[str], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            parse(data.decode("utf-8", "surrogateescape"))
        except SyntaxInvalid:
            pass

    return run


def _exchange(data: bytes) -> None:
    try:
        Exchange(b"n,,n=" + data)
    except SyntaxInvalid:
        pass


PARSERS: dict[str, Callable[[bytes], object]] = {
    "mime": _scan,
    "part header": lambda data: read_part_header(b"\nContent-Type: text/plain; name=" + data + b"\r\n"),
    "headers": _headers,
    "address list": _text(parse_address_list),
    "words": _text(decode_words),
    "path": _text(lambda text: parse_forward_path(f"<{text}>", smtputf8=True, hostname="h")),
    "mail parameters": _text(parse_mail_parameters),
    "rcpt parameters": _text(lambda text: parse_rcpt_parameters(text, smtputf8=True)),
    "names": _text(extensions),
    "scram": _exchange,
}
#: What is long in itself, and what begins something again and again that never ends.
PATTERNS = [
    *TOKENS,
    b'; name="',
    b"; name*0=",
    b"; a=b",
    b"a@",
    b'"\\',
    b"=?a?q?",
    b"(\\",
    b"<a@b>,",
    b"\n ",
    b"\n--b-",
    b"a=b ",
]


@pytest.mark.parametrize("name", PARSERS)
def test_long_repetitions_end(name: str) -> None:
    for pattern in PATTERNS:
        PARSERS[name](pattern * (SHORTER.get(name, LENGTH) // len(pattern)))
