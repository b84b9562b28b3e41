"""The fallback: recipients whose side can't be trusted read in the Viewer, after a code sent to their mobile.

The number comes from the sender: a field ``X-Relayd-Mobile: address; +E164`` per recipient, a tag
``[sms:+31612345678]`` in the subject, or the organisation's contacts. Field and tag are taken out of every copy, and
out of mail from strangers, from whom they count for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import phonenumbers
from pydantic import Field

from relayd.directory.directory import Organisation, OrganisationSettings
from relayd.errors import SyntaxInvalid
from relayd.mail.address import NullSender, parse_address
from relayd.mail.envelope import Listener
from relayd.mail.headers import Headers
from relayd.mail.meta import Reader
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Mail, Options, Policy, Stage
from relayd.pipeline.verdict import Attach, Pass, Refuse, Rewrite, RouteKind, RouteTarget, RouteTo, Verdict

MOBILE_FIELD: Final = "x-relayd-mobile"

_TAG: Final = re.compile(r"\[sms:([^\[\]]*+)\]", re.IGNORECASE)
_MOBILE_TYPES: Final = frozenset(
    {phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE}
)


class ViewerOptions(Options):
    """Options of ``viewer``."""

    countries: tuple[str, ...] = Field(
        ("NL", "BE", "DE", "LU"), description="Countries (ISO 3166) whose mobile numbers may get a code."
    )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sender wrote about numbers. ``named`` maps an address key to its number as written; an address with
    two different numbers is in ``ambiguous``. ``tags`` are the subject's; ``broken`` counts unreadable fields."""

    named: Mapping[str, str]
    ambiguous: frozenset[str]
    tags: tuple[str, ...]
    broken: int


def wishes(headers: Headers) -> Wishes:
    """Read every X-Relayd-Mobile field and the subject's tags. Proves nothing about who wrote them."""
    named: dict[str, str] = {}
    ambiguous: set[str] = set()
    broken = 0
    for field in headers.all(MOBILE_FIELD):
        value = field.value.decode("utf-8", "replace")
        address, semicolon, number = value.rpartition(";")
        try:
            key = parse_address(address.strip()).key
        except SyntaxInvalid:
            semicolon = ""
        if not semicolon:
            broken += 1
        elif named.setdefault(key, number.strip()) != number.strip():
            ambiguous.add(key)
    tags = tuple(tag.strip() for tag in _TAG.findall(headers.text("subject")))
    return Wishes(named, frozenset(ambiguous), tags, broken)


def settings_of(mail: Mail, organisation: Organisation) -> OrganisationSettings:
    """The settings that hold for this sender: its domain's, or the organisation's for a report."""
    sender = mail.envelope.sender
    return organisation.settings if isinstance(sender, NullSender) else organisation.settings_of(sender.domain)


class ViewerPolicy(Policy[ViewerOptions]):
    """Strips field and tag at ``message``; gives every recipient that is left at ``route`` to the Viewer."""

    name = "viewer"
    stages = frozenset({Stage.MESSAGE, Stage.ROUTE})
    Options = ViewerOptions

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        assert mail.headers is not None
        if stage is Stage.MESSAGE:
            return _strip(mail.headers)
        organisation = context.directory.organisations.get(mail.origin.organisation or "")
        if not mail.origin.recognised or organisation is None:
            return Pass("strangers' mail doesn't go to the Viewer")
        if mail.peer.listener is Listener.VIEWER:
            return Pass("what readers write doesn't go to the Viewer")
        keys = [recipient.address.key for recipient in mail.recipients]
        return self._judge_routes(keys, wishes(mail.headers), organisation.contacts)

    def _judge_routes(self, keys: list[str], wished: Wishes, contacts: Mapping[str, str]) -> list[Verdict]:
        if keys and (problem := _problem(keys, wished)):
            return [_refuse(problem, tuple(keys))]
        verdicts: list[Verdict] = []
        for key in keys:
            verdicts += self._judge_recipient(key, wished, contacts)
        return verdicts

    def _judge_recipient(self, key: str, wished: Wishes, contacts: Mapping[str, str]) -> list[Verdict]:
        written, source = _number_for(key, wished, contacts)
        route = RouteTarget(RouteKind.VIEWER)
        if not written:
            return [_refuse("No secure way to this recipient: give a mobile number for the access code", (key,))]
        number = self._mobile(written)
        if number is None:
            countries = ", ".join(self.options.countries)
            return [
                _refuse(f"The number in {source} isn't a mobile number of an allowed country ({countries})", (key,))
            ]
        return [
            RouteTo(f"the Viewer, code to the mobile number from {source}", (key,), route=route),
            Attach(f"a mobile number from {source}", (key,), readers=((key, Reader(mobile=number)),)),
        ]

    def _mobile(self, written: str) -> str | None:
        """The number in E.164 when it is an international, valid mobile of an allowed country."""
        if not written.startswith("+"):
            return None
        try:
            number = phonenumbers.parse(written)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number) or number.extension:
            return None
        if phonenumbers.number_type(number) not in _MOBILE_TYPES:
            return None
        if phonenumbers.region_code_for_number(number) not in self.options.countries:
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _problem(keys: list[str], wished: Wishes) -> str:
    """Why what the sender wrote can't be followed for anyone, "" when it can."""
    if wished.broken:
        return "X-Relayd-Mobile must read: address; +number"
    if wished.ambiguous & set(keys):
        return "X-Relayd-Mobile gives two numbers for one recipient"
    if len(wished.tags) > 1:
        return "The subject holds more than one [sms:] tag"
    if wished.tags and len(keys) > 1:
        return f"The [sms:] tag is for one recipient, but {len(keys)} read this in the Viewer: use X-Relayd-Mobile"
    return ""


def _number_for(key: str, wished: Wishes, contacts: Mapping[str, str]) -> tuple[str, str]:
    """The number as written and where it stands: the nearest to this message wins."""
    if key in wished.named:
        return wished.named[key], "X-Relayd-Mobile"
    if wished.tags:
        return wished.tags[0], "the subject"
    return contacts.get(key, ""), "the organisation's contacts"


def _strip(headers: Headers) -> Verdict:
    """Numbers leave every copy, whoever wrote them."""
    fields = (MOBILE_FIELD,) if headers.all(MOBILE_FIELD) else ()
    subject = headers.text("subject")
    untagged = " ".join(_TAG.sub(" ", subject).split()) if _TAG.search(subject) else None
    if fields or untagged is not None:
        return Rewrite("mobile numbers are taken out of every copy", drop=fields, subject=untagged)
    return Pass("no mobile numbers in the header")


def _refuse(text: str, keys: tuple[str, ...]) -> Refuse:
    return Refuse(text[0].lower() + text[1:], keys, reply=Reply(550, "5.7.1", text))
