"""The mails that the Viewer has sent: the notification with the link, and the sender's warning of wrong codes.

Neither says anything of the message: no subject, no content, no file name. They are of class ``notice``, go to anyone's
mail server and may lie in a mailbox that others read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_date

from relayd.delivery.notice_texts import texts
from relayd.directory.directory import Organisation
from relayd.mail.address import parse_address
from relayd.settings.models import Configuration
from relayd.store.viewer_tables import Due

_environment: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("relayd.delivery"),
    autoescape=jinja2.select_autoescape(("html",)),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
)
_POLICY: Final = policy.SMTP.clone(max_line_length=78)


@dataclass(frozen=True, slots=True)
class Notices:
    """Writes notices in our name. ``configuration`` names who we are and where the Viewer is."""

    configuration: Configuration

    def notification(
        self, organisation: Organisation, recipient: str, link: str, expires_at: float, now: float, message_id: str
    ) -> bytes:
        """The mail with the link: text and HTML, each with that one link and no other."""
        language = organisation.settings.language
        text = texts(language)
        name = display_name(organisation)
        values = {
            "text": text,
            "language": language,
            "subject": text.subject.replace("{organisation}", name),
            "organisation": name,
            "contact": organisation.settings.contact,
            "service": self.configuration.viewer.service_name,
            "host": urlsplit(self.configuration.viewer.url).netloc,
            "link": link,
            "until": self._day(expires_at, language),
        }
        mail = self._mail(recipient, str(values["subject"]), name, now, message_id)
        mail.set_content(_environment.get_template("notification.txt").render(values))
        mail.add_alternative(_environment.get_template("notification.html").render(values), subtype="html")
        mail["Content-Language"] = language  # last: setting the content removes every Content- field
        return mail.as_bytes()

    def alert(
        self, organisation: Organisation, sender: str, recipient: str, kind: Due, sent_at: float, now: float, id: str
    ) -> bytes:
        """Tell the sender that somebody enters wrong codes (ASVS 5.0 6.3.5)."""
        language = organisation.settings.language
        text = texts(language)
        what = text.alert_locked if kind is Due.LOCKED else text.alert_wrong
        what = what.replace("{recipient}", recipient).replace("{date}", self._day(sent_at, language))
        mail = self._mail(sender, text.alert_subject, "", now, id)
        mail.set_content(
            f"{text.greeting}\n\n{what}\n{text.alert_advice}\n\n{self.configuration.viewer.service_name}\n"
        )
        mail["Content-Language"] = language  # last: setting the content removes every Content- field
        return mail.as_bytes()

    def _mail(self, recipient: str, subject: str, organisation: str, now: float, message_id: str) -> EmailMessage:
        configuration = self.configuration
        service = configuration.viewer.service_name
        ours = configuration.notices.from_address or f"postmaster@{configuration.hostname}"
        mail = EmailMessage(policy=_POLICY if recipient.isascii() else _POLICY.clone(utf8=True))  # RFC 6532
        mail["From"] = HeaderAddress(f"{organisation} via {service}" if organisation else service, addr_spec=ours)
        to = parse_address(recipient)
        mail["To"] = HeaderAddress(username=to.local, domain=to.domain)  # addr_spec= refuses what RFC 6532 allows
        mail["Subject"] = subject
        mail["Date"] = format_datetime(datetime.fromtimestamp(now, ZoneInfo("UTC")))
        mail["Message-ID"] = f"<{message_id}@{configuration.hostname}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5
        mail["X-Auto-Response-Suppress"] = "All"
        return mail

    def _day(self, at: float, language: str) -> str:
        moment = datetime.fromtimestamp(at, self.configuration.viewer.time_zone)
        return format_date(moment, format="long", locale="en_GB" if language == "en" else "nl_NL")


def display_name(organisation: Organisation) -> str:
    """How people know it."""
    return organisation.settings.display_name or organisation.name
