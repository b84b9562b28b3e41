"""The whole story through real mail: a hospital's Postfix, the daemon, a patient with a browser, his doctor's answer, a
colleague in the community, a daughter outside, a withdrawal, and the end of it all."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import smtplib
import sqlite3
import time
from contextlib import ExitStack
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from types import SimpleNamespace

import dkim
import pytest

from relayd.errors import KeyDestroyed
from relayd.settings.models import StoreSettings
from relayd.store.blobs import Blobs
from relayd.store.purge import Purge
from relayd.store.sqlite import SqliteStore
from relayd.vault.epochs import EpochKeys
from relayd.vault.keyring import Keyring
from relayd.vault.vault import Vault
from tests.kit import mail, postfix, preload
from tests.kit.browser import Browser
from tests.kit.daemon import RelayProcess
from tests.kit.failing import Machine
from tests.kit.postfix import Postfix
from tests.kit.sink import Sink
from tests.kit.site import HOSTNAME, Site
from tests.kit.talk import BRAM, DOCTOR
from tests.kit.wait import wait_for

pytestmark = [
    pytest.mark.behaviour,
    pytest.mark.skipif(bool(postfix.available()), reason=postfix.available()),
    pytest.mark.skipif(bool(preload.unavailable()), reason=preload.unavailable()),
]
PATIENT, DAUGHTER, MOBILE = "patient@outside.example", "dochter@outside.example", "+31612345678"
SECRET, ANSWER, BACK = "De uitslag is goed.", "Ik heb nog een vraag.", "Neem gerust contact op."
OURS = f"replies.{HOSTNAME}"
DAY = 86400


class Stage(SimpleNamespace):
    """Everybody in it."""

    def letters(self, to: str, word: str = "") -> list[bytes]:
        """What arrived for somebody at the partner's server, with ``word`` in it."""
        found = [self.sink.content(one) for one in self.sink.receipts if to in one.recipients]
        return [one for one in found if word.encode() in one.replace(b"=\r\n", b"")]

    def wait_for_letters(self, to: str, count: int, word: str = "") -> bytes:
        wait_for(lambda: len(self.letters(to, word)) >= count, f"mail {count} for {to}")
        return self.letters(to, word)[-1]

    def post(self, to: str, subject: str, text: str, **fields: str) -> None:
        """The doctor sends by his hospital's own mail server."""
        with smtplib.SMTP("127.0.0.1", self.hospital.port) as client:
            client.sendmail(DOCTOR, [to], mail.message(DOCTOR, [to], subject, text, headers=fields))

    def code(self, after: int) -> str:
        wait_for(lambda: self.sms_count() > after, "an SMS")
        return re.search(r"#(\d{6})$", json.loads(self.site.sms.read_text().splitlines()[-1])["text"])[1]

    def sms_count(self) -> int:
        return len(self.site.sms.read_text().splitlines()) if self.site.sms.exists() else 0


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("story")
    site = Site(folder, certificate_days=200)
    site.relayd["queue"] = {"schedule": ["1s"]}
    with Sink(folder / "partner", site.partner, port=site.partner_port) as sink, RelayProcess(site) as relayd:
        keys = relayd.cli("dkim", "create", OURS, "--activate", "--json")
        assert keys.returncode == 0, keys.stderr
        with Postfix(
            "mail.noord.example",
            relay_to=site.relay_port,
            ca=site.authority.certificate,
            relay_name=HOSTNAME,
            client=site.hospital,
        ) as hospital:
            yield Stage(site=site, relayd=relayd, sink=sink, hospital=hospital, keys=json.loads(keys.stdout))


def link_in(letter: bytes, stage: Stage, kind: str = "v") -> str:
    text = letter.replace(b"=\r\n", b"").decode().replace("=3D", "=")
    return re.search(rf"{re.escape(stage.site.viewer_url)}/{kind}/[\w-]+", text)[0]


def sign_in(stage: Stage, browser: Browser, link: str) -> str:
    """All the way to the message; returns its address."""
    before = stage.sms_count()
    browser.open(link)
    browser.submit(browser.forms[0])
    form = next(form for form in browser.forms if "code" in form.open_fields)
    browser.submit(form, code=stage.code(before))
    assert browser.response.status_code == 200
    return browser.url


def body(browser: Browser, page: str) -> str:
    browser.open(f"{page}/body")
    return browser.text


def answer(browser: Browser, page: str, text: str, *files: tuple[str, bytes, str]) -> str:
    browser.open(f"{page}/reply")
    form = next((form for form in browser.forms if "text" in form.open_fields or form.multipart), None)
    if form is None:
        return browser.text
    browser.submit(form, files, text=text, do="send")
    return browser.text


def signed_by(letter: bytes, stage: Stage) -> bool:
    """Whether a key that we publish for the Viewer's domain signed it."""
    records = {f"{one['name'].rstrip('.')}.": one["text"] for one in stage.keys["records"]}

    def txt(name: bytes, timeout: int = 5) -> bytes:
        return records.get(name.decode().rstrip(".") + ".", "").encode()

    return dkim.verify(letter, dnsfunc=txt)


@pytest.fixture
def somebody():
    """Browsers of different people, closed at the end."""
    with ExitStack() as people:
        yield lambda: people.enter_context(Browser())


def test_from_the_first_notification_to_the_destroyed_key(stage, somebody):
    # A message comes, is notified of without its content, and is read after a code.
    stage.post(PATIENT, "Uitslag", SECRET, **{"X-Relayd-Mobile": f"{PATIENT}; {MOBILE}"})
    notification = stage.wait_for_letters(PATIENT, 1)
    assert SECRET.encode() not in notification
    link = link_in(notification, stage)
    patient = somebody()
    page = sign_in(stage, patient, link)
    assert SECRET in body(patient, page)

    # Two answers reach the doctor, in his thread, signed for the domain they come from.
    assert "nog 1 keer" in answer(patient, page, ANSWER, ("vraag.pdf", b"%PDF-vraag" * 9000, "application/pdf"))
    reply = stage.wait_for_letters(DOCTOR, 1, "Re: Uitslag")
    parsed = message_from_bytes(reply, policy=SMTP)
    address = parsed["from"].addresses[0].addr_spec
    assert address.endswith(f"@{OURS}")
    assert re.fullmatch(r"<[^<>]+>", parsed["in-reply-to"])
    assert parsed["in-reply-to"] in parsed["references"]
    assert ANSWER in parsed.get_body(("plain",)).get_content()
    (attached,) = parsed.iter_attachments()
    assert attached.get_payload(decode=True) == b"%PDF-vraag" * 9000
    assert signed_by(reply, stage)
    assert "zo vaak geantwoord" in answer(patient, page, "En nog een.")
    stage.wait_for_letters(DOCTOR, 2, "Re: Uitslag")

    # The third is refused.
    assert "niet meer antwoorden" in answer(patient, page, "En een derde.")

    # The doctor answers to the address; the patient is notified, by another link, and may answer anew.
    stage.post(address, "Re: Uitslag", BACK)
    second = link_in(stage.wait_for_letters(PATIENT, 2), stage)
    assert second != link
    again = somebody()
    page = sign_in(stage, again, second)
    assert BACK in body(again, page)
    again.open(page)
    assert "nog 2 keer" in again.text
    assert "nog 1 keer" in answer(again, page, "Dank u.")
    stage.wait_for_letters(DOCTOR, 3, "Re: Uitslag")

    # Passed on to a member's own mailbox, and to somebody outside by reference and password.
    again.open(f"{page}/forward")
    again.submit(again.forms[0], to=BRAM, note="Kijkt u mee?")
    assert "beveiligde mailbox" in again.text
    wait_for(lambda: list((stage.site.mailbox(BRAM) / "new").glob("*")), "mail for Bram")
    (file,) = (stage.site.mailbox(BRAM) / "new").glob("*")
    assert BACK in file.read_text()
    again.open(f"{page}/forward")
    again.submit(again.forms[0], to=DAUGHTER, note="")
    reference, password = re.findall(r'<dd class="secret">([^<]+)</dd>', again.response.text)
    notice = stage.wait_for_letters(DAUGHTER, 1)
    assert password.encode() not in notice
    daughter = somebody()
    daughter.open(link_in(notice, stage))
    daughter.submit(daughter.forms[0], reference=reference, password=password)
    daughters = daughter.url
    assert BACK in body(daughter, daughters)

    # The doctor follows it by the link in his confirmation, and withdraws the first message: also the open session
    # ends.
    stage.wait_for_letters(DOCTOR, 2, "/s/")
    confirmation = stage.letters(DOCTOR, "/s/")[0]
    doctor = somebody()
    doctor.open(link_in(confirmation, stage, "s"))
    doctor.submit(doctor.forms[0])
    assert "Gelezen" in doctor.text
    assert "Beantwoord" in doctor.text
    readers = next(form for form in doctor.forms if not form.action.endswith("/logout"))
    revoke = next(value for _, value in readers.buttons if value.startswith("revoke:"))
    doctor.submit(readers, do=revoke)
    assert "Ingetrokken" in doctor.text
    patient.open(link)
    assert (patient.response.status_code, "ingetrokken" in patient.text) == (410, True)
    first = doctor.url.rpartition("/")[2]
    stage.relayd.cli("message", "restore", first, PATIENT)
    assert patient.open(link).status_code == 200
    stage.relayd.cli("message", "revoke", first, PATIENT)
    assert patient.open(link).status_code == 410
    assert (again.open(page).status_code, daughter.open(daughters).status_code) == (200, 200)

    _the_end(stage, [second, link_in(notice, stage)])


def _the_end(stage: Stage, links: list[str]) -> None:
    """Its time is over: the links say so at once, the keys are destroyed, and a backup of before opens nothing."""
    stage.relayd.stop()
    machine = Machine(stage.site.folder)
    machine.jump(91 * DAY)
    stage.relayd.start(machine.environment)
    with Browser() as late:
        for link in links:
            assert late.open(link).status_code == 410
            assert "voorbij" in late.text
    stage.relayd.stop()
    backup = stage.site.folder / "backup"
    shutil.copytree(stage.site.state, backup)
    _destroyed(stage.site.state, stage.site.keys)
    keyring = Keyring.load(stage.site.keys)
    vault = Vault(keyring, EpochKeys(stage.site.keys / "epochs", keyring))
    db = sqlite3.connect(next(backup.rglob("*.db")))
    rows = db.execute("SELECT organisation, epoch, id, wrapped_key FROM message").fetchall()
    assert len(rows) >= 6
    for organisation, epoch, identity, wrapped in rows:
        with pytest.raises(KeyDestroyed):
            vault.open(organisation, epoch, identity, wrapped)
    stage.relayd.start()
    with Browser() as late:
        for link in links:
            assert late.open(link).status_code in (404, 410)


class Later:
    """A wall clock that somebody set."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def boot(self) -> float:
        return self.at


def _destroyed(state: Path, keys: Path) -> None:
    async def run() -> None:
        clock = Later(time.time() + 100 * DAY)
        store = await SqliteStore.open(state, clock)
        keyring = Keyring.load(keys)
        blobs = Blobs(state / "blobs", "purge", settings=StoreSettings(), clock=clock)
        purge = Purge(store, EpochKeys(keys / "epochs", keyring), blobs, clock, None)
        # The jump itself is doubted for three days.
        for _ in range(6):
            await purge.run()
            clock.at += DAY
        await blobs.close()
        await store.close()

    asyncio.run(run())
