"""Previews, print view, PDF and the archive: what a reader looks at and takes along."""

from __future__ import annotations

import importlib.util
import io
import re
import zipfile
import zlib

import pytest
from PIL import Image

from relayd.rendering.renderer import ProcessRenderer
from tests.kit.viewer import open_site

TEXT = "De uitslag is goed."
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00"
    b"\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82"
)


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        yield site


async def read(site, *attachments, **facts):
    person = site.person()
    await person.read(await site.deposit(attachments=attachments, **facts), site.phone)
    return person


async def test_all_attachments_come_as_one_archive_with_names_that_harm_nobody(site):
    large = bytes(range(256)) * 2000
    person = await read(
        site,
        ("brief.pdf", "application/pdf", large),
        ("Brief.pdf", "application/pdf", b"second"),
        ("../../etc/passwd", "text/plain", b"x"),
        ("CON\u202egpj.exe", "application/octet-stream", b""),
    )
    answer = await person.get(f"{person.base}/all.zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    names = archive.namelist()
    assert names[:3] == ["brief.pdf", "Brief (2).pdf", "passwd"]
    assert archive.read("brief.pdf") == large
    # A stored entry whose length only the directory tells can't be unpacked by programs that read it as a stream.
    assert not any(one.flag_bits & 8 and one.compress_type == zipfile.ZIP_STORED for one in archive.infolist())
    assert not any(set(name) & set("/\\\u202e") for name in names)
    assert answer.headers["content-disposition"].startswith("attachment;")


async def test_a_broken_seal_breaks_the_archive_off(site):
    person = await read(site, ("a.bin", "application/octet-stream", bytes(3_000_000)))
    (file,) = site.folder.rglob("*.body")
    octets = bytearray(file.read_bytes())
    octets[2_000_000] ^= 1
    file.write_bytes(octets)
    try:
        whole = (await person.get(f"{person.base}/all.zip")).content
    except Exception:
        return
    with pytest.raises((zipfile.BadZipFile, zlib.error)):
        zipfile.ZipFile(io.BytesIO(whole)).testzip()


@pytest.mark.parametrize(
    ("name", "kind", "octets", "shown"),
    [
        ("foto.png", "image/png", PNG, "data:image/png;base64,"),
        ("foto.png", "image/png", b"<svg onload=alert(1)>", "kan hier niet worden getoond"),
        ("notitie.txt", "text/plain", b"<script>alert(1)</script>", "&lt;script&gt;alert(1)"),
        ("pagina.html", "text/html", b"<b onclick=x>vet</b>", "&lt;b onclick=x&gt;"),
        ("kapot.pdf", "application/pdf", b"%PDF-1.4 niets", "kan hier niet worden getoond"),
    ],
)
async def test_a_look_shows_what_it_is_and_runs_nothing(site, name, kind, octets, shown):
    person = await read(site, (name, kind, octets))
    look = re.search(r'href="([^"]+/preview/[^"]+)"', person.page.text)[1]
    page = await person.get(look)
    assert page.status_code == 200
    assert shown in page.text
    assert page.headers["content-security-policy"].startswith("sandbox ")
    assert "<script" not in page.text
    await site.services.renderer.close()


async def test_what_cant_be_shown_isnt_offered(site):
    person = await read(site, ("plan.docx", "application/msword", b"x"), ("logo.svg", "image/svg+xml", b"<svg>"))
    assert "/preview/" not in person.page.text
    path = re.search(r'href="([^"]+)/attachment/(part-[\d.]+)"', person.page.text)
    assert (await person.get(f"{path[1]}/preview/{path[2]}")).status_code == 404


async def test_the_print_view_has_the_facts_and_the_walls(site):
    person = await read(site, ("brief.pdf", "application/pdf", b"x"), html="<p>De uitslag<script>alert(1)</script></p>")
    page = await person.get(f"{person.base}/print")
    assert all(word in page.text for word in ("Uitslag bloedonderzoek", "Dokter Zuid", "brief.pdf", "De uitslag"))
    assert "alert(1)" not in page.text
    assert page.headers["content-security-policy"].startswith("sandbox ")


@pytest.mark.skipif(importlib.util.find_spec("weasyprint") is None, reason="weasyprint isn't installed")
async def test_the_message_comes_as_pdf_with_itself_inside(site):
    person = await read(site, ("brief.pdf", "application/pdf", b"%PDF-brief"))
    assert "message.pdf" in person.page.text
    answer = await person.get(f"{person.base}/message.pdf")
    assert answer.headers["content-type"] == "application/pdf"
    reader = ProcessRenderer()
    text = "\n".join(one.text for one in (await reader.show_pdf(answer.content, 3, 300)).pages)
    await reader.close()
    await site.services.renderer.close()
    assert TEXT in text
    assert "brief.pdf" in text
    assert b"bericht.eml" in answer.content or b"/EmbeddedFile" in answer.content
    kinds = await site.kinds((await site.store.call("viewer_grant", grant_id=person.base[3:])).message_id)
    assert "downloaded" in kinds


async def test_nobody_gets_any_of_it_without_a_session(site):
    person = await read(site, ("a.txt", "text/plain", b"x"))
    for path in ("print", "message.pdf", "all.zip", "preview/part-2"):
        assert (await site.person().get(f"{person.base}/{path}")).status_code == 403


@pytest.mark.skipif(importlib.util.find_spec("weasyprint") is None, reason="weasyprint isn't installed")
@pytest.mark.parametrize(
    "hiding",
    [
        "<p style='margin-top:-200px;height:200px;background-color:#fff'>Dag</p>",
        "<p style='margin-top:-200px;line-height:200px;font-size:150px;color:#fff'>\u2588\u2588\u2588\u2588</p>",
        "<p style='margin:calc(0px - 100px) 0 0;font-size:30px;color:red'>Van: iemand anders</p>",
        "<p style='margin-top:-100px;font-size:30px;color:red'>Van: iemand anders</p>",
    ],
)
async def test_nothing_in_a_message_covers_its_facts(site, hiding):
    renderer = site.services.renderer
    seen = []
    for html in ("<p>Dag</p>", hiding + "<p>Dag</p>"):
        person = await read(site, html=html)
        pdf = (await person.get(f"{person.base}/message.pdf")).content
        (first, *_) = (await renderer.show_pdf(pdf, 1, 600)).pages
        picture = Image.open(io.BytesIO(first.png)).convert("RGB")
        seen.append(picture.crop((68, 80, 530, 195)))
    await renderer.close()
    assert seen[0].getextrema() != ((255, 255),) * 3
    assert seen[0].tobytes() == seen[1].tobytes()
