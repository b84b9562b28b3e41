"""Nothing confidential rests in the clear, at any moment: not in files, logs, names, temporary or unlinked files.

Words that occur nowhere else are sent through every way a message can take, while something looks for them.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import smtplib
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kit import mail
from tests.kit.browser import Browser
from tests.kit.canaries import Canaries, Sighting, files_below, files_kept_open, forms
from tests.kit.daemon import RelayProcess
from tests.kit.process import ROOT
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import ANNA, BRAM, COLLEAGUE, DOCTOR, say
from tests.kit.usage import family
from tests.kit.wait import wait_for

pytestmark = [pytest.mark.behaviour, pytest.mark.timeout(180)]

WORDS = {
    "subject": "Onderwerp-kanarie-hGv71",
    "body": "Inhoud-kanarie = x8Qw\u00e92",
    "file name": "bestand-kanarie-p3Zt",
    "attachment": "Bijlage-kanarie-Lm05-van-mw-Jansen",
    "file in an archive": "Archief-kanarie-77Ru",
    "name in an archive": "naam-kanarie-9Yk4",
    "phone": "+31687654321",
    "phone as written": "06 87 65 43 21",
    "password": "wachtwoord-kanarie-Ee3x",
}
#: Breaks in every way a program can, with content in the text of each error.
BREAKING = '''
"""Fails on purpose."""

from __future__ import annotations

import asyncio
import threading

from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Pass, Verdict


class BreakingOptions(Options):
    """None."""


class BreakingPolicy(Policy[BreakingOptions]):
    """Raises with the subject and the body in the text: here, in a task, in a callback, in a thread."""

    name = "breaking"
    stages = frozenset({Stage.MESSAGE})
    Options = BreakingOptions

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        assert mail.headers is not None and mail.body is not None
        if "breaking" not in str(mail.envelope.sender):
            return Pass("nothing to break")
        text = mail.headers.text("subject") + repr([block async for block in mail.body.blocks()])

        def fail() -> None:
            raise ValueError(text)

        async def fail_later() -> None:
            fail()

        class Undead:
            def __del__(self) -> None:
                fail()

        asyncio.get_running_loop().call_soon(fail)
        threading.Thread(target=fail).start()
        Undead()
        task = asyncio.create_task(fail_later())
        await asyncio.sleep(0)
        del task
        fail()
        return Pass("never")
'''


def archive() -> bytes:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(WORDS["name in an archive"] + ".txt", WORDS["file in an archive"] * 40)
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("binnen.zip", inner.getvalue())
        file.writestr("binnen.txt.gz", gzip.compress(WORDS["file in an archive"].encode()))
    return outer.getvalue()


def content(sender: str, to: list[str], *, size: int = 0, **more: object) -> bytes:
    attachments = {
        WORDS["file name"] + ".txt": WORDS["attachment"].encode() * 20 + os.urandom(size // 2).hex().encode(),
        WORDS["file name"] + ".zip": archive(),
        **(more.pop("attachments", {})),  # type: ignore[dict-item]
    }
    return mail.message(
        sender,
        to,
        WORDS["subject"],
        WORDS["body"] + "\n" + WORDS["phone as written"] + "\n",
        attachments=attachments,
        **more,
    )  # type: ignore[arg-type]


@dataclass
class Watch:
    """Looks through everything again and again while relayd runs, across its restarts."""

    site: Site
    relayd: RelayProcess
    canaries: Canaries
    sightings: set[Sighting] = field(default_factory=set)
    rounds: int = 0

    def __post_init__(self) -> None:
        self.temporary = self.site.folder / "tmp"
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def look(self) -> None:
        self.sightings |= self.canaries.seen_in_files(self._files())
        self.rounds += 1

    def _run(self) -> None:
        while not self._end.wait(0.05):
            self.look()

    def _files(self) -> Iterator[Path]:
        site = self.site
        yield from files_below([site.state, site.keys, self.temporary])
        yield site.folder / "relayd.log"
        # Shared memory has no folders; what has is somebody else's.
        yield from (path for folder in (Path("/dev/shm"), ROOT) for path in folder.glob("*") if path.is_file())
        if self.relayd.child.returncode is None:
            yield from files_kept_open(self.relayd.child.pid)


@dataclass
class Quiet:
    site: Site
    relayd: RelayProcess
    partner: Sink
    watch: Watch


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quiet]:
    folder = tmp_path_factory.mktemp("quiet")
    site = Site(folder)
    site.accounts = dict.fromkeys((ANNA, BRAM), WORDS["password"])
    site.relayd |= {"queue": {"schedule": ["1s"], "lifetime": "1h"}, "policy_folders": [str(folder / "own")]}
    site.policies.append({"policy": "breaking"})
    next(one for one in site.policies if one["policy"] == "attachments")["encrypted"] = "hold"
    for name in ("own", "tmp"):
        (folder / name).mkdir()
    (folder / "own" / "breaking.py").write_text(BREAKING)
    with (
        Sink(folder / "partner", site.partner, port=site.partner_port) as partner,
        RelayProcess(site, environment={"TMPDIR": str(folder / "tmp")}) as relayd,
        Watch(site, relayd, Canaries(WORDS)) as watch,
    ):
        yield Quiet(site, relayd, partner, watch)


def relay(quiet: Quiet, sender: str, to: list[str], octets: bytes) -> tuple[int, str]:
    with quiet.relayd.hospital() as client:
        return say(client, sender, to, octets)


def test_core_dumps_are_off_in_every_process(quiet: Quiet) -> None:
    assert relay(quiet, DOCTOR, [COLLEAGUE], content(DOCTOR, [COLLEAGUE]))[0] == 250  # an inspector has started
    processes = family(quiet.relayd.child.pid)
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in processes]
    assert "relayd-inspect" in names
    for pid, name in zip(processes, names, strict=True):
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits), name
        # A process that may not be dumped belongs to root in /proc, and its memory opens to nobody but root.
        if os.getuid():
            assert Path(f"/proc/{pid}/mem").stat().st_uid == 0, name


def encrypted_zip() -> bytes:
    """A zip whose one file claims to need a password: flag bit 0 in both of its headers."""
    octets = bytearray(mail.zipped(WORDS["name in an archive"] + ".txt", WORDS["file in an archive"].encode()))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        octets[octets.index(signature) + offset] |= 1
    return bytes(octets)


def relayed(quiet: Quiet) -> None:
    octets = content(DOCTOR, [COLLEAGUE], size=700_000)
    assert relay(quiet, DOCTOR, [COLLEAGUE], octets)[0] == 250
    quiet.partner.wait_for_receipt(mail.message_id_of(octets))


def chunked_and_abandoned(quiet: Quiet) -> None:
    """A large body that never gets its end, in the middle of a chunk."""
    with quiet.relayd.hospital() as client:
        client.ehlo()
        client.mail(DOCTOR)
        client.rcpt(COLLEAGUE)
        octets = content(DOCTOR, [COLLEAGUE], size=900_000)
        client.send(b"BDAT %d\r\n" % (len(octets) + 1) + octets)
        rounds = quiet.watch.rounds
        wait_for(lambda: quiet.watch.rounds > rounds + 1, "two looks around")
        client.close()


def refused_by_policy(quiet: Quiet) -> None:
    octets = content(DOCTOR, [COLLEAGUE], attachments={WORDS["file name"] + ".exe": WORDS["attachment"].encode()})
    code, text = relay(quiet, DOCTOR, [COLLEAGUE], octets)
    assert (code, WORDS["file name"] in text) == (550, False)


def deferred(quiet: Quiet) -> None:
    octets = content(DOCTOR, ["later-quiet@partner.example"], size=400_000)
    assert relay(quiet, DOCTOR, ["later-quiet@partner.example"], octets)[0] == 250
    quiet.partner.wait_for_receipt(mail.message_id_of(octets))


def bounced(quiet: Quiet) -> None:
    assert relay(quiet, DOCTOR, ["refuse@partner.example"], content(DOCTOR, ["refuse@partner.example"]))[0] == 250
    quiet.partner.wait_for_receipt(DOCTOR)  # the report


def held(quiet: Quiet) -> None:
    octets = content(DOCTOR, [COLLEAGUE], attachments={"dicht.zip": encrypted_zip()})
    assert relay(quiet, DOCTOR, [COLLEAGUE], octets)[0] == 250
    assert [one["state"] for one in quiet.relayd.json("queue", "list")] == ["held"]


def submitted_to_a_mailbox(quiet: Quiet) -> None:
    with quiet.relayd.submission(ANNA) as client:
        assert say(client, ANNA, [BRAM], content(ANNA, [BRAM]))[0] == 250
    wait_for(lambda: list(quiet.site.mailbox(BRAM).glob("new/*")), "mail in the Maildir")


def logged_in_wrongly(quiet: Quiet) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError), quiet.relayd.submission(ANNA, WORDS["password"] + "!"):
        raise AssertionError("logged in")


def read_in_the_viewer(quiet: Quiet) -> None:
    address = "patient-stil@outside.example"
    octets = content(DOCTOR, [address], headers={"X-Relayd-Mobile": f"{address}; {WORDS['phone']}"})
    assert relay(quiet, DOCTOR, [address], octets)[0] == 250
    notice = quiet.partner.content(quiet.partner.wait_for_receipt(address)).decode()
    link = re.search(rf"{re.escape(quiet.site.viewer_url)}/[\w/-]+", notice.replace("=\r\n", "").replace("=3D", "="))
    assert link
    with Browser() as browser:
        browser.open(link[0])
        browser.submit(browser.forms[0])
        sms = wait_for(lambda: quiet.site.sms.exists() and quiet.site.sms.read_text(), "an SMS")
        code = re.search(r"\b\d{3} ?\d{3}\b", json.loads(sms.splitlines()[-1])["text"])
        assert code
        form = next(form for form in browser.forms if "code" in form.open_fields)
        assert as_digits(quiet, code[0]) == set()
        browser.submit(form, code=code[0])
        assert as_digits(quiet, code[0]) == set()
        downloads = [url for url in browser.links if "/a/" in url or "part" in url or "download" in url]
        assert downloads
        for url in [*browser.frames, *downloads]:
            browser.open(url)
    assert as_digits(quiet, code[0]) == set()


def as_digits(quiet: Quiet, code: str) -> set[str]:
    """Files that hold the access code between things that are no digits: six octets are too few to look for others."""
    digits = code.replace(" ", "")
    pattern = re.compile(
        rb"(?<![0-9.])(?:%b|%b %b)(?![0-9])" % (digits.encode(), digits[:3].encode(), digits[3:].encode())
    )
    found = set()
    for path in quiet.watch._files():
        with contextlib.suppress(OSError):  # gone meanwhile, or a socket
            if pattern.search(path.read_bytes()):
                found.add(str(path))
    return found


def broken(quiet: Quiet) -> None:
    sender = "breaking@noord.example"
    code, text = relay(quiet, sender, [COLLEAGUE], content(sender, [COLLEAGUE]))
    assert (code, WORDS["subject"] in text) == (451, False)
    for where in ("Exception in callback", "Task exception was never retrieved", "thread", "finaliser"):
        wait_for(lambda where=where: re.search(rf"uncaught .*where=.*{where}", quiet.relayd.log), where)  # type: ignore[misc]


def killed(quiet: Quiet) -> None:
    """kill -9 for all of it while a large body arrives, and whatever was left behind is looked through."""
    with quiet.relayd.hospital() as client:
        client.ehlo()
        client.mail(DOCTOR)
        client.rcpt(COLLEAGUE)
        client.docmd("DATA")
        client.send(content(DOCTOR, [COLLEAGUE], size=900_000))
        quiet.relayd.kill()
        client.close()
    quiet.watch.look()
    quiet.relayd.start()
    quiet.watch.look()


WAYS = [
    relayed,
    chunked_and_abandoned,
    refused_by_policy,
    deferred,
    bounced,
    held,
    submitted_to_a_mailbox,
    logged_in_wrongly,
    read_in_the_viewer,
    broken,
    killed,
    relayed,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_no_way_of_a_message_leaves_it_in_the_clear(quiet: Quiet, way: Callable[[Quiet], None]) -> None:
    way(quiet)
    quiet.watch.look()
    assert sorted(quiet.watch.sightings) == []


def test_only_what_may_rest_in_the_clear_does(quiet: Quiet) -> None:
    """The same search finds them where a route writes clear text by nature: it can find what there is to find."""
    maildir = quiet.watch.canaries.seen_in_files(files_below([quiet.site.maildir]))
    assert {sighting.word for sighting in maildir} >= {"subject", "body", "file name", "attachment"}
    assert quiet.relayd.stop() == 0
    quiet.watch.look()
    assert sorted(quiet.watch.sightings) == []
    assert quiet.watch.rounds > len(WAYS)


def test_every_form_is_found_wherever_it_stands() -> None:
    canaries = Canaries({"word": "kanarie \u00e9=x"})
    for form, octets in forms("kanarie \u00e9=x").items():
        for wrapped in (octets, b"..." + octets + b"...", gzip.compress(b"x" * 99 + octets)):
            assert canaries.seen_in(b"\0\1\2" + wrapped, "here"), form
    assert canaries.seen_in(b"nothing to see", "here") == set()
