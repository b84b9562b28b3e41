"""The MIME scanner: structure, broken input, limits, and that block borders don't matter."""

from __future__ import annotations

import base64
import email
import email.policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.decode import Base64Length
from relayd.mail.meta import Part
from relayd.mail.mime import MOST_DEPTH, MOST_PARTS, MimeScanner, decoder


def scan(content: bytes, size: int = 1 << 20) -> tuple[Part, ...]:
    scanner = MimeScanner()
    for start in range(0, len(content), size):
        scanner.feed(content[start : start + size])
    return scanner.finish()


def content_of(content: bytes, part: Part) -> bytes:
    return content[part.offset : part.offset + part.length]


def lines(*text: str) -> bytes:
    return "\r\n".join(text).encode() + b"\r\n"


MIXED = lines(
    "Content-Type: multipart/mixed; boundary=out", "", "preamble", "--out", "Content-Type: multipart/alternative;",
    ' boundary="in"', "", "--in", "", "plain", "--in", "Content-Type: text/html; charset=UTF-8", "", "<p>", "--in--",
    "", "--out", "Content-Type: application/pdf; name=a.pdf", "Content-Transfer-Encoding: base64",
    'Content-Disposition: attachment; filename="b.pdf"', "Content-ID: <x@y>", "", "AAAA", "--out--", "epilogue",
)  # fmt: skip


def test_nested_multiparts() -> None:
    parts = scan(MIXED)
    assert [(part.path, part.type) for part in parts] == [
        ("", "multipart/mixed"), ("1", "multipart/alternative"), ("1.1", "text/plain"), ("1.2", "text/html"),
        ("2", "application/pdf"),
    ]  # fmt: skip
    assert [content_of(MIXED, part) for part in parts[2:]] == [b"plain", b"<p>", b"AAAA"]
    assert parts[3].charset == "utf-8"
    assert parts[4] == Part(
        "2", "application/pdf", parts[4].offset, 4, "base64", "", "attachment", ("b.pdf", "a.pdf"), "<x@y>", ()
    )
    assert not any(part.defects for part in parts)
    assert parts[0].offset + parts[0].length == len(MIXED)


def test_single_part_and_positions() -> None:
    content = lines("Subject: x", "", "hello")
    scanner = MimeScanner()
    scanner.feed(content)
    (part,) = scanner.finish()
    assert (part.type, content_of(content, part)) == ("text/plain", b"hello\r\n")
    assert (scanner.head_length, scanner.body_start) == (12, 14)


@pytest.mark.parametrize(
    ("content", "head_length", "body_start"),
    [(b"", 0, None), (b"\r\n", 0, 2), (b"\r\nx\r\n", 0, 2), (b"A: b\r\n", 6, None), (b"A: b\r\n\r\n", 6, 8)],
)
def test_where_the_body_starts(content: bytes, head_length: int, body_start: int | None) -> None:
    scanner = MimeScanner()
    scanner.feed(content)
    parts = scanner.finish()
    assert (scanner.head_length, scanner.body_start, len(parts)) == (head_length, body_start, 1)


def test_missing_end_boundary() -> None:
    content = lines("Content-Type: multipart/mixed; boundary=b", "", "--b", "", "text")
    parts = scan(content)
    assert parts[0].defects == ("missing-end-boundary",)
    assert content_of(content, parts[1]) == b"text\r\n"


def test_outer_boundary_ends_inner_multipart() -> None:
    content = lines(
        "Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: multipart/mixed; boundary=c", "", "--c",
        "", "x", "--b", "", "y", "--b--",
    )  # fmt: skip
    parts = scan(content)
    assert [part.path for part in parts] == ["", "1", "1.1", "2"]
    assert parts[1].defects == ("missing-end-boundary",)
    assert [content_of(content, parts[n]) for n in (2, 3)] == [b"x", b"y"]


def test_look_alikes_are_content() -> None:
    body = "--bb\r\n--b-\r\n-- b\r\nx--b\r\n --b\r\n--B\r\n--"
    content = lines("Content-Type: multipart/mixed; boundary=b", "", "--b \t", "", body, "--b--")
    assert content_of(content, scan(content)[1]) == body.encode()


def test_part_after_the_end_is_listed() -> None:
    content = lines("Content-Type: multipart/mixed; boundary=b", "", "--b", "", "x", "--b--", "--b", "", "y", "--b--")
    parts = scan(content)
    assert content_of(content, parts[2]) == b"y"
    assert parts[2].defects == ("part-after-end-boundary",)


def test_reused_boundary_returns_to_the_outer_multipart() -> None:
    content = lines(
        "Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: multipart/mixed; boundary=b", "", "--b",
        "", "x", "--b--", "--b", "", "y", "--b--",
    )  # fmt: skip
    assert [part.path for part in scan(content)] == ["", "1", "1.1", "2"]


def test_part_without_header_or_empty_line() -> None:
    content = lines("Content-Type: multipart/mixed; boundary=b", "", "--b", "just text", "--b", "A: b", "--b--")
    parts = scan(content)
    assert [content_of(content, part) for part in parts[1:]] == [b"just text", b""]


def test_embedded_message() -> None:
    content = lines(
        "Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: message/rfc822", "", "Subject: in",
        "Content-Type: multipart/mixed; boundary=c", "", "--c", "", "x", "--c--", "--b--",
    )  # fmt: skip
    parts = scan(content)
    assert [(part.path, part.type) for part in parts] == [
        ("", "multipart/mixed"), ("1", "message/rfc822"), ("1.1", "multipart/mixed"), ("1.1.1", "text/plain"),
    ]  # fmt: skip
    assert content_of(content, parts[1]).startswith(b"Subject: in")
    assert content_of(content, parts[3]) == b"x"


@pytest.mark.parametrize(
    ("header", "defect"),
    [
        ("Content-Type: multipart/mixed", "no-boundary"),
        ('Content-Type: multipart/mixed; boundary=""', "no-boundary"),
        ("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64", "encoded-container"),
        ("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64", "encoded-container"),
    ],
)
def test_what_can_not_be_taken_apart_is_a_leaf(header: str, defect: str) -> None:
    parts = scan(lines(header, "", "--b", "", "x"))
    assert len(parts) == 1
    assert defect in parts[0].defects
    assert not parts[0].is_container


@pytest.mark.parametrize(
    ("header", "defect"),
    [
        ("Content-Type: nonsense", "broken-content-type"),
        ("Content-Transfer-Encoding: rot13", "unknown-encoding"),
        ("Content-Type: text/html\r\nContent-Type: text/plain", "repeated:content-type"),
        ("junk\r\nContent-Type: text/html", "broken-header"),
    ],
)
def test_broken_headers_are_defects(header: str, defect: str) -> None:
    assert defect in scan(lines(header, "", "x"))[0].defects


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("Content-Disposition: attachment; filename=a.exe", ("a.exe",)),
        ('Content-Disposition: attachment; filename="a;b\\".exe"', ('a;b".exe',)),
        ("Content-Disposition: attachment; filename*=utf-8''caf%C3%A9.exe; filename=x.txt", ("café.exe", "x.txt")),
        ("Content-Disposition: attachment; filename*0*=utf-8'nl'a%20; filename*1=b.e; filename*2*=x%65", ("a b.exe",)),
        ("Content-Disposition: attachment;\r\n filename*1=b.exe;\r\n filename*0=a", ("ab.exe",)),
        ('Content-Type: a/b; name="=?utf-8?B?YS5leGU=?="', ("a.exe",)),
        ("Content-Type: a/b; name=x.txt\r\nContent-Disposition: attachment; filename=y.exe", ("y.exe", "x.txt")),
        ("Content-Disposition: attachment; filename=x.txt; filename=y.exe", ("x.txt", "y.exe")),
        ("Content-Disposition: attachment; filename=a b.exe", ("a b.exe", "a")),
        ('Content-Disposition: attachment; filename="open.exe', ("open.exe",)),
        ("Content-Disposition: attachment; filename*=bogus'x'%FFa.exe", ("\xffa.exe",)),
        ("Content-Type: a/b; name=t.txt\r\nContent-Type: a/b; name=u.exe", ("t.txt", "u.exe")),
    ],
)
def test_all_names_are_found(header: str, names: tuple[str, ...]) -> None:
    assert scan(lines(header, "", "x"))[0].names == names


def test_as_many_parts_as_are_listed_and_one_more() -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    most = scan(head + b"--b\r\n\r\nx\r\n" * (MOST_PARTS - 1) + b"--b--\r\n", 65536)
    assert len(most) == MOST_PARTS
    assert not most[0].defects
    more = scan(head + b"--b\r\n\r\nx\r\n" * MOST_PARTS + b"--b--\r\n", 65536)
    assert len(more) == MOST_PARTS
    assert "too-many-parts" in more[0].defects


def test_floods_of_boundaries_end_the_scan() -> None:
    for line in (b"--b\r\n", b"--bx\r\n"):
        parts = scan(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + line * 200_000, 65536)
        assert parts[0].defects.count("too-many-parts") == 1


def test_nesting_stops_at_the_limit() -> None:
    content = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (depth, depth) for depth in range(1000)
    )
    parts = scan(content, 1000)
    assert len(parts) == MOST_DEPTH + 1
    assert "too-deep" in parts[-1].defects
    assert not parts[-1].is_container


def test_long_headers() -> None:
    big = b"X: " + b"y" * 1_000_000 + b"\r\n"
    content = big + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + big + b"\r\nz\r\n--b--\r\n"
    parts = scan(content, 4096)
    assert [part.defects for part in parts] == [(), ("header-too-long",)]
    assert content_of(content, parts[1]) == b"z"
    folded = b"X: y\r\n" + b" \r\n" * 400_000 + b"\r\n"
    assert scan(folded)[0].defects == ("header-too-long",)


@pytest.mark.parametrize("text", [b"hello\r\n", b"\r\r\n\r\r\n"])
def test_text_without_a_header_in_a_digest_is_a_message_however_it_is_cut(text: bytes) -> None:
    """The scanner has let that text go by when it learns that it was the header of an embedded message."""
    content = b"Content-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n" + text + b"\r\nmore\r\n--c--\r\n"
    parts = scan(content)
    assert [(part.path, part.type) for part in parts][1:] == [("1", "message/rfc822"), ("1.1", "text/plain")]
    assert content_of(content, parts[2]) == text + b"\r\nmore"
    assert all(scan(content, size) == parts for size in range(1, len(content)))


NASTY = st.lists(
    st.sampled_from([
        b"\r\n", b"\r\n", b"\n", b"\r", b"--", b"--b", b"--c", b"--b--", b"--c--", b"x", b" ", b"\0", b"\xff", b"b",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"Content-Type: multipart/digest; boundary=c\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\n", b"\r\n--b\r\n", b"\r\n--c\r\n", b"\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; boundary=bb\r\n", b"\r\n--bb\r\n", b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Disposition: attachment; filename*0*=x'y'%; filename*9999999=\r\n",
    ]),
    max_size=25,
).map(b"".join)  # fmt: skip


@settings(max_examples=300)
@given(NASTY, st.data())
def test_block_borders_do_not_matter(content: bytes, data: st.DataObject) -> None:
    whole = MimeScanner()
    whole.feed(content)
    expected = whole.finish()
    split = MimeScanner()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        split.feed(content[start:end])
    assert split.finish() == expected == scan(content, 1)
    assert (split.head_length, split.body_start) == (whole.head_length, whole.body_start)
    for part in expected:
        assert 0 <= part.offset <= part.offset + part.length <= len(content)


def test_agrees_with_the_standard_library() -> None:
    leaves = [content_of(MIXED, part) for part in scan(MIXED) if not part.is_container]
    message = email.message_from_bytes(MIXED, policy=email.policy.SMTP)
    assert leaves == [leaf.get_payload().encode() for leaf in message.walk() if not leaf.is_multipart()]


def decode(encoding: str, octets: bytes, size: int) -> bytes:
    decoding = decoder(Part("", "a/b", 0, len(octets), encoding))
    blocks = [decoding.feed(octets[start : start + size]) for start in range(0, len(octets), size)]
    return b"".join(blocks) + decoding.finish()


@given(st.binary(max_size=300), st.integers(1, 50))
def test_encodings_decode_in_any_blocks(octets: bytes, size: int) -> None:
    import binascii

    assert decode("base64", base64.encodebytes(octets).replace(b"\n", b"\r\n"), size) == octets
    assert decode("8bit", octets, size) == octets
    assert decode("quoted-printable", binascii.b2a_qp(octets, istext=False), size) == octets
    encoded = b"begin 644 a\r\n" + b"".join(
        binascii.b2a_uu(octets[start : start + 45]).replace(b"\n", b"\r\n") for start in range(0, len(octets), 45)
    )
    assert decode("x-uuencode", encoded + b"`\r\nend\r\n", size) == octets


@given(st.text("QUJDRA=!\r\n", max_size=60), st.integers(1, 20))
def test_a_length_is_that_of_what_is_decoded(text: str, size: int) -> None:
    octets = text.encode()
    length = Base64Length()
    for start in range(0, len(octets), size):
        length.feed(octets[start : start + size])
    assert length.finish() == len(decode("base64", octets, size))


@given(st.binary(max_size=200), st.integers(1, 20), st.sampled_from(["base64", "quoted-printable", "uuencode", "?"]))
def test_decoders_take_anything(octets: bytes, size: int, encoding: str) -> None:
    assert decode(encoding, octets, size) == decode(encoding, octets, 1000)


def test_no_line_of_uuencode_stands_for_more_than_it_holds() -> None:
    """The inspector reserves memory by a part's length: two octets that became 45 filled it."""
    running = decoder(Part("1", "text/plain", 0, 0, "x-uuencode"))
    promised = b"begin 644 a\n" + b"M\n" * 1000
    assert len(running.feed(promised) + running.finish()) <= len(promised)


@pytest.mark.parametrize(
    ("octets", "decoded"),
    [(b"QUJD!!RA", b"ABCD"), (b"QQ==\r\nQg==", b"AB"), (b"QUJDRA", b"ABCD"), (b"QUJDR", b"ABC"), (b"=", b"")],
)
def test_broken_base64(octets: bytes, decoded: bytes) -> None:
    assert decode("base64", octets, 3) == decoded
