"""relayd on high ports of 127.0.0.1 with the partners it needs, and seven pieces of mail that show what it does.

Everything is made up and thrown away at the end: certificates, keys, mail. A hospital's Postfix relays through relayd,
a practice has its mail hosted by it, a partner has a mail server with TLS, and somebody outside has neither.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import smtplib
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.kit import mail, postfix
from tests.kit.browser import Browser
from tests.kit.daemon import RelayProcess
from tests.kit.postfix import Postfix
from tests.kit.sink import Sink
from tests.kit.site import HOSTNAME, Site
from tests.kit.talk import ANNA, BRAM, COLLEAGUE, DOCTOR, say
from tests.kit.wait import wait_for

OUTSIDER, MOBILE = "patient@outside.example", "+31612345678"
SECRET = "De uitslag is goed; u hoeft niet terug te komen."


class WrongOutcomeError(Exception):
    """Something didn't become what it should."""


def expect(condition: object, what: str) -> None:
    if not condition:
        raise WrongOutcomeError(what)


@dataclass(frozen=True)
class Said:
    """What the sender's side was told: by relayd itself, or by the hospital's Postfix about relayd."""

    code: int
    text: str


class Demo:
    """The whole stage. Each scenario sends, waits, prints and checks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = Site(folder)
        self.relayd = RelayProcess(self.site)
        self.partner: Sink
        self.hospital: Postfix | None = None
        self.viewer_link = ""
        self.viewer_code = ""

    @property
    def as_hospital(self) -> tuple[str, str]:
        """What tells `explain` that the hospital's mail server is at the other end."""
        return ("--client-cert-spki", self.site.hospital.pin)

    def start(self) -> None:
        self.partner = Sink(self.folder / "partner", self.site.partner, port=self.site.partner_port)
        self.relayd.start()
        if reason := postfix.available():
            print(f"Without Postfix ({reason}): Python's smtplib plays the hospital's mail server.\n")
        else:
            self.hospital = Postfix(
                "mail.noord.example",
                relay_to=self.site.relay_port,
                ca=self.site.authority.certificate,
                relay_name=HOSTNAME,
                client=self.site.hospital,
            )

    def stop(self) -> None:
        if self.hospital:
            self.hospital.stop()
        self.relayd.stop()
        if hasattr(self, "partner"):
            self.partner.stop()

    # -- sending -----------------------------------------------------------------------------------------------

    def through_hospital(self, recipients: list[str], content: bytes) -> Said:
        """By way of the hospital's mail server; what it says became of the mail at relayd."""
        if self.hospital is None:
            with self.relayd.hospital() as client:
                return deliver(client, DOCTOR, recipients, content)
        with smtplib.SMTP("127.0.0.1", self.hospital.port, timeout=30) as client:
            client.sendmail(DOCTOR, recipients, content)
        log = self.hospital
        name = mail.message_id_of(content)
        queued = log.wait_for_log(f"message-id={name}").rpartition("]: ")[2].partition(":")[0]

        def finished() -> list[str]:
            lines = [line for line in log.log.splitlines() if f"{queued}: to=" in line]
            return lines if len(lines) == len(recipients) else []

        lines = wait_for(finished, f"{name} to leave the hospital's Postfix", 60)
        replies = [re.search(r"\((?:host \S+ said: )?((\d{3})[ -].*)\)$", line) for line in lines]
        said = [Said(int(match[2]), match[1]) for match in replies if match]
        expect(len(said) == len(lines), f"Postfix said something else: {lines[-1]}")
        expect(len({one.code for one in said}) == 1, "some recipients fared otherwise than others")
        return said[0]

    # -- printing ----------------------------------------------------------------------------------------------

    def explain(self, content: bytes, sender: str, recipients: list[str], *who: str) -> None:
        """What relayd says of the same message before it is sent."""
        file = self.folder / "explained.eml"
        file.write_bytes(content)
        done = self.relayd.cli("explain", file, "--from", sender, "--to", *recipients, *who, check=False)
        named = f"{' '.join(recipients[:2])} …" if len(recipients) > 3 else " ".join(recipients)
        print(f"  $ relayd explain FILE --from {sender} --to {named} {' '.join(who)[:40]}".rstrip())
        print(textwrap.indent(abridged(done.stdout or done.stderr), "    "))


def abridged(text: str) -> str:
    """A long list of recipients cut short."""
    lines: list[str] = []
    left_out = 0
    for line in text.splitlines():
        # A recipient's own line says what all others' lines say.
        if len(lines) > 2 and all(re.match(r"collega\d+@", one) for one in (line, *lines[-2:])):
            left_out += 1
            continue
        if left_out:
            lines.append(f"({left_out} more like these)")
            left_out = 0
        lines.append(line)
    return "\n".join(lines)


def deliver(client: smtplib.SMTP, sender: str, recipients: list[str], content: bytes) -> Said:
    """One transaction; the first refusal ends it."""
    code, text = say(client, sender, recipients, content)
    return Said(code, f"{code} {text}")


def reply(said: Said) -> None:
    print(textwrap.fill(said.text, 116, initial_indent="  reply:   ", subsequent_indent="           "))


def became(text: str) -> None:
    print(textwrap.fill(text, 116, initial_indent="  became:  ", subsequent_indent="           "))


# -- the scenarios ---------------------------------------------------------------------------------------------


def relay(demo: Demo) -> None:
    """A hospital's mail server relays to a partner over TLS with a verified certificate"""
    content = mail.message(DOCTOR, [COLLEAGUE])
    said = demo.through_hospital([COLLEAGUE], content)
    reply(said)
    expect(said.code == 250, "relayd should have taken it")
    receipt = demo.partner.wait_for_receipt(mail.message_id_of(content))
    expect(receipt.tls in ("TLSv1.2", "TLSv1.3"), "it should have come over TLS")
    became(f"the partner's server has it, over {receipt.tls}, its certificate proved to be mail.partner.example's")
    demo.explain(content, DOCTOR, [COLLEAGUE], *demo.as_hospital)


def hosted(demo: Demo) -> None:
    """A person's mail client submits, and a mailbox hosted here receives"""
    content = mail.message(ANNA, [BRAM], "Overdracht")
    with demo.relayd.submission(ANNA) as client:
        said = deliver(client, ANNA, [BRAM], content)
    reply(said)
    expect(said.code == 250, "relayd should have taken it")
    name = mail.message_id_of(content).encode()

    def arrived() -> Path | None:
        files = (path for path in demo.site.maildir.rglob("*") if path.is_file() and path.parent.name == "new")
        return next((path for path in files if name in path.read_bytes()), None)

    became(f"in {BRAM}'s mailbox, {wait_for(arrived, 'mail in the Maildir').relative_to(demo.folder)}")
    demo.explain(content, ANNA, [BRAM], "--account", ANNA)


def outsider(demo: Demo) -> None:
    """Somebody outside reads in the Viewer, with the code that came by SMS"""
    content = mail.message(
        DOCTOR, [OUTSIDER], "Uitslag", SECRET + "\n", headers={"X-Relayd-Mobile": f"{OUTSIDER}; {MOBILE}"}
    )
    said = demo.through_hospital([OUTSIDER], content)
    reply(said)
    expect(said.code == 250, "relayd should have taken it")
    receipt = demo.partner.wait_for_receipt(OUTSIDER)
    notice = demo.partner.content(receipt).decode("utf-8", "replace")
    expect(SECRET not in notice and MOBILE not in notice, "the notification must tell nothing of the message")
    link = re.search(rf"{re.escape(demo.site.viewer_url)}/\S+", notice.replace("=\r\n", "").replace("=3D", "="))
    expect(link, "the notification should have a link")
    assert link is not None
    demo.viewer_link = link[0].rstrip(">.")
    demo.viewer_code = read_in_viewer(demo)
    became(f"read in the browser. Link: {demo.viewer_link}  Code by SMS: {demo.viewer_code}")
    demo.explain(content, DOCTOR, [OUTSIDER], *demo.as_hospital)


def read_in_viewer(demo: Demo) -> str:
    """Ask for a code, type it, read. Returns the code."""
    with Browser() as browser:
        browser.open(demo.viewer_link)
        expect(browser.response.status_code == 200, f"the link answers {browser.response.status_code}")
        expect(SECRET not in browser.response.text, "the link alone must show nothing")
        browser.submit(browser.forms[0])
        line = wait_for(lambda: demo.site.sms.exists() and demo.site.sms.read_text(), "an SMS").splitlines()[-1]
        sms = json.loads(line)
        expect(sms["number"] == MOBILE, "the code should go to the number that the sender gave")
        code = re.search(r"\b\d{3} ?\d{3}\b", sms["text"])
        expect(code, "the SMS should have a code")
        assert code is not None
        form = next(form for form in browser.forms if form.open_fields)
        browser.submit(form, **{form.open_fields[0]: code[0]})
        page = browser.response.text
        pages = [page, *(browser.open(frame).text for frame in browser.frames)]
        expect(any(SECRET in page for page in pages), "the message should be readable now")
        return code[0]


def attachment(demo: Demo) -> None:
    """A zip with invoice.pdf.exe in it is refused at the door"""
    content = mail.message(DOCTOR, [COLLEAGUE], attachments={"factuur.zip": mail.zipped("invoice.pdf.exe")})
    with demo.relayd.hospital() as client:
        said = deliver(client, DOCTOR, [COLLEAGUE], content)
    reply(said)
    expect(said.code == 550, "it should have been refused")
    nothing_arrived(demo, content)
    demo.explain(content, DOCTOR, [COLLEAGUE], *demo.as_hospital)


def many_in_to(demo: Demo) -> None:
    """101 recipients in To, sent in parts by the hospital's mail server, are refused as a whole"""
    recipients = [f"collega{number}@partner.example" for number in range(101)]
    content = mail.message(DOCTOR, recipients)
    said = demo.through_hospital(recipients, content)
    reply(said)
    expect(said.code == 550, "all parts should have been refused")
    nothing_arrived(demo, content)
    demo.explain(content, DOCTOR, recipients, *demo.as_hospital)


def many_in_bcc(demo: Demo) -> None:
    """101 recipients in Bcc only are refused too"""
    recipients = [f"collega{number}@partner.example" for number in range(101)]
    content = mail.message(ANNA, recipients, to="")
    with demo.relayd.submission(ANNA) as client:
        said = deliver(client, ANNA, recipients, content)
    reply(said)
    expect(said.code == 550, "it should have been refused")
    nothing_arrived(demo, content)
    demo.explain(content, ANNA, recipients, "--account", ANNA)


def stranger(demo: Demo) -> None:
    """A stranger can't relay, not even with a member's address as sender"""
    content = mail.message("spam@stranger.example", [OUTSIDER])
    for sender in ("spam@stranger.example", DOCTOR):
        with demo.relayd.stranger() as client:
            said = deliver(client, sender, [OUTSIDER], content)
        reply(said)
        expect(500 <= said.code < 600, "it should have been refused")
    demo.explain(content, "spam@stranger.example", [OUTSIDER])


def nothing_arrived(demo: Demo, content: bytes) -> None:
    name = mail.message_id_of(content)
    expect(not any(receipt.message_id == name for receipt in demo.partner.receipts), "nothing should have arrived")
    became("nothing: whoever sent it was told while still connected")


SCENARIOS = (relay, hosted, outsider, attachment, many_in_to, many_in_bcc, stranger)


def play(demo: Demo) -> int:
    """All scenarios; the number that went wrong."""
    wrong = 0
    for number, scenario in enumerate(SCENARIOS, 1):
        print(f"{number}. {scenario.__doc__}")
        try:
            scenario(demo)
        except (WrongOutcomeError, TimeoutError, RuntimeError, OSError, smtplib.SMTPException, LookupError) as error:
            wrong += 1
            print(f"  WRONG:   {type(error).__name__}: {error}")
        print(flush=True)
    return wrong


def summary(demo: Demo) -> str:
    site = demo.site
    config = f"--config {site.config}"
    hospital = f"127.0.0.1:{demo.hospital.port}" if demo.hospital else "(not here)"
    lines = [
        ("Viewer", demo.viewer_link or site.viewer_url),
        ("code", f"{demo.viewer_code} was used; ask for a new one there, it comes in {site.sms}"),
        ("hospital's Postfix", f"{hospital}, takes mail from {DOCTOR} without login"),
        ("submission", f"127.0.0.1:{site.submission_port} STARTTLS, 127.0.0.1:{site.submissions_port} TLS"),
        ("logins", f"{ANNA} and {BRAM}, password: {site.accounts[ANNA]}"),
        ("relay port", f"127.0.0.1:{site.relay_port}; client certificate {site.hospital.certificate}"),
        ("CA to trust", str(site.authority.certificate)),
        ("partner's mail", f"{demo.partner.folder}/*.eml"),
        ("mailboxes", str(site.maildir)),
        ("relayd's log", str(site.folder / "relayd.log")),
        ("look inside", f".venv/bin/relayd queue list {config}"),
        ("", f".venv/bin/relayd message find --recipient {OUTSIDER} {config}"),
        (
            "send your own",
            f"swaks --server 127.0.0.1 --port {site.submission_port} --tls --auth-user {ANNA} "
            f"--auth-password '{site.accounts[ANNA]}' --from {ANNA} --to {OUTSIDER} "
            f"--h-X-Relayd-Mobile '{OUTSIDER}; {MOBILE}'",
        ),
    ]
    return "\n".join(f"{label:>20}  {text}" for label, text in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.split("\n")[0])
    parser.add_argument("--once", action="store_true", help="check every outcome and end with exit status 0 or 1")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="relayd-demo-"))
    demo = Demo(folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        demo.start()
        wrong = play(demo)
        print(f"{len(SCENARIOS) - wrong} of {len(SCENARIOS)} went as they should.")
        if wrong:
            print(f"relayd's log:\n{demo.relayd.log[-6000:]}", file=sys.stderr)
        if not arguments.once:
            print(
                f"\nEverything keeps running until Ctrl-C. All of it lives in {folder}.\n\n{summary(demo)}\n",
                flush=True,
            )
            signal.pause()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
        wrong = 0
    finally:
        demo.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
