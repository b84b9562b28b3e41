"""The fallback: recipients whose side can't be trusted read in the Viewer, after a code sent to their mobile.

The number comes from the sender: a field ``X-Relayd-Mobile: address; +E164`` per recipient, a tag
``[sms:+31612345678]`` in the subject, or the organisation's contacts. Instead the sender may choose an access code,
which he gives by another way: ``X-Relayd-Access-Code: address; code``, or ``[code:…]`` in the subject. Fields and tags
are taken out of every copy, and out of mail from strangers, from whom they count for nothing. Where there is neither,
the code goes by e-mail if the organisation's settings say ``code_by_email``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from relayd.settings.sms import COUNTRIES

MOBILE_FIELD: Final = "x-relayd-mobile"

CODE_FIELD: Final = "x-relayd-access-code"
#: Shorter access codes could be guessed within the tries there are.
_CODE_LENGTH: Final = 8

_TAG: Final = re.compile(r"\[sms:([^\[\]]*+)\]", re.IGNORECASE)
_CODE_TAG: Final = re.compile(r"\[code:([^\[\]]*+)\]", re.IGNORECASE)
_MOBILE_TYPES: Final = frozenset(
    {phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE}
)


class ViewerOptions(Options):
    """Options of ``viewer``."""

    countries: tuple[str, ...] = Field(
        COUNTRIES, description="Countries (ISO 3166) whose mobile numbers may get a code."
    )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sender wrote about numbers and access codes. ``named`` maps an address key to its number as written,
    ``codes`` to its access code; an address with two different ones is in ``ambiguous``. ``tags`` and ``code_tags`` are
    the subject's; ``broken`` counts unreadable fields."""

    named: Mapping[str, str]
    ambiguous: frozenset[str]
    tags: tuple[str, ...]
    broken: int
    codes: Mapping[str, str] = field(default_factory=dict, repr=False)
    code_tags: tuple[str, ...] = field(default=(), repr=False)


def wishes(headers: Headers) -> Wishes:
    """Read every field of ours and the subject's tags. Proves nothing about who wrote them."""
    ambiguous: set[str] = set()
    named, broken = _per_recipient(headers, MOBILE_FIELD, ambiguous)
    codes, broken_codes = _per_recipient(headers, CODE_FIELD, ambiguous)
    subject = headers.text("subject")
    return Wishes(
        named,
        frozenset(ambiguous),
        tuple(tag.strip() for tag in _TAG.findall(subject)),
        broken + broken_codes,
        codes,
        tuple(tag.strip() for tag in _CODE_TAG.findall(subject)),
    )


def _per_recipient(headers: Headers, name: str, ambiguous: set[str]) -> tuple[dict[str, str], int]:
    """``address; value`` of every field of this name, and how many can't be read."""
    found: dict[str, str] = {}
    broken = 0
    for line in headers.all(name):
        address, semicolon, value = line.value.decode("utf-8", "replace").rpartition(";")
        try:
            key = parse_address(address.strip()).key
        except SyntaxInvalid:
            semicolon = ""
        if not semicolon:
            broken += 1
        elif found.setdefault(key, value.strip()) != value.strip():
            ambiguous.add(key)
    return found, broken


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
        wished, by_email = wishes(mail.headers), settings_of(mail, organisation).code_by_email
        if keys and (problem := _problem(keys, wished)):
            return [_refuse(problem, tuple(keys))]
        return [
            verdict
            for key in keys
            for verdict in self._judge_recipient(key, wished, organisation.contacts, by_email=by_email)
        ]

    def _judge_recipient(
        self, key: str, wished: Wishes, contacts: Mapping[str, str], *, by_email: bool
    ) -> list[Verdict]:
        code = wished.codes.get(key, "") or next(iter(wished.code_tags), "")
        if code:
            if len(code) < _CODE_LENGTH:
                return [_refuse(f"An access code needs at least {_CODE_LENGTH} characters", (key,))]
            return _reads(key, Reader(access_code=code), "the access code that the sender gave")
        written, source = _number_for(key, wished, contacts)
        if not written:
            if by_email:
                return _reads(key, Reader(email=True), "a code by e-mail: one channel for link and code")
            return [
                _refuse(
                    "No secure way to this recipient: give a mobile number, [sms:+31612345678] in the subject", (key,)
                )
            ]
        if not written.startswith("+"):
            return [_refuse(f"The number in {source} must begin with + and the country code", (key,))]
        number = self._mobile(written)
        if number is None:
            countries = ", ".join(self.options.countries)
            return [
                _refuse(f"The number in {source} isn't a mobile number of an allowed country ({countries})", (key,))
            ]
        return _reads(key, Reader(mobile=number), f"a code to the mobile number from {source}")

    def _mobile(self, written: str) -> str | None:
        """The international number in E.164 when it is a valid mobile of an allowed country."""
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
        return "X-Relayd-Mobile must read: address; +number, and X-Relayd-Access-Code: address; code"
    if wished.ambiguous & set(keys):
        return "X-Relayd-Mobile or X-Relayd-Access-Code gives two values for one recipient"
    if len(wished.tags) > 1 or len(wished.code_tags) > 1:
        return "The subject holds more than one [sms:] or [code:] tag"
    if wished.code_tags and len(keys) > 1:
        return (
            f"The [code:] tag is for one recipient, but {len(keys)} read this in the Viewer: use X-Relayd-Access-Code"
        )
    if wished.tags and len(keys) > 1:
        return f"The [sms:] tag is for one recipient, but {len(keys)} read this in the Viewer: use X-Relayd-Mobile"
    return ""


def _reads(key: str, reader: Reader, how: str) -> list[Verdict]:
    return [
        RouteTo(f"the Viewer, {how}", (key,), route=RouteTarget(RouteKind.VIEWER)),
        Attach(how, (key,), readers=((key, reader),)),
    ]


def _number_for(key: str, wished: Wishes, contacts: Mapping[str, str]) -> tuple[str, str]:
    """The number as written and where it stands: the nearest to this message wins."""
    if key in wished.named:
        return wished.named[key], "X-Relayd-Mobile"
    if wished.tags:
        return wished.tags[0], "the subject"
    return contacts.get(key, ""), "the organisation's contacts"


def _strip(headers: Headers) -> Verdict:
    """Numbers leave every copy, whoever wrote them."""
    fields = tuple(name for name in (MOBILE_FIELD, CODE_FIELD) if headers.all(name))
    subject = headers.text("subject")
    plain = _CODE_TAG.sub(" ", _TAG.sub(" ", subject))
    untagged = " ".join(plain.split()) if plain != subject else None
    if fields or untagged is not None:
        return Rewrite("mobile numbers and access codes are taken out of every copy", drop=fields, subject=untagged)
    return Pass("no mobile numbers or access codes in the header")


def _refuse(text: str, keys: tuple[str, ...]) -> Refuse:
    return Refuse(text[0].lower() + text[1:], keys, reply=Reply(550, "5.7.1", text))
