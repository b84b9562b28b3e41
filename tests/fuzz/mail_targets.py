"""What must hold of the parsers of mail, whatever octets they are given. A target raises when it doesn't."""

from __future__ import annotations

import binascii
import contextlib
import email
import email.policy
import re
from collections.abc import Iterable
from email.message import Message

from relayd.errors import SyntaxInvalid
from relayd.inspection.names import extensions, turns_around
from relayd.mail.address import normalise_domain, parse_address
from relayd.mail.address_list import parse_address_list
from relayd.mail.decode import decoder
from relayd.mail.dsn import Action, ReportedRecipient, ReportRequest, build_report
from relayd.mail.headers import Headers, split_fields
from relayd.mail.meta import OPAQUE, OUT_OF_SIGHT, Part
from relayd.mail.mime import MOST_PARTS, MimeScanner
from relayd.mail.mime_header import read_part_header
from relayd.mail.parameters import decode_orcpt, encode_xtext, parse_mail_parameters, parse_rcpt_parameters
from relayd.mail.path import parse_forward_path, parse_reverse_path
from relayd.mail.text_files import TextFiles
from relayd.mail.words import decode_words

#: Sizes of blocks that results may not depend on.
SIZES = (1, 2, 7, 64)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def address(data: bytes) -> None:
    """One spelling comes out, it is read back as the same, and its key is that of every spelling."""
    with contextlib.suppress(SyntaxInvalid):
        found = parse_address(text_of(data))
        assert parse_address(str(found)) == found
        assert parse_address(found.key).key == found.key
        assert not _CONTROL.search(str(found))
        assert normalise_domain(found.domain) == found.domain
        str(found).encode()  # and it can be written


def path(data: bytes) -> None:
    """What is accepted in MAIL or RCPT can be said to the next hop, who reads the same in it."""
    for parse in (
        lambda text: parse_reverse_path(text, smtputf8=True),
        lambda text: parse_forward_path(text, smtputf8=True, hostname="mx.example"),
    ):
        with contextlib.suppress(SyntaxInvalid):
            found, _ = parse(text_of(data))
            again, rest = parse_reverse_path(f"<{found}> SIZE=1", smtputf8=True)
            assert (again, rest) == (found, "SIZE=1")
            assert not _CONTROL.search(str(found))


def parameters(data: bytes) -> None:
    """Values hold nothing that ends a word or a line, and ENVID and ORCPT stand for printable text."""
    with contextlib.suppress(SyntaxInvalid):
        mail = parse_mail_parameters(text_of(data))
        for value in (mail.envid, mail.auth):
            assert value is None or (value.isascii() and not re.search(r"[\s=\x00-\x1f]", value))
        if mail.envid:
            assert parse_mail_parameters(f"ENVID={mail.envid}").envid == mail.envid
    with contextlib.suppress(SyntaxInvalid):
        rcpt = parse_rcpt_parameters(text_of(data), smtputf8=True)
        if rcpt.orcpt:
            assert not re.search(r"[ \t\r\n\0]", rcpt.orcpt)
            kind, original = decode_orcpt(rcpt.orcpt)
            assert not _CONTROL.search(kind + original)
            if kind.lower() != "utf-8":
                assert decode_orcpt(f"{kind};{encode_xtext(original)}") == (kind, original)


def headers(data: bytes) -> None:
    """No octet is lost, and fields are those of the standard library where nothing is wrong with them."""
    assert b"".join(split_fields(data)) == data
    read = Headers(data)
    assert b"".join(field.raw for field in read.fields) == data
    for name in ("from", "subject", "to"):
        read.addresses(name)
        assert not _CONTROL.search(read.text(name))
    if not read.defects and data.endswith(b"\r\n") and b"\r\n\r\n" not in data and b"\n \r\n" not in data:
        standard = email.message_from_bytes(data + b"\r\n", policy=email.policy.compat32)
        assert [field.name for field in read.fields] == [name.lower() for name in standard.keys()]  # noqa: SIM118


def address_list(data: bytes) -> None:
    """An address comes out only where it also went in, and what comes out is one."""
    text = text_of(data)
    addresses, _ = parse_address_list(text)
    for found in addresses:
        assert parse_address(str(found)) == found
        assert found.local[:1] in text


def mime(data: bytes) -> None:
    """Block borders don't matter, and no file's extension that the standard library finds goes unseen or unnoted."""
    content = data.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n").replace(b"\0", b"")
    parts = scanned(content, len(content) or 1)
    assert all(scanned(content, size) == parts for size in SIZES)
    assert len(parts) <= MOST_PARTS
    for part in parts:
        assert 0 <= part.offset <= part.offset + part.length <= len(content)
    names = {name for part in parts for name in part.names}
    noted = any(not (OUT_OF_SIGHT | OPAQUE | {"too-deep"}).isdisjoint(part.defects) for part in parts)
    if not noted:
        assert endings(standard_names(content)) <= endings(names)


def scanned(content: bytes, size: int) -> tuple[Part, ...]:
    scanner = MimeScanner()
    for block in cut(content, size):
        scanner.feed(block)
    return scanner.finish()


def standard_names(content: bytes) -> set[str]:
    try:
        message: Message = email.message_from_bytes(content, policy=email.policy.compat32)
        names = {part.get_filename() for part in message.walk()}
        return {name for name in names if isinstance(name, str) and name.isascii() and name.isprintable()}
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError):
        return set()  # the standard library isn't made for everything either


def endings(names: Iterable[str]) -> set[str]:
    """What counts of names: the endings that a system could act on."""
    found = {ending for name in names for ending in extensions(decode_words(name))}
    return {ending for ending in found if re.fullmatch("[a-z0-9]{1,12}", ending)}


def mime_header(data: bytes) -> None:
    """Nothing that a program could take for a name is longer or more than what can be judged."""
    read = read_part_header(b"\n" + data)
    assert len(read.names) <= 16
    for name in read.names:
        assert not _CONTROL.search(name)
        extensions(name)
        turns_around(name)


def decode(data: bytes) -> None:
    """Every decoder takes anything in any blocks, and never makes it longer."""
    for encoding in ("base64", "quoted-printable", "x-uuencode", "8bit"):
        part = Part("1", "application/octet-stream", 0, len(data), encoding)
        results = []
        for size in (*SIZES, len(data) or 1):
            running = decoder(part)
            results.append(b"".join([*map(running.feed, cut(data, size)), running.finish()]))
        assert len(set(results)) == 1, encoding
        assert len(results[0]) <= len(data)
    running = decoder(Part("1", "text/plain", 0, 0, "base64"))
    assert running.feed(binascii.b2a_base64(data)) + running.finish() == data


def words(data: bytes) -> None:
    """Decoded text has no controls, and text without encoded words stays as it is."""
    text = text_of(data)
    decoded = decode_words(text)
    assert not _CONTROL.search(decoded)
    if "=?" not in text and not _CONTROL.search(text):
        assert decoded == text


def text_files(data: bytes) -> None:
    """Block borders don't matter."""
    results = []
    for size in (*SIZES, 600, len(data) or 1):
        files = TextFiles()
        for block in [*cut(data, size), b"\n"]:
            files.feed(block)
        results.append(files.found)
    assert all(found == results[0] for found in results)


def names(data: bytes) -> None:
    """What is put around or behind a name's extension never hides it."""
    name = text_of(data)
    extensions(name)
    if not {"/", "\\", "\0", ":"} & set(name):
        assert "exe" in extensions(f"{name}.exe")
        assert "exe" in extensions(f"{name}.EXE . ")


def dsn(data: bytes) -> None:
    """Whatever a peer, a sender and a recipient wrote, a report has three parts and the fields we gave it."""
    said = text_of(data).encode("utf-8", "replace").decode()
    one = ReportedRecipient(said[:200] or "x", Action.FAILED, said[:9], said[:90] or None, said[:50], said)
    # A header section has no empty line, and nobody knows the boundary when he writes it.
    head = re.sub(rb"[\r\n]+", b"\r\n", data).replace(b"=_report_", b"")
    report = build_report(
        ReportRequest("id-1", "mx.example", "postmaster@mx.example", "a@b.example", (one,), 0.0, 1.0, head, said[:90])
    )
    message = email.message_from_bytes(report, policy=email.policy.compat32)
    kinds = [part.get_content_type() for part in message.get_payload()]  # type: ignore[union-attr]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert len(message.keys()) == 9
    status = message.get_payload()[1].get_payload()  # type: ignore[union-attr, index]
    assert len(status) == 2
    assert status[1].get_all("Action") == ["failed"]
