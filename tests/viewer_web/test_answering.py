"""A reader answers: with text and files, twice, as a mail in the sender's thread; and nothing that he writes lies
open."""

from __future__ import annotations

import asyncio
import re
from email import message_from_bytes
from email.policy import SMTP

import pytest

from relayd.delivery.installation import digest
from relayd.mail.reply import Reply
from relayd.store.verify import Verifier
from tests.kit.chromium import serving
from tests.kit.ports import free_port
from tests.kit.viewer import DOCTOR, ORIGIN, PATIENT, Person, Site, open_site

SECRET = "Ik heb nog steeds pijn."
FORM = {"Sec-Fetch-Site": "same-origin"}
ADDED = [("file", ("later.txt", b"abc", "text/plain")), ("do", (None, "add"))]
#: As Exchange makes them.
LONG = "<AM9PR08MB6123A1B2C3D4E5F6A7B8C9D0E1F2A3B4C5D6@AM9PR08MB6123.eurprd08.prod.outlook.com>"


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        yield site


async def reader(site: Site, **facts) -> Person:
    """Somebody who has the message open."""
    person = site.person()
    sent = await site.deposit(**facts)
    await person.read(sent, site.phone)
    person.deposited = sent
    return person


def form_of(person: Person) -> tuple[str, str]:
    """Token and name of the form on the page."""
    return person.form("/reply")[1], re.search(r'name="form" value="([0-9a-f]{32})"', person.page.text)[1]


async def write(person: Person, do: str = "send", text: str = SECRET, files=(), *, form=(), follow=True):
    """Fill in the form that answers and press one of its buttons. ``files`` are (name, type, octets); ``form`` is one
    that was opened before."""
    base = person.base
    if not form:
        await person.get(f"{base}/reply")
        if 'name="text"' not in person.page.text:
            return person.page
        form = form_of(person)
    parts = [("token", (None, form[0])), ("form", (None, form[1])), ("text", (None, text))]
    parts += [("file", file) for file in files] or [("file", ("", b"", "application/octet-stream"))]
    parts.append(("do", (None, do)))
    person.page = await person.client.post(f"{base}/reply", files=parts, headers=FORM)
    if follow and person.page.is_redirect:
        await person.get(person.page.headers["location"])
    return person.page


def mail_of(site: Site):
    return message_from_bytes(site.outbox.sent[-1][2], policy=SMTP)


async def test_an_answer_is_a_mail_to_the_author_in_his_thread(site):
    person = await reader(site, subject="Re: Uitslag")
    page = await write(person)
    assert page.status_code == 200
    assert "verstuurd" in page.text
    assert "nog 1 keer" in page.text
    (sender, recipient, _) = site.outbox.sent[0]
    mail = mail_of(site)
    assert recipient == DOCTOR
    assert mail["to"] == DOCTOR
    assert re.fullmatch(r"r\.[a-z2-7]{26}@replies\.viewer\.example\.nl", mail["from"].addresses[0].addr_spec)
    assert re.fullmatch(r"n\.[a-z2-7]{26}@replies\.viewer\.example\.nl", sender)
    assert mail["from"].addresses[0].display_name == f"{PATIENT} via Ziekenhuis Zuid"
    assert mail["subject"] == "Re: Uitslag"
    text = mail.get_content()
    assert text.splitlines()[0] == f"Antwoord van {PATIENT}, geschreven in de beveiligde lezer."
    assert SECRET in text


async def test_it_refers_to_what_it_answers(site):
    person = await reader(site, fields="Message-ID: <b@zuid.example>\r\nReferences: <a@zuid.example>\r\n")
    await write(person)
    mail = mail_of(site)
    assert mail["in-reply-to"] == "<b@zuid.example>"
    assert mail["references"] == "<a@zuid.example> <b@zuid.example>"


async def test_ids_longer_than_a_line_stay_what_they_are(site):
    earlier = [LONG.replace("A1B2", f"{n:04}") for n in range(3)]
    person = await reader(site, fields=f"Message-ID: {LONG}\r\nReferences: {' '.join(earlier)}\r\n")
    await write(person)
    head = site.outbox.sent[0][2].partition(b"\r\n\r\n")[0].decode().replace("\r\n ", " ")
    assert f"In-Reply-To: {LONG}" in head.split("\r\n")
    assert f"References: {' '.join([*earlier, LONG])}" in head.split("\r\n")


async def test_the_readers_name_is_the_one_that_the_sender_uses(site):
    person = await reader(site, to=f'"Jansen, Piet" <{PATIENT}>')
    await write(person)
    assert mail_of(site)["from"].addresses[0].display_name == "Jansen, Piet via Ziekenhuis Zuid"
    assert PATIENT in mail_of(site).get_content()


async def test_files_arrive_as_they_were_sent(site):
    person = await reader(site)
    large = bytes(range(256)) * 4000
    files = [("foto's é.png", b"\x89PNG" + large, "image/png"), ("leeg.txt", b"", "text/plain")]
    page = await write(person, files=files)
    assert "verstuurd" in page.text
    parts = list(mail_of(site).iter_attachments())
    assert [(one.get_filename(), one.get_content_type()) for one in parts] == [
        ("foto's é.png", "image/png"),
        ("leeg.txt", "text/plain"),
    ]
    assert parts[0].get_payload(decode=True) == files[0][1]
    assert max(map(len, site.outbox.sent[0][2].splitlines())) <= 998


async def test_nothing_of_it_rests_in_the_clear(site):
    person = await reader(site)
    await write(person, "save", files=[("geheim-plan.pdf", SECRET.encode() * 20_000, "application/pdf")])
    await write(person, "save", text=SECRET)
    octets = b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())
    assert SECRET.encode() not in octets
    assert b"geheim-plan" not in octets


async def test_a_draft_outlives_the_session(site):
    person = await reader(site)
    await write(person, "save", text="Half af.", files=[("a.txt", b"abc", "text/plain")])
    assert "Half af." in person.page.text
    await person.press("/logout") if "logout" in person.page.text else None
    site.clock.pass_(3700)
    again = site.person()
    await again.read(person.deposited, site.phone)
    page = await again.get(f"{again.base}/reply")
    assert "Half af." in page.text
    assert "a.txt" in page.text


async def end_session(site, person, how):
    if how == "idle":
        site.clock.pass_(25 * 60)
    elif how == "number corrected":
        await site.store.call("viewer_number_correct", grant_id=person.base.removeprefix("/g/"), mobile=b"sealed")
    elif how == "withdrawn":
        await site.store.call("viewer_revoke", message_id=person.deposited.message_id, recipient="")
    else:
        await site.store.call("viewer_logout", browser=digest(person.client.cookies["__Host-vw"]))


async def draft_of(site, person):
    return await site.store.call("viewer_draft", grant_id=person.base.removeprefix("/g/"))


ENDINGS = ["idle", "signed out", "number corrected", "withdrawn"]


@pytest.mark.parametrize("how", ENDINGS)
async def test_a_form_that_outlived_its_session_changes_nothing(site, how):
    person = await reader(site)
    await write(person, "save", text="Half af.")
    base, form, before = person.base, form_of(person), await draft_of(site, person)
    await end_session(site, person, how)
    page = await write(person, text="Lang over nagedacht.", form=form, files=[("a.txt", b"abc", "text/plain")])
    assert page.status_code == 403
    assert ("Lang over nagedacht." in page.text) == (how != "withdrawn")
    person.page = await person.get(base)
    assert (await site.store.call("viewer_draft", grant_id=base.removeprefix("/g/"))) == before
    assert not site.outbox.sent


@pytest.mark.parametrize("how", ENDINGS)
async def test_a_form_on_its_way_when_the_session_ends_changes_nothing(site, how):
    person = await reader(site)
    await write(person, "save", text="Half af.")
    base, (token, form), before = person.base, form_of(person), await draft_of(site, person)

    async def body():
        for name, value in {"token": token, "form": form, "text": "Te laat."}.items():
            yield f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' + bytes(400_000)
        await end_session(site, person, how)
        yield b'\r\n--b\r\nContent-Disposition: form-data; name="do"\r\n\r\nsend\r\n--b--\r\n'

    headers = FORM | {"Content-Type": "multipart/form-data; boundary=b"}
    page = await person.client.post(f"{base}/reply", content=body(), headers=headers)
    assert page.status_code == 403
    assert "Te laat." in page.text
    assert (await site.store.call("viewer_draft", grant_id=base.removeprefix("/g/"))) == before
    assert not site.outbox.sent
    assert not list((site.folder / "blobs" / "incoming").iterdir())


async def test_a_file_can_be_taken_back(site):
    person = await reader(site)
    await write(person, "add", files=[("weg.txt", b"x", "text/plain"), ("blijft.txt", b"y", "text/plain")])
    remove = re.search(
        r'value="(remove:[0-9a-f]+)" class="quiet small">[^<]*<span class="unseen"> weg.txt', person.page.text
    )
    page = await write(person, remove[1])
    assert "blijft.txt" in page.text
    assert "weg.txt" not in page.text


async def test_the_third_answer_is_refused_until_the_organisation_writes_again(site):
    person = await reader(site)
    for _ in range(2):
        assert "verstuurd" in (await write(person)).text
    page = await write(person)
    assert "niet meer antwoorden" in page.text
    assert len(site.outbox.sent) == 2
    assert (await site.kinds(person.deposited.message_id)).count("replied") == 2
    grant = await site.store.call("viewer_grant", grant_id=person.base.removeprefix("/g/"))
    await site.deposit(thread=grant.thread)
    assert 'name="text"' in (await person.get(f"{person.base}/reply")).text


async def test_of_many_third_answers_at_once_none_passes(site):
    people = []
    sent = await site.deposit()
    for _ in range(3):
        person = site.person()
        await person.read(sent, site.phone)
        people.append(person)
        site.clock.pass_(61)
    await write(people[0])
    forms = []
    for person in people:
        await person.get(f"{person.base}/reply")
        forms.append((person, form_of(person)))
    await asyncio.gather(
        *(write(person, text=f"Antwoord {n}.", form=form, follow=False) for person, form in forms for n in range(3))
    )
    assert len(site.outbox.sent) == 2


async def test_pressing_send_twice_sends_once(site):
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    form = form_of(person)
    files = [("a.txt", b"abc", "text/plain")]
    await asyncio.gather(*(write(person, files=files, form=form, follow=False) for _ in range(2)))
    assert len(site.outbox.sent) == 1
    assert "nog 1 keer" in (await person.get(f"{person.base}/sent")).text


@pytest.mark.parametrize("drafted", [False, True])
async def test_a_form_that_is_sent_again_later_sends_nothing(site, drafted):
    person = await reader(site)
    if drafted:
        await write(person, "save", text="Half af.")
    await person.get(f"{person.base}/reply")
    form = form_of(person)
    await write(person, form=form)
    for _ in range(3):
        page = await write(person, form=form)
        assert page.status_code == 200
        assert "Uw antwoord is verstuurd" in page.text
    assert len(site.outbox.sent) == 1
    assert SECRET not in (await person.get(f"{person.base}/reply")).text


async def test_something_else_in_a_form_from_before_is_neither_sent_nor_lost(site):
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    form = form_of(person)
    await write(person, form=form)
    page = await write(person, text="Nog iets.", files=[("b.txt", b"abc", "text/plain")], form=form)
    assert page.status_code == 422
    assert "Dit formulier is al verstuurd" in page.text
    assert "Nog iets." in page.text
    assert "b.txt" in page.text
    assert len(site.outbox.sent) == 1
    assert "verstuurd" in (await write(person, text="Nog iets.", form=form_of(person))).text
    assert len(site.outbox.sent) == 2
    page = await write(person, text="En nog iets.", form=form)
    assert "Uw antwoord is één keer verstuurd" in page.text
    assert "niet meer antwoorden" in page.text


async def test_files_of_two_windows_are_all_kept(site):
    person = await reader(site)
    forms = []
    for _ in range(2):
        await person.get(f"{person.base}/reply")
        forms.append(form_of(person))
    await asyncio.gather(
        *(
            write(person, "add", files=[(f"{n}.bin", bytes(400_000), "a/b")], form=form, follow=False)
            for n, form in enumerate(forms)
        )
    )
    page = await person.get(f"{person.base}/reply")
    assert "0.bin" in page.text
    assert "1.bin" in page.text
    await write(person, form=forms[1])
    assert len(list(mail_of(site).iter_attachments())) == 2
    await write(person, form=forms[1])
    assert len(site.outbox.sent) == 1


async def test_what_comes_to_a_draft_while_it_is_sent_isnt_lost(site):
    person = await reader(site)
    await write(person, "save")
    form = form_of(person)
    submit = site.outbox.submit

    async def meanwhile(**mail):
        site.outbox.submit = submit
        await person.client.post(
            f"{person.base}/reply",
            files=[("token", (None, form[0])), ("form", (None, form[1])), ("text", (None, "Anders.")), *ADDED],
            headers=FORM,
        )
        return await submit(**mail)

    site.outbox.submit = meanwhile
    page = await write(person, form=form)
    assert page.status_code == 422
    assert "in een ander venster" in page.text
    assert "Anders." in page.text
    assert "later.txt" in page.text
    assert not site.outbox.sent
    await write(person, text="Anders.", form=form)
    assert "Anders." in mail_of(site).get_body(("plain",)).get_content()
    assert [one.get_filename() for one in mail_of(site).iter_attachments()] == ["later.txt"]


async def test_the_message_offers_the_draft(site):
    person = await reader(site)
    assert "concept" not in (await person.get(person.base)).text
    await write(person, "save", text="Half af.")
    assert "Ga verder met uw concept" in (await person.get(person.base)).text
    await write(person)
    assert "concept" not in (await person.get(person.base)).text


async def test_what_the_pipeline_refuses_stays_a_draft(site):
    person = await reader(site)
    site.outbox.refusal = Reply(550, "5.7.1", "Attachments of this type aren't accepted: plan.exe")
    page = await write(person, files=[("plan.exe", b"MZ", "application/octet-stream")])
    assert page.status_code == 422
    assert "plan.exe" in page.text
    assert SECRET in page.text
    site.outbox.refusal = None
    remove = re.search(r'value="(remove:[0-9a-f]+)"', page.text)[1]
    await write(person, remove)
    assert "verstuurd" in (await write(person)).text


async def test_an_empty_answer_is_none(site):
    person = await reader(site)
    page = await write(person, text="  \n ")
    assert (page.status_code, site.outbox.sent) == (422, [])


async def test_more_than_may_be_sent_is_refused_with_a_page(site):
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    page = await write(person, files=[("groot.bin", bytes(40 * 10**6), "application/octet-stream")])
    assert page.status_code == 413
    assert "36 MB" in page.text
    page = await person.get(f"{person.base}/reply")
    assert SECRET in page.text
    assert "groot.bin" not in page.text
    page = await write(
        person, "add", files=[(f"{n}.bin", bytes(13 * 10**6), "application/octet-stream") for n in range(2)]
    )
    assert page.status_code == 200
    page = await write(person, "add", files=[("derde.bin", bytes(13 * 10**6), "application/octet-stream")])
    assert page.status_code == 422
    assert "derde.bin" not in page.text


async def test_100_mb_are_refused_before_they_have_come(site):
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    token, form = form_of(person)
    fields = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"token": token, "form": form, "text": SECRET}.items()
    )
    begin = '--b\r\nContent-Disposition: form-data; name="file"; filename="groot.bin"\r\n\r\n' + "x" * 100_000
    cookie = "; ".join(f"{name}={value}" for name, value in person.client.cookies.items())
    request = (
        f"POST {person.base}/reply HTTP/1.1\r\nHost: viewer.example.nl\r\nCookie: {cookie}\r\n"
        "Sec-Fetch-Site: same-origin\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {100 * 10**6}\r\n\r\n{fields}{begin}"
    )
    async with serving(site.app, port := free_port()):
        come, go = await asyncio.open_connection("127.0.0.1", port)
        go.write(request.encode())
        answer = await come.readuntil(b"</html>")
        go.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"36 MB" in answer
    assert b"bewaard als concept" in answer
    assert SECRET in (await person.get(f"{person.base}/reply")).text
    assert not list((site.folder / "blobs" / "incoming").iterdir())


async def test_files_that_come_slowly_keep_their_session(site):
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    token, form = form_of(person)

    async def slowly():
        for name, value in {"token": token, "form": form, "text": "Traag."}.items():
            yield f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="traag.bin"\r\n\r\n'
        for _ in range(4):
            site.clock.pass_(15 * 60)
            yield bytes(100_000)
        yield b"\r\n--b--\r\n"

    headers = FORM | {"Content-Type": "multipart/form-data; boundary=b"}
    page = await person.client.post(f"{person.base}/reply", content=slowly(), headers=headers)
    assert page.status_code == 303
    assert "traag.bin" in (await person.get(f"{person.base}/reply")).text


async def test_the_last_answer_sent_again_shows_the_same_page(site):
    person = await reader(site)
    await write(person)
    await person.get(f"{person.base}/reply")
    form = form_of(person)
    for _ in range(3):
        page = await write(person, form=form)
        assert (page.status_code, "Uw antwoord is verstuurd" in page.text) == (200, True)
    assert len(site.outbox.sent) == 2


async def test_withdrawn_while_an_answer_is_on_its_way_and_allowed_again(site):
    person = await reader(site)
    await write(person, "save")
    form, submit = form_of(person), site.outbox.submit

    async def meanwhile(**mail):
        await site.store.call("viewer_revoke", message_id=person.deposited.message_id, recipient="")
        return await submit(**mail)

    site.outbox.submit = meanwhile
    assert (await write(person, form=form, follow=False)).status_code == 403
    assert not site.outbox.sent
    assert "replied" not in await site.kinds(person.deposited.message_id)
    site.outbox.submit = submit
    await site.store.call("viewer_restore", message_id=person.deposited.message_id, recipient="")
    again = site.person()
    await again.read(person.deposited, site.phone)
    assert SECRET in (await again.get(f"{again.base}/reply")).text


async def test_a_message_has_its_share_of_files_for_a_day_whatever_becomes_of_them(site, monkeypatch):
    monkeypatch.setattr("relayd.store.viewer_drafts.DAILY_SIZE", 3 * 10**6)
    person = await reader(site)
    large = [("groot.bin", bytes(10**6), "application/octet-stream")]
    for _ in range(2):
        page = await write(person, "add", files=large)
        await write(person, re.search(r'value="(remove:[0-9a-f]+)"', page.text)[1])
    other = site.person()
    site.clock.pass_(61)
    await other.read(person.deposited, site.phone)
    page = await write(other, "add", files=large)
    assert page.status_code == 429
    assert "Te veel bestanden voor één dag" in page.text
    assert "bewaard als concept" in page.text
    assert not list((site.folder / "blobs" / "incoming").iterdir())
    page = await write(other, "save")
    assert SECRET in page.text
    assert "groot.bin" not in page.text
    elsewhere = await reader(site)
    assert "groot.bin" in (await write(elsewhere, "add", files=large)).text
    site.clock.pass_(86400)
    await site.keep_house()
    again = site.person()
    await again.read(person.deposited, site.phone)
    assert "groot.bin" in (await write(again, "add", files=large)).text


async def test_half_a_form_and_one_of_unknown_length_count_too(site, monkeypatch):
    monkeypatch.setattr("relayd.store.viewer_drafts.DAILY_SIZE", 40 * 10**6)
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    token, form = form_of(person)

    async def half():
        for name, value in {"token": token, "form": form}.items():
            yield f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'

    headers = FORM | {"Content-Type": "multipart/form-data; boundary=b"}
    await person.client.post(f"{person.base}/reply", content=half(), headers=headers)
    page = await write(person, "add", files=[("groot.bin", bytes(3 * 10**6), "application/octet-stream")])
    assert page.status_code == 429


@pytest.mark.parametrize("cut", ["in the file", "before the end"])
async def test_half_a_form_leaves_nothing(site, cut):
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    token, form = form_of(person)
    body = (
        f'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\n{token}\r\n'
        f'--b\r\nContent-Disposition: form-data; name="form"\r\n\r\n{form}\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="half.bin"\r\n\r\n' + "x" * 400_000
    )
    body += "" if cut == "in the file" else "\r\n"
    headers = FORM | {"Content-Type": "multipart/form-data; boundary=b"}
    page = await person.client.post(f"{person.base}/reply", content=body.encode(), headers=headers)
    assert page.status_code == 403
    assert "half.bin" not in (await person.get(f"{person.base}/reply")).text
    assert not list((site.folder / "blobs" / "incoming").iterdir())


@pytest.mark.parametrize("token", ["", "x" * 44, "of another page"])
async def test_nothing_is_kept_for_whoever_has_no_token(site, token):
    person = await reader(site)
    if token == "of another page":
        token = person.form("/extend")[1]
    form = (token, "0" * 32)
    page = await write(person, text="ingeslopen", form=form, files=[("x.bin", b"x" * 400_000, "a/b")])
    assert page.status_code == 403
    assert "ingeslopen" not in (await person.get(f"{person.base}/reply")).text


async def test_a_form_from_elsewhere_counts_for_nothing(site):
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    token, form = form_of(person)
    parts = {"token": (None, token), "form": (None, form), "text": (None, "x"), "do": (None, "send")}
    page = await person.client.post(f"{person.base}/reply", files=parts, headers={"Sec-Fetch-Site": "cross-site"})
    assert (page.status_code, site.outbox.sent) == (403, [])


async def test_names_of_files_can_do_no_harm(site):
    person = await reader(site)
    hostile = ["../../etc/passwd", 'a"\r\nBcc: x@y.example', "gpj.\u202eexe", "x" * 400 + ".pdf", "\x00\x01"]
    await write(person, files=[(name, b"x", "text/html; charset=x\r\nX: y") for name in hostile])
    mail = mail_of(site)
    assert "bcc" not in mail
    names = [one.get_filename() for one in mail.iter_attachments()]
    assert len(names) == len(hostile)
    assert not any(set(name) & set('/\\"\r\n\u202e\x00') for name in names)
    assert all(len(name) < 140 for name in names)


async def test_the_subject_and_the_name_can_break_no_header(site):
    person = await reader(site, subject="=?utf-8?q?x=0D=0ABcc:_evil@x.example?=", to=f'"a\\"b" <{PATIENT}>')
    await write(person)
    assert "bcc" not in mail_of(site)


async def test_a_withdrawn_message_cant_be_answered(site):
    person = await reader(site)
    await person.get(f"{person.base}/reply")
    form = form_of(person)
    await site.store.call("viewer_revoke", message_id=person.deposited.message_id, recipient=PATIENT)
    page = await write(person, form=form)
    assert page.status_code in (403, 410)
    assert not site.outbox.sent


async def test_the_stores_invariants_hold_with_drafts_in_it(site, tmp_path):
    person = await reader(site)
    await write(person, "add", files=[("a.bin", bytes(600_000), "a/b"), ("b.bin", b"x", "a/b")])
    import sqlite3

    db = sqlite3.connect(f"file:{next(site.folder.rglob('*.db'))}?mode=ro", uri=True, isolation_level=None)
    site.clock.pass_(86400)
    found = list(Verifier(site.folder, site.blobs, site.vault.epochs, site.vault, site.clock).run(db, deep=True))
    db.close()
    assert found == []


async def test_the_page_says_whose_it_is_and_that_it_travels_securely(site):
    person = await reader(site)
    page = await person.get(f"{person.base}/reply")
    assert "Ziekenhuis Zuid" in page.text
    assert f'action="{person.base}/reply"' in page.text
    assert ORIGIN not in page.text
