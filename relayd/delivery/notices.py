"""The mails that the Viewer has sent: to readers the notification with the link, to senders what became of their
message.

None says anything of the content: no subject, no text, no file name. They are of class ``notice``, go to anyone's mail
server and may lie in a mailbox that others read. All have one look: the organisation's name, colour and logo, as text
and HTML, with at most one link.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_date

from relayd.delivery.notice_texts import texts
from relayd.delivery.origins import host_of, viewer_origin
from relayd.directory.directory import Organisation
from relayd.mail.address import Domain, parse_address
from relayd.mail.composing import POLICY, UTF8_POLICY, message_ids
from relayd.settings.models import Configuration
from relayd.settings.organisations import LARGEST_LOGO_IN_MAIL, PNG
from relayd.store.viewer_tables import Channel, Due

_environment: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("relayd.delivery"),
    autoescape=jinja2.select_autoescape(("html",)),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_COLOUR: Final = "#0b5d4b"


@dataclass(frozen=True, slots=True)
class Letter:
    """What one mail says. ``button`` and ``link`` go together; ``thread`` is the Message-ID that it belongs under."""

    to: str
    subject: str
    paragraphs: Sequence[str]
    link: str = ""
    button: str = ""
    thread: str = ""


@dataclass(frozen=True, slots=True)
class Notices:
    """Writes notices. ``configuration`` names who we are and where the Viewer is; ``signing`` gives the domains that we
    hold DKIM keys of: mail in an organisation's name comes from its own domain where we may sign for that."""

    configuration: Configuration
    signing: Callable[[], Collection[Domain]] = field(default=tuple)

    def notification(
        self,
        organisation: Organisation,
        recipient: str,
        link: str,
        expires_at: float,
        now: float,
        message_id: str,
        channel: Channel = Channel.SMS,
    ) -> bytes:
        """The mail with the link: text and HTML, each with that one link and no other."""
        text = texts(organisation.settings.language)
        how = {Channel.EMAIL: text.how_email, Channel.ACCESS_CODE: text.how_access_code}.get(channel, text.how)
        return self._to_reader(
            organisation, recipient, text.subject, (text.waiting, how), link, expires_at, now, message_id
        )

    def reminder(
        self, organisation: Organisation, recipient: str, link: str, expires_at: float, now: float, message_id: str
    ) -> bytes:
        """The same link once more, shortly before its end."""
        text = texts(organisation.settings.language)
        said = (text.waiting_still, text.how_again)
        return self._to_reader(organisation, recipient, text.subject_reminder, said, link, expires_at, now, message_id)

    def passed_on(
        self,
        organisation: Organisation,
        reader: str,
        recipient: str,
        link: str,
        expires_at: float,
        now: float,
        message_id: str,
    ) -> bytes:
        """To whom ``reader`` passed a message on."""
        text = texts(organisation.settings.language)
        said = (text.passed_on.replace("{recipient}", reader), text.how_passed_on)
        return self._to_reader(organisation, recipient, text.subject_passed_on, said, link, expires_at, now, message_id)

    def code(self, organisation: Organisation, recipient: str, code: str, reference: str, now: float, id: str) -> bytes:
        """An access code by e-mail. There is no link in it: it belongs to a page that is open already."""
        text = texts(organisation.settings.language)
        said = text.code.replace("{code}", code).replace("{reference}", reference)
        letter = Letter(recipient, text.subject_code, (said, text.code_nobody))
        return self._written(organisation, letter, now, id)

    def confirmation(
        self,
        organisation: Organisation,
        sender: str,
        recipients: Sequence[str],
        link: str,
        now: float,
        id: str,
        thread: str,
    ) -> bytes:
        """To the sender: who reads in the Viewer, and where to follow that."""
        text = texts(organisation.settings.language)
        letter = Letter(
            sender,
            text.subject_confirmation,
            (text.confirmation, "\n".join(recipients), text.confirmation_page),
            link,
            text.follow,
            thread,
        )
        return self._written(organisation, letter, now, id)

    def alert(
        self,
        organisation: Organisation,
        sender: str,
        recipient: str,
        kind: Due,
        sent_at: float,
        now: float,
        id: str,
        link: str = "",
    ) -> bytes:
        """Tell the sender that somebody enters wrong codes (ASVS 5.0 6.3.5), or that the number isn't the reader's."""
        text = texts(organisation.settings.language)
        what = {Due.LOCKED: text.alert_locked, Due.WRONG_NUMBER: text.alert_number}.get(kind, text.alert_wrong)
        subject = text.alert_number_subject if kind is Due.WRONG_NUMBER else text.alert_subject
        what = what.replace("{recipient}", recipient).replace("{date}", self._day(sent_at, organisation))
        letter = Letter(sender, subject, (what, text.alert_advice), link, text.follow if link else "")
        return self._written(organisation, letter, now, id)

    def reply_failed(self, organisation: Organisation, reader: str, sent_at: float, now: float, id: str) -> bytes:
        """To a reader whose answer couldn't be delivered."""
        text = texts(organisation.settings.language)
        said = text.reply_failed.replace("{date}", self._day(sent_at, organisation))
        return self._written(organisation, Letter(reader, text.subject_reply_failed, (said, text.doubt)), now, id)

    def forward_failed(self, organisation: Organisation, reader: str, sent_at: float, now: float, id: str) -> bytes:
        """What he passed on to a member, of ``sent_at``, couldn't be delivered."""
        text = texts(organisation.settings.language)
        said = text.forward_failed.replace("{date}", self._day(sent_at, organisation))
        return self._written(organisation, Letter(reader, text.subject_forward_failed, (said, text.doubt)), now, id)

    def _to_reader(
        self,
        organisation: Organisation,
        recipient: str,
        subject: str,
        said: Sequence[str],
        link: str,
        expires_at: float,
        now: float,
        message_id: str,
    ) -> bytes:
        text = texts(organisation.settings.language)
        until = f"{text.until.replace('{date}', self._day(expires_at, organisation))} {text.keep}"
        letter = Letter(recipient, subject, (*said, until), link, text.open)
        return self._written(organisation, letter, now, message_id)

    def _written(self, organisation: Organisation, letter: Letter, now: float, id: str) -> bytes:
        text = texts(organisation.settings.language)
        name = display_name(organisation)
        logo = _logo(organisation)
        values = {
            "text": text,
            "language": organisation.settings.language,
            "subject": letter.subject.replace("{organisation}", name),
            "organisation": name,
            "colour": organisation.settings.colour or _COLOUR,
            "contact": organisation.settings.contact,
            "service": self.configuration.viewer.service_name,
            "host": host_of(viewer_origin(self.configuration, organisation)),
            "paragraphs": [one.replace("{organisation}", name) for one in letter.paragraphs],
            "link": letter.link,
            "button": letter.button,
            "logo": logo is not None,
        }
        mail = self._mail(organisation, letter.to, str(values["subject"]), now, id)
        if thread := message_ids(letter.thread)[:1]:
            mail["In-Reply-To"] = mail["References"] = thread[0]
        mail.set_content(_environment.get_template("letter.txt").render(values))
        mail.add_alternative(_environment.get_template("letter.html").render(values), subtype="html")
        if logo is not None:
            html = mail.get_body(("html",))
            assert isinstance(html, EmailMessage)
            html.add_related(logo, "image", "png", cid="<logo>", disposition="inline", filename="logo.png")
        mail["Content-Language"] = organisation.settings.language  # last: setting the content removes Content- fields
        return mail.as_bytes()

    def _mail(self, organisation: Organisation, recipient: str, subject: str, now: float, id: str) -> EmailMessage:
        configuration = self.configuration
        mail = EmailMessage(policy=POLICY if recipient.isascii() else UTF8_POLICY)
        mail["From"] = self._author(organisation)
        to = parse_address(recipient)
        mail["To"] = HeaderAddress(username=to.local, domain=to.domain)  # addr_spec= refuses what RFC 6532 allows
        mail["Subject"] = subject
        mail["Date"] = format_datetime(datetime.fromtimestamp(now, ZoneInfo("UTC")))
        mail["Message-ID"] = f"<{id}@{configuration.hostname}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5
        mail["X-Auto-Response-Suppress"] = "All"
        return mail

    def address_of(self, organisation: Organisation) -> str:
        """At the organisation's own domain, where we sign for that, so that DMARC holds; else ours."""
        own = sorted(organisation.domains & set(self.signing()))
        if own:
            return f"no-reply@{own[0]}"
        return self.configuration.notices.from_address or f"postmaster@{self.configuration.hostname}"

    def _author(self, organisation: Organisation) -> HeaderAddress:
        """The organisation itself, or we in its name."""
        name, address = display_name(organisation), self.address_of(organisation)
        if address.partition("@")[2] not in organisation.domains:
            name = f"{name} via {self.configuration.viewer.service_name}"
        return HeaderAddress(name, addr_spec=address)

    def _day(self, at: float, organisation: Organisation) -> str:
        moment = datetime.fromtimestamp(at, self.configuration.viewer.time_zone)
        english = organisation.settings.language == "en"
        return format_date(moment, format="long", locale="en_GB" if english else "nl_NL")


def display_name(organisation: Organisation) -> str:
    """How people know it."""
    return organisation.settings.display_name or organisation.name


def _logo(organisation: Organisation) -> bytes | None:
    """The logo as it may go into a mail: a PNG of moderate size. A file that has gone away costs the picture alone."""
    path = organisation.settings.logo
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if data.startswith(PNG) and len(data) <= LARGEST_LOGO_IN_MAIL else None
