"""What a hostile sender puts into a message, and what it does to the machine that shows it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from relayd.mail.meta import HeaderPatch, MessageMeta
from relayd.mail.mime import MimeScanner
from viewer_web.pages.download import disposition
from viewer_web.reading import clean_name

BINARY = bytes(range(256)) * 100


def bring(monkeypatch, content):
    """Let the next deposit be of this message."""
    content = content.replace(b"\n", b"\r\n")
    scanner = MimeScanner()
    scanner.feed(content)
    meta = MessageMeta(head_length=content.index(b"\r\n\r\n") + 2, parts=scanner.finish(), copies=(HeaderPatch(),))
    monkeypatch.setattr("tests.kit.viewer.make_mail", lambda: (content, meta))


async def read(site):
    person = site.person()
    await person.read(await site.deposit(), site.phone)
    return person


@pytest.mark.parametrize(
    "charset",
    ["idna", "punycode", "undefined", "unicode_escape", "utf-7", "rot13", "zip", "x" * 500, "utf-16", "uu", "\\"],
)
@pytest.mark.parametrize("kind", ["plain", "html"])
async def test_no_charset_is_a_defect_or_leads_around_a_wall(site, monkeypatch, charset, kind):
    words = rb"a-\ud800 +2AA- +ADw-script+AD4- \x3cscript\x3e xn--a"
    bring(
        monkeypatch, f"From: d@zuid.example\nContent-Type: text/{kind}; charset={charset}\n\n".encode() + words + b"\n"
    )
    with capture_logs() as logs:
        person = await read(site)
        for view in ("body", "body?as=text", "print"):
            page = await person.get(f"{person.base}/{view}")
            assert page.status_code == 200
            assert "<script" not in page.text
    assert "viewer.defect" not in str(logs)


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8192  # 2 MiB


async def test_a_picture_that_is_shown_a_thousand_times_makes_no_page_grow(site):
    html = "<p>Kijk</p>" + "<img src='cid:a'>" * 1000
    person = site.person()
    await person.read(await site.deposit(html=html, pictures={"a": PICTURE}), site.phone)
    for view in ("body", "print"):
        page = await person.get(f"{person.base}/{view}")
        assert page.status_code == 200
        assert 1 <= page.text.count("data:image/png") <= 4
        assert len(page.content) < 12 * 2**20
        assert "bericht is erg lang" in page.text
        assert "van elders" not in page.text
    await site.services.renderer.close()


async def test_a_picture_is_read_once_for_many_parts(site, monkeypatch):
    part = "--M\nContent-Type: text/html\n\n<p>Kijk {number}<img src='cid:a'></p>\n"
    parts = "".join(part.format(number=number) for number in range(200))
    picture = "--M\nContent-Type: image/png\nContent-ID: <a>\n\n\x89PNG\n\x1a\n" + "x" * 100_000 + "\n--M--\n"
    head = "From: d@zuid.example\nContent-Type: multipart/mixed; boundary=M\n\n"
    bring(monkeypatch, (head + parts + picture).encode("latin-1"))
    person = await read(site)
    page = await person.get(f"{person.base}/body")
    assert "Kijk 199" in page.text
    assert len(page.content) < 12 * 2**20


async def test_text_in_many_parts_has_one_limit(site, monkeypatch):
    part = "--M\nContent-Type: text/plain\n\n" + "tekst " * 30_000 + "\n"
    bring(monkeypatch, b"From: d@zuid.example\nContent-Type: multipart/mixed; boundary=M\n\n" + part.encode() * 20)
    person = await read(site)
    page = await person.get(f"{person.base}/body")
    assert len(page.content) < 2 * 2**20
    assert "bericht is erg lang" in page.text


@pytest.mark.parametrize("text", ["De uitslag is goed.", ""])
async def test_html_that_grows_without_end_is_a_clear_page(site, monkeypatch, text):
    grows = "<div>" + "".join(f"<font size={n}>" for n in range(800)) + "</div>" + "<div>x</div>" * 800
    person = site.person()
    await person.read(await site.deposit(html=grows, text=text), site.phone)
    page = await person.get(f"{person.base}/body")
    assert page.status_code == 200
    assert "kan hier niet worden getoond" in page.text
    assert (text or "Een deel") in page.text
    assert "heeft geen tekst" not in page.text
    await site.services.renderer.close()


async def test_pdfs_of_one_message_have_a_limit(site):
    person = site.person()
    await person.read(await site.deposit(attachments=(("a.pdf", "application/pdf", b"%PDF-"),)), site.phone)
    path = f"{person.base}/preview/part-2"
    assert {(await person.get(path)).status_code for _ in range(20)} == {200}
    assert (await person.get(path)).status_code == 429
    assert (await person.client.head(f"{person.base}/message.pdf")).status_code == 200
    assert (await person.get(f"{person.base}/message.pdf")).status_code == 429
    assert (await person.get(person.base)).status_code == 200
    await site.services.renderer.close()


MARK = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 71933 * 84991 }}"
#: Long enough not to stand in a token by chance.
EVALUATED = str(71933 * 84991)


async def test_no_name_of_anything_becomes_markup(site):
    site = site.with_settings(display_name=f"Zuid {MARK}", contact=MARK)
    name = f"{MARK.replace('/', '')}.txt"
    files = ((name, "text/plain", MARK.encode()), (name, f"image/x;{MARK}".split("<")[0], b"x"))
    person = site.person()
    pages = []
    sent = await site.deposit(
        subject=MARK, text=MARK, attachments=files, fields=f"Reply-To: {MARK} <x@zuid.example>\r\n"
    )
    pages.append(await person.get(sent.path))
    pages.append(await person.read(sent, site.phone))
    for page in ("/body", "/print", "/reply", "/forward", "/preview/part-2"):
        pages += [await person.get(person.base + page)]
    for page in pages:
        assert page.status_code == 200
        assert not [one for one in ("<script>", "<img src=x", "{{", EVALUATED) if one in page.text.replace("{{ 71", "")]
        assert "alert(1)" in page.text


@given(st.text(max_size=80))
@example('a"\r\nSet-Cookie: a=b')
@example("\ud800.txt")
@example("%0d%0a%22.txt")
def test_no_name_gets_out_of_its_header(name):
    header = disposition(clean_name(name) or "bijlage")
    assert header.isascii()
    assert header.isprintable()
    assert re.fullmatch(r"attachment; filename=\"[^\"\\]+\"; filename\*=UTF-8''[\w.~%-]+", header, re.ASCII)


async def test_asking_for_heads_and_ranges_gets_no_less_and_notes_nothing(site):
    person = site.person()
    files = (("a.pdf", "application/pdf", BINARY), ("b.txt", "text/plain", b"b"))
    sent = await site.deposit(attachments=files)
    await person.read(sent, site.phone)
    base, before = person.base, await site.kinds(sent.message_id)
    for path in ("/attachment/part-2", "/message.eml", "/all.zip", "/message.pdf", "/preview/part-3", "/body", ""):
        head = await person.client.head(base + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["cache-control"] == "no-store"
        assert head.headers["x-content-type-options"] == "nosniff"
        assert re.search("sandbox|default-src 'none'", head.headers["content-security-policy"])
    assert await site.kinds(sent.message_id) == before
    for asked in ("bytes=0-3", "bytes=5-", "bytes=-1", "bytes=0-0,2-2", "bytes=" + ",".join(["0-"] * 5000), "x"):
        part = await person.client.get(f"{base}/attachment/part-2", headers={"Range": asked})
        assert (part.status_code, part.content) == (200, BINARY)


async def test_what_stands_in_the_place_of_a_grant_isnt_logged_unless_it_is_one(site):
    with capture_logs() as logs:
        await site.person().get("/g/" + "geheim" * 1000)
        await site.person().get(f"/g/{'a' * 32}")
    assert "geheim" not in str(logs)
    assert [one["grant"] for one in logs if one["event"] == "viewer.request"] == [None, "a" * 32]
