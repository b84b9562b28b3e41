"""Every part that is shown or saved is exactly that part's octets, whatever the structure and the header's patch."""

from __future__ import annotations

import io
import re
import zipfile
from base64 import encodebytes

import pytest

from relayd.mail.meta import HeaderPatch, MessageMeta
from relayd.mail.mime import MOST_PARTS, MimeScanner
from relayd.mail.patch import apply

HEAD = (
    b"From: d@zuid.example\r\nSubject: Uitslag\r\nX-Long: " + b"x" * 700 + b"\r\n folded\r\nTo: piet@thuis.example\r\n"
)
FILE = b"Content-Disposition: attachment; filename=f\r\n"
INNER = (
    b"Subject: binnen\r\nContent-Type: multipart/mixed; boundary=I\r\n\r\n--I\r\n" + FILE + b"\r\nbinnen\r\n--I--\r\n"
)


def message(*parts, end=b"--M--\r\n", preamble=b"", kind=b"mixed"):
    """Each part is its header and its encoded content."""
    body = b"".join(b"--M\r\n" + head + b"\r\n" + data + b"\r\n" for head, data in parts)
    return HEAD + b"Content-Type: multipart/" + kind + b"; boundary=M\r\n\r\n" + preamble + body + end


def base64_of(data):
    return encodebytes(data).replace(b"\n", b"\r\n").removesuffix(b"\r\n")


BINARY = bytes(range(256)) * 300
ENCODED = FILE + b"Content-Transfer-Encoding: base64\r\n"
QUOTED = FILE + b"Content-Transfer-Encoding: quoted-printable\r\n"
#: What stands in the message, and what its files must be, in their order.
SHAPES = {
    "plain": (message((FILE, b"een"), (FILE, b"twee\r\n")), [b"een", b"twee\r\n"]),
    "base64": (message((ENCODED, base64_of(BINARY)), (FILE, b"twee")), [BINARY, b"twee"]),
    "quoted": (message((QUOTED, b"caf=C3=A9=\r\n=20x"), (FILE, b"")), [b"caf\xc3\xa9 x", b""]),
    "empty parts": (message((FILE, b""), (FILE, b""), (FILE, b"x")), [b"", b"", b"x"]),
    "no content line": (message((FILE, b"a")).replace(b"\r\n\r\na\r\n--M--", b"\r\n--M--"), [b""]),
    "no final boundary": (message((FILE, b"een"), (FILE, b"twee"), end=b""), [b"een", b"twee\r\n"]),
    "cut off in a part": (message((FILE, b"een"), (FILE, b"twee"), end=b"").removesuffix(b"ee\r\n"), [b"een", b"tw"]),
    "preamble": (message((FILE, b"een"), preamble=b"--N\r\n\r\n-- M\r\n" * 9), [b"een"]),
    "epilogue": (message((FILE, b"een"), end=b"--M--\r\nepiloog\r\n"), [b"een"]),
    "attached message": (message((FILE + b"Content-Type: message/rfc822\r\n", INNER), (FILE, b"na")), [INNER, b"na"]),
    "nested": (
        message((b"Content-Type: multipart/mixed; boundary=I\r\n", INNER.partition(b"\r\n\r\n")[2]), (FILE, b"na")),
        [b"binnen", b"na"],
    ),
    "lines of all kinds": (message((FILE, b"a\nb\rc\r\n\r\n\nd"), (FILE, b"na\n")), [b"a\nb\rc\r\n\r\n\nd", b"na\n"]),
    "boundary in a longer line": (message((FILE, b"x--M\r\n --M\r\ny"), (FILE, b"na")), [b"x--M\r\n --M\r\ny", b"na"]),
    "a file alone": (HEAD + FILE + b"Content-Type: application/pdf\r\n\r\n%PDF\r\n", [b"%PDF\r\n"]),
    "large": (message((FILE, b"0123456789abcdef" * 20_000), (FILE, b"na")), [b"0123456789abcdef" * 20_000, b"na"]),
}  # fmt: skip
PATCHES = {
    "as it is": HeaderPatch(),
    "longer": HeaderPatch(put=b"Received: from a by b\r\n" * 3000),
    "shorter": HeaderPatch(drop=(0, 2, 3)),
    "subject in new words": HeaderPatch(drop=(1,), put=b"Subject: een ander onderwerp\r\n"),
}


def bring(monkeypatch, content, patch):
    scanner = MimeScanner()
    scanner.feed(content)
    parts = scanner.finish()
    meta = MessageMeta(head_length=scanner.head_length, parts=parts, copies=(patch,))
    monkeypatch.setattr("tests.kit.viewer.make_mail", lambda: (content, meta))


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("shape", SHAPES)
async def test_every_file_is_its_own_octets(site, monkeypatch, shape, patch):
    content, files = SHAPES[shape]
    bring(monkeypatch, content, PATCHES[patch])
    person = site.person()
    page = await person.read(await site.deposit(), site.phone)
    links = re.findall(r'href="(/g/[0-9a-f]{32}/attachment/part-[\d.]*)"', page.text)
    base = person.base
    got = [await person.get(link) for link in links]
    assert [one.content for one in got] == files
    assert [int(one.headers["content-length"]) for one in got] == [len(file) for file in files]
    archive = zipfile.ZipFile(io.BytesIO((await person.get(f"{base}/all.zip")).content))
    assert [archive.read(one) for one in archive.namelist()] == files
    head, line, body = content.partition(b"\r\n\r\n")
    whole = await person.get(f"{base}/message.eml")
    assert whole.content == apply(PATCHES[patch], head + b"\r\n") + line[2:] + body
    assert int(whole.headers["content-length"]) == len(whole.content)


@pytest.mark.parametrize("number", [1000, 10_000])
async def test_of_very_many_parts_each_is_its_own_and_the_page_says_when_there_are_more(site, monkeypatch, number):
    content = message(*((FILE, b"%d" % one) for one in range(number)))
    bring(monkeypatch, content, PATCHES["longer"])
    person = site.person()
    page = await person.read(await site.deposit(), site.phone)
    assert ("meer onderdelen" in page.text) == (number > MOST_PARTS)
    archive = zipfile.ZipFile(io.BytesIO((await person.get(f"{person.base}/all.zip")).content))
    found = [archive.read(one) for one in archive.namelist()]
    assert len(found) == min(number, MOST_PARTS - 1)
    assert found == [b"%d" % one for one in range(len(found))]
