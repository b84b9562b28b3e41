"""A mail that is made anew keeps its header and its old content, and any mail program can read what is new."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.headers import Headers
from relayd.mail.patch import apply
from relayd.mail.remade import NewPart, remade

TEXT = NewPart("text/plain; charset=utf-8", "Uitslag é\nregel 2\n".encode())
HTML = NewPart("text/html; charset=utf-8", b"<p>Uitslag</p>")
FILE = NewPart("application/pdf", bytes(range(256)) * 3, "uitslag.pdf")

SINGLE = (
    b"From: lab@noord.example\r\nSubject: Uitslag\r\nDKIM-Signature: v=1; a=b\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: application/edifact;\r\n name=x.edi\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: inline\r\n\r\nVU5C\r\n"
)
MIXED = (
    b"From: lab@noord.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"preamble\r\n--b\r\n\r\nBeste collega\r\n--b\r\nContent-Type: application/edifact\r\n\r\nUNB\r\n--b--\r\n"
)


def made(original: bytes, *, shown=(TEXT, HTML), files=(), keep: bool = True, name: str = "") -> EmailMessage:
    head, _, content = original.partition(b"\r\n\r\n")
    new = remade(Headers(head + b"\r\n"), shown, files, "relayd-x", keep=keep, name=name)
    octets = apply(new.change, head + b"\r\n") + b"\r\n" + new.before + (content if new.keeps else b"") + new.after
    found = message_from_bytes(octets, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_text_and_html_are_alternatives_in_front_of_the_old_content():
    mail = made(SINGLE, name="x.edi")
    assert mail["Subject"] == "Uitslag"
    alternatives, original = mail.iter_parts()
    plain, html = alternatives.iter_parts()
    assert plain.get_content() == "Uitslag é\r\nregel 2\r\n"
    assert html.get_content().strip() == "<p>Uitslag</p>"
    assert (original.get_content_type(), original.get_filename()) == ("application/edifact", "x.edi")
    assert original.get_content_disposition() == "attachment"
    assert original.get_payload(decode=True) == b"UNB"


def test_a_signature_over_the_old_content_goes_with_it():
    assert made(SINGLE, name="x.edi")["DKIM-Signature"] is None


def test_a_mail_of_several_parts_stays_as_it_was_inside():
    _, old = made(MIXED).iter_parts()
    letter, edi = old.iter_parts()
    assert letter.get_content().strip() == "Beste collega"
    assert edi.get_content_type() == "application/edifact"


def test_what_the_new_file_says_altogether_needs_no_old_content():
    mail = made(SINGLE, shown=(), files=(FILE,), keep=False)
    assert not mail.is_multipart()
    assert (mail.get_content_type(), mail.get_filename()) == ("application/pdf", "uitslag.pdf")
    assert mail.get_payload(decode=True) == FILE.data
    assert len(mail.get_all("Content-Type")) == 1


@pytest.mark.parametrize(
    "name", ["uitslag é.pdf", 'a"b.pdf', "x\r\nBcc: evil@x.example.pdf", "../../etc/passwd", "é" * 200]
)
def test_a_file_name_breaks_no_header(name: str):
    mail = made(SINGLE, shown=(), files=(NewPart("application/pdf", b"x", name),), keep=False)
    assert mail["Bcc"] is None
    assert mail.get_filename()
    assert "/" not in str(mail.get_filename())


@given(st.binary(max_size=300), st.text(max_size=300))
def test_files_and_text_come_out_as_they_went_in(data: bytes, text: str):
    shown = NewPart("text/plain; charset=utf-8", text.encode("utf-8", "replace"))
    mail = made(MIXED, shown=(shown,), files=(NewPart("application/octet-stream", data, "x"),))
    plain, file, _ = mail.iter_parts()
    assert file.get_payload(decode=True) == data
    lines = plain.get_payload(decode=True).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert lines == shown.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
