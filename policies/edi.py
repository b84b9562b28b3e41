"""EDI in the in-box: in which form it arrives, and mail that is addressed by the receiver's number.

At ``recipient`` and ``message`` it knows the EDI gateway's addresses: what stands for a mailbox is redirected there,
and what stands for nobody is refused. At ``route`` the in-box rules of the recipient's organisation are looked through;
the first that a message of the mail meets says how the copy is made anew after the commit, or that it goes into a
folder.

Mail for people without rules is not looked into.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from relayd.directory.directory import EDI_GATEWAY, Directory, OrganisationSettings
from relayd.edi.detect import sniff
from relayd.edi.model import Format, Reading
from relayd.edi.reading import read
from relayd.edi.rules import Heading, headings, hit, receiver_keys
from relayd.mail.address import Address, NullSender
from relayd.mail.body import Body
from relayd.mail.decode import decoder
from relayd.mail.meta import Part, Transformation
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Mail, OnError, Options, Policy, Stage
from relayd.pipeline.verdict import (
    Pass,
    Redirect,
    Refuse,
    RouteKind,
    RouteTarget,
    RouteTo,
    Transform,
    Verdict,
)

#: Octets of a part that are read to find the rule, and of all parts to find the receiver.
_START: Final = 64 * 1024
_MOST: Final = 16 * 2**20
#: Beyond that, reading is left to a thread.
_AT_ONCE: Final = 8 * 1024
#: Parts that are looked into to find the rule; for the receiver it is all of them.
_MOST_PARTS: Final = 50
#: Seconds after which a mail goes to its recipient as it came.
_PATIENCE: Final = 5.0
_RECEIPT: Final = (("receipt", "yes"),)
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_^:.-]{0,39}")
_NUMBER = re.compile(r"[A-Za-z]{0,4}[0-9][0-9A-Za-z]{0,13}")

_UNKNOWN: Final = "No receiver here has the number {}"
_UNNAMED: Final = Reply(550, "5.1.1", "No receiver here is the one that the message names (UNB, or MSH-5 and MSH-6)")
_NO_EDI: Final = Reply(550, "5.6.1", "This address takes EDI messages only; none was found in the mail")
_SEVERAL: Final = Reply(550, "5.6.0", "The mail holds messages for several receivers; send a mail to each of them")
_TOO_LARGE: Final = Reply(552, "5.3.4", "The EDI is too large for this address; send it to the receiver's number")
_NO_ADDRESS: Final = Reply(550, "5.1.1", "No such address here: write to edi@ or to the receiver's number")


class EdiPolicy(Policy[Options]):
    """See the module's text and ``docs/edi-rules.md``."""

    name = "edi"
    stages = frozenset({Stage.RECIPIENT, Stage.MESSAGE, Stage.ROUTE})
    timeout = 30.0
    on_error = OnError.DEFER

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        directory = context.directory
        if stage is Stage.ROUTE:
            return await _shape(mail, directory)
        addressed = [one.address for one in mail.recipients if directory.is_the_gateways(one.address.domain)]
        if stage is Stage.RECIPIENT:
            verdicts = [_judge_address(address, directory) for address in addressed]
            return [one if isinstance(one, Refuse) else Pass(one.reason, one.recipients) for one in verdicts]
        return await _redirect(mail, addressed, directory) if addressed else []


def _judge_address(address: Address, directory: Directory) -> Verdict:
    """What is known of one of the gateway's addresses before the message is."""
    local = address.local.casefold()
    if local == EDI_GATEWAY:
        return Pass("the EDI gateway: the message names the receiver", (address.key,))
    if to := directory.edi_mailbox(local):
        return Redirect("the EDI gateway knows the number", (address.key,), to=to)
    reply = Reply(550, "5.1.1", _UNKNOWN.format(local)) if _NUMBER.fullmatch(local) else _NO_ADDRESS
    return Refuse("no receiver has this number", (address.key,), reply=reply)


async def _redirect(mail: Mail, addressed: Sequence[Address], directory: Directory) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for address in addressed:
        verdict = _judge_address(address, directory)
        verdicts.append(await _by_content(mail, address, directory) if isinstance(verdict, Pass) else verdict)
    return verdicts


async def _by_content(mail: Mail, address: Address, directory: Directory) -> Verdict:
    """The one receiver whom all of the mail's messages name."""
    keys = (address.key,)
    try:
        found = await _found(mail, _MOST)
    except _TooLarge:
        return Refuse("the EDI is too large to look for its receiver", keys, reply=_TOO_LARGE)
    if not found:
        return Refuse("no EDI in mail to the gateway", keys, reply=_NO_EDI)
    receivers = {one.receiver for one in headings([reading for _, reading in found])}
    mailboxes = {receiver: _mailbox(receiver, directory) for receiver in receivers}
    if lost := [receiver for receiver, mailbox in mailboxes.items() if mailbox is None]:
        number = receiver_keys(lost[0])[-1:] or ("",)
        reply = Reply(550, "5.1.1", _UNKNOWN.format(number[0])) if _NUMBER.fullmatch(number[0]) else _UNNAMED
        return Refuse("the receiver that the message names is unknown", keys, reply=reply)
    targets = {mailbox.key: mailbox for mailbox in mailboxes.values() if mailbox is not None}
    if len(targets) != 1:
        return Refuse("messages for several receivers", keys, reply=_SEVERAL)
    return Redirect("the receiver that the message names", keys, to=next(iter(targets.values())))


def _mailbox(receiver: str, directory: Directory) -> Address | None:
    return next((to for key in receiver_keys(receiver) if (to := directory.edi_mailbox(key))), None)


async def _shape(mail: Mail, directory: Directory) -> list[Verdict]:
    """How each recipient's copy arrives, for those who have rules."""
    concerned = [
        (one.address, settings) for one in mail.recipients if (settings := _settings(one.address, mail, directory))
    ]
    if not concerned or isinstance(mail.envelope.sender, NullSender):  # a report is about a mail, and stays what it is
        return []
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await _found(mail, _START, whole=False)
    except TimeoutError:
        return [Pass("what looks like EDI takes too long to read; it goes as it came")]
    if not found:
        return []
    seen = headings([reading for _, reading in found])
    paths = tuple(part.path for part, _ in found)
    return [
        verdict
        for address, settings in concerned
        for verdict in _verdicts(mail, directory, address, settings, seen, paths)
    ]


def _settings(address: Address, mail: Mail, directory: Directory) -> tuple[OrganisationSettings, bool] | None:
    """The settings whose rules hold for this recipient, and whether he is outside; None where there are no rules."""
    domain = address.domain
    entry = directory.domainbook.get(domain)
    owner = directory.served(domain) or directory.owner(domain)
    if owner is not None:
        settings = owner.settings_of(domain)
        return (settings, False) if settings.edi_rules else None
    sender = directory.organisations.get(mail.origin.organisation or "")
    if entry is not None or sender is None or isinstance(mail.envelope.sender, NullSender):
        return None  # a partner network's domain: its systems want what was sent
    settings = sender.settings_of(mail.envelope.sender.domain)
    return (settings, True) if settings.edi_outside != "untouched" else None


def _verdicts(
    mail: Mail,
    directory: Directory,
    address: Address,
    concerned: tuple[OrganisationSettings, bool],
    seen: Sequence[Heading],
    paths: tuple[str, ...],
) -> list[Verdict]:
    settings, outside = concerned
    keys = (address.key,)
    if outside:
        reason = f"{_told(seen[0])} for somebody outside: {settings.edi_outside}"
        options = _options(settings, settings.edi_outside, "outside")
        return [Transform(reason, keys, transformation=Transformation("edi", options, paths))]
    found = hit(settings.edi_rules, seen, str(address))
    if found is None:
        return [Pass(f"{_told(seen[0])}: no in-box rule", keys)]
    number, rule, heading = found
    reason = f"{_told(heading)}: in-box rule {number}: {rule.form}"
    if rule.form == "untouched" or all(one.format == rule.form for one in seen):
        return [Pass(reason, keys)]
    options = _options(settings, rule.form, str(number))
    verdicts: list[Verdict] = []
    if rule.system is not None:
        verdicts.append(RouteTo(reason, keys, route=RouteTarget(RouteKind.SYSTEM, rule.system)))
    if rule.folder is not None:
        verdicts.append(RouteTo(reason, keys, route=RouteTarget(RouteKind.FOLDER, rule.folder)))
        names = directory.folder_names.get(rule.folder, "").replace("{message}", mail.id)
        options = (*options, ("names", names), ("content", rule.content), *(_RECEIPT if rule.receipt else ()))
    return [Transform(reason, keys, transformation=Transformation("edi", options, paths)), *verdicts]


def _options(settings: OrganisationSettings, form: str, rule: str) -> tuple[tuple[str, str], ...]:
    options = [("form", form), ("rule", rule), ("language", settings.language)]
    if form in ("pdf", "folder"):
        options.append(("pdf", settings.edi_pdf))
    options += [(name, str(path)) for name, path in _files(settings) if path is not None]
    return tuple(options)


def _files(settings: OrganisationSettings) -> tuple[tuple[str, Path | None], ...]:
    return ("templates", settings.edi_templates), ("mapping", settings.edi_mapping)


def _told(heading: Heading) -> str:
    """Type and version as the journal may have them: a word of a standard, or none."""
    words = [word for word in (heading.type, heading.version) if _SAFE.fullmatch(word)]
    return " ".join([*words]) if words else f"{heading.format} of an unknown type"


class _TooLarge(Exception):
    """More EDI than is looked through before the reply."""


async def _found(mail: Mail, room: int, *, whole: bool = True) -> list[tuple[Part, Reading]]:
    """The mail's EDI: each part with what was read of it, all of it or its first ``room`` octets. Raises _TooLarge when
    the ``whole`` of all parts is more than that."""
    assert mail.body is not None
    found: list[tuple[Part, Reading]] = []
    leaves = [part for part in mail.parts if not part.is_container and part.type != "text/html"]
    for part in leaves if whole else leaves[:_MOST_PARTS]:
        data, complete = await _start(mail.body, part, _START)
        if sniff(data) in (None, Format.XML):
            continue
        if whole and not complete:
            data, complete = await _start(mail.body, part, room)
            if not complete:
                raise _TooLarge
            room -= len(data)
        reading = (
            await asyncio.to_thread(read, data, part.charset) if len(data) > _AT_ONCE else read(data, part.charset)
        )
        found.append((part, reading))
    return found


async def _start(body: Body, part: Part, most: int) -> tuple[bytes, bool]:
    """The first octets of a part without its transfer encoding, and whether they are all."""
    decode, data = decoder(part), bytearray()
    async for block in body.blocks(part.offset, part.length):
        data += decode.feed(block)
        if len(data) > most:
            return bytes(data[:most]), False
    data += decode.finish()
    return bytes(data[:most]), len(data) <= most
