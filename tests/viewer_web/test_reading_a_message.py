"""From the notification to the message: what a person sees, and what stands in the journal."""

from __future__ import annotations

import email
import re
from email import policy

import pytest

from tests.kit.viewer import MOBILE, PATIENT, open_site

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def parts_of(notification):
    mail = email.message_from_bytes(notification, policy=policy.default)
    return mail, *(part.get_content() for part in mail.iter_parts())


async def test_a_person_reads_the_message_with_the_code_from_the_sms(site):
    sent = await site.deposit(html="<p>De uitslag is <b>goed</b>.</p>")
    person = site.person()
    page = await person.get(sent.path)
    assert page.status_code == 200
    assert "Ziekenhuis Zuid" in page.text
    assert "eindigt op 78" in page.text
    assert MOBILE not in page.text
    assert "Uitslag" not in page.text
    await person.press("/v/")
    page = await person.enter(site.phone.code)
    assert "<h1>Uitslag bloedonderzoek</h1>" in page.text
    assert "Dokter Zuid" in page.text
    assert "(nog 90 dagen)" in page.text
    body = await person.get(f"{person.base}/body")
    assert "De uitslag is <b>goed</b>." in body.text
    kinds = await site.kinds(sent.message_id)
    assert kinds == ["notified", "link-visited", "code-sent", "verified", "opened"]


async def test_the_notification_says_nothing_of_the_message(site):
    sent = await site.deposit(attachments=(("uitslag-hiv.pdf", "application/pdf", b"%PDF"),))
    mail, text, html = parts_of(sent.notification)
    assert mail["subject"] == "Nieuw beveiligd bericht van Ziekenhuis Zuid"
    assert mail["auto-submitted"] == "auto-generated"
    assert mail["to"] == PATIENT
    assert "postmaster@relay.example.nl" in mail["from"]
    assert mail.get_content_type() == "multipart/alternative"
    for form in (text, html):
        assert len(re.findall(r"https?://", form)) == 1
        assert sent.path in form
        assert "22 februari 2027" in form
        assert "Ziekenhuis Zuid" in form
        for secret in ("Uitslag", "bloed", "goed", "uitslag-hiv", MOBILE, "345678", "Dokter"):
            assert secret not in form


@pytest.mark.parametrize("recipient", ["jö@thuis.example", '"a b"@thuis.example', "o'neil+x@xn--bcher-kva.example"])
async def test_any_recipient_can_be_notified(site, recipient):
    sent = await site.deposit(recipient=recipient)
    mail, text, _ = parts_of(sent.notification)
    assert f"\r\nTo: {recipient}\r\n".encode() in sent.notification
    assert mail["content-language"] == "nl"
    assert sent.path in text


async def test_english_organisation_writes_english(tmp_path):
    async with open_site(tmp_path, language="en") as site:
        sent = await site.deposit()
        mail, text, _ = parts_of(sent.notification)
        assert mail["subject"] == "New secure message from Ziekenhuis Zuid"
        assert "until 22 February 2027" in text
        person = site.person()
        await person.get(sent.path)
        assert '<html lang="en">' in person.page.text
        await person.press("/v/")
        assert "your code is" in site.phone.inbox[0].text


async def test_the_chosen_language_goes_along(site):
    sent = await site.deposit()
    page = await site.person().read(sent, site.phone, "?lang=en")
    assert '<html lang="en">' in page.text
    assert "Can be read until" in page.text
    assert '<a href="?lang=nl"' in page.text


async def test_plain_text_is_shown_when_html_shows_nothing(site):
    sent = await site.deposit(text="Lees dit & dat", html="<script>alert(1)</script><style>p{}</style>&nbsp;")
    person = site.person()
    await person.read(sent, site.phone)
    body = await person.get(f"{person.base}/body")
    assert "Lees dit &amp; dat" in body.text


async def test_plain_form_of_an_html_message(site):
    sent = await site.deposit(text="gewone tekst", html="<p>opgemaakt</p>")
    person = site.person()
    await person.read(sent, site.phone)
    assert "opgemaakt" in (await person.get(f"{person.base}/body")).text
    assert "gewone tekst" in (await person.get(f"{person.base}/body?as=text")).text


async def test_attachments_arrive_whole(site):
    data = bytes(range(256)) * 3000
    sent = await site.deposit(attachments=(("Verslag ë.pdf", "application/pdf", data), ("x.html", "text/html", b"<b>")))
    person = site.person()
    page = await person.read(sent, site.phone)
    base = person.base
    links = re.findall(rf'href="({base}/attachment/[^"]+)"', page.text)
    pdf = await person.get(links[0])
    assert pdf.content == data
    assert pdf.headers["content-length"] == str(len(data))
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.headers["content-disposition"] == (
        "attachment; filename=\"Verslag _.pdf\"; filename*=UTF-8''Verslag%20%C3%AB.pdf"
    )
    assert pdf.headers["content-security-policy"].startswith("sandbox;")
    page = await person.get(links[1])
    assert page.headers["content-type"] == "application/octet-stream"
    facts = [event.facts for event in await site.events(sent.message_id) if event.kind == "downloaded"]
    assert facts == [{"part": "2"}, {"part": "3"}]


async def test_the_whole_message_is_the_recipients_own_copy(site):
    sent = await site.deposit()
    person = site.person()
    await person.read(sent, site.phone)
    whole = await person.get(f"{person.base}/message.eml")
    assert whole.headers["content-length"] == str(len(whole.content))
    assert whole.content.startswith(b"Received: from zuid by relay\r\nFrom:")
    assert b"X-Relayd-Mobile" not in whole.content
    assert whole.content.partition(b"\r\n\r\n")[2] == sent.content.partition(b"\r\n\r\n")[2]


async def test_a_large_message_is_streamed(site):
    data = b"0123456789abcdef" * 200_000
    sent = await site.deposit(attachments=(("groot.bin", "application/octet-stream", data),))
    person = site.person()
    await person.read(sent, site.phone)
    assert (await person.get(f"{person.base}/attachment/part-2")).content == data


async def test_pictures_that_came_along_are_shown_and_others_are_not(site):
    html = '<img src="cid:logo@zuid"><img src="https://tracker.example/x.png"><img src="cid:fake"><p>x</p>'
    sent = await site.deposit(html=html, pictures={"logo@zuid": PNG, "fake": b"<svg onload=alert(1)>"})
    person = site.person()
    await person.read(sent, site.phone)
    body = await person.get(f"{person.base}/body")
    assert body.text.count("data:image/png;base64,") == 1
    assert "tracker.example" not in body.text
    assert "2 afbeeldingen van elders" in body.text


async def test_an_attached_message_is_one_download_and_its_insides_are_not_shown(site):
    inner = b"Subject: oud\r\nContent-Type: text/html\r\n\r\n<b>binnenkant</b>"
    sent = await site.deposit(
        attachments=(("Oud bericht", "message/rfc822", inner), ("b.pdf", "application/pdf", b"%PDF"))
    )
    person = site.person()
    page = await person.read(sent, site.phone)
    base = person.base
    assert page.text.count(f"{base}/attachment/") == 2
    assert "binnenkant" not in (await person.get(f"{base}/body")).text
    download = await person.get(f"{base}/attachment/part-2")
    assert download.content == inner
    assert (await person.get(f"{base}/attachment/part-2.1")).status_code == 404


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.doc", "a.doc"),
        ("uitslag\u202efdp.exe", "uitslagfdp.exe"),
        ('a"b\r\nc.txt', "a_b c.txt"),
        ("...", "bijlage"),
        ("x" * 300 + ".pdf", "x" * 120 + ".pdf"),
    ],
)
async def test_file_names_are_made_safe(site, name, kept):
    sent = await site.deposit(attachments=((name, "application/pdf", b"%PDF"),))
    person = site.person()
    await person.read(sent, site.phone)
    download = await person.get(f"{person.base}/attachment/part-2")
    assert f'filename="{kept}"' in download.headers["content-disposition"]


async def test_without_a_mobile_number_delivery_fails_with_the_reason(site):
    sent = await site.deposit(mobile="")
    assert sent.outcome.result.value == "failed"
    assert "mobile" in sent.outcome.reply
    assert sent.notification == b""
