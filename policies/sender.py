"""Who may send what. Recognised peers use their own addresses only; strangers reach served domains only.

The peer was recognised before this policy is asked (``Mail.origin``). The rules, per stage:

* ``sender``: TLS first, then the envelope sender must be the peer's to use.
* ``recipient``: strangers reach served domains only, and nobody an unknown mailbox of a hosted domain.
* ``message``: every address of From and Sender must be the peer's to use too, and a tenant of a shared platform must
  show its proof. Without the proof the message is a stranger's, whatever was tentatively let in before.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from relayd.directory.directory import Account, Delivers, Directory, Organisation, Origin, TenantProof, Via
from relayd.mail.address import Address, Domain, NullSender, Sender
from relayd.mail.envelope import Listener
from relayd.mail.headers import Headers
from relayd.mail.reply import Reply
from relayd.pipeline.policy import Context, Mail, OnError, Options, Policy, Stage
from relayd.pipeline.verdict import Identify, Pass, Refuse, Verdict


class Spoof(StrEnum):
    """What to do with a stranger's message that claims an address of one of our organisations."""

    REFUSE = "refuse"
    ALLOW = "allow"


class SenderOptions(Options):
    """Options of ``sender``."""

    own_domains_from_strangers: Spoof = Field(
        Spoof.REFUSE,
        description="A stranger's message with an envelope sender, From or Sender at a domain of our organisations. "
        "allow is for organisations whose own mail comes back to them through mailing lists and forwarders.",
    )


_STARTTLS: Final = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
_AUTHENTICATE: Final = Reply(530, "5.7.0", "Authentication required")
_SENDER: Final = Reply(550, "5.7.1", "You may not send from this envelope sender address")
_SPOOFED: Final = Reply(550, "5.7.1", "This domain's mail comes from its organisation's own servers only")
_FROM: Final = Reply(550, "5.7.1", "You may not send with this From or Sender header address")
_FROM_BROKEN: Final = Reply(550, "5.6.0", "The From and Sender headers must be present and readable (RFC 5322)")
_UNPROVEN: Final = Reply(550, "5.7.1", "The message lacks the proof of the organisation that it claims to come from")
_RELAYING: Final = Reply(550, "5.7.1", "Relaying denied")
_ROUTING: Final = Reply(550, "5.7.1", "Relaying denied: routing in the local part")
_LITERAL: Final = Reply(550, "5.1.2", "Address literals can't be reached from here")
_UNKNOWN: Final = Reply(550, "5.1.1", "No such mailbox")

#: Characters of source routing in a local part (RFC 5321 App. F.2): a next hop may still act on them.
_ROUTING_CHARACTERS: Final = frozenset("@%!")


class SenderPolicy(Policy[SenderOptions]):
    """See the module's text and ``docs/policies/sender.md``."""

    name = "sender"
    stages = frozenset({Stage.SENDER, Stage.RECIPIENT, Stage.MESSAGE})
    Options = SenderOptions
    timeout: ClassVar[float] = 30.0
    on_error = OnError.DEFER

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        if mail.origin.via is Via.INTERNAL:
            return Pass("relayd's own message")
        if stage is Stage.SENDER:
            return self._judge_sender(mail, context.directory)
        if stage is Stage.RECIPIENT:
            return [_judge_recipient(mail, recipient.address, context.directory) for recipient in mail.recipients]
        return await self._judge_message(mail, context)

    def _judge_sender(self, mail: Mail, directory: Directory) -> Verdict:
        peer, origin, sender = mail.peer, mail.origin, mail.envelope.sender
        if peer.tls is None and (origin.recognised or peer.listener is Listener.SUBMISSION):
            return Refuse("a recognised peer without TLS", reply=_STARTTLS)  # RFC 3207 §4
        if peer.listener is Listener.SUBMISSION and origin.via is not Via.ACCOUNT:
            return Refuse("submission without authentication", reply=_AUTHENTICATE)  # RFC 6409 §4.3
        if _is_stranger(origin, sender, directory):
            if self._spoofs(() if isinstance(sender, NullSender) else (sender,), directory):
                return Refuse("a stranger uses an organisation's domain as envelope sender", reply=_SPOOFED)
            return Pass("a stranger")
        if not any(_may_use(origin, candidate, sender, directory) for candidate in origin.candidates):
            return Refuse("the envelope sender isn't this peer's to use", reply=_SENDER)
        return Pass(f"recognised by {origin.via}")

    async def _judge_message(self, mail: Mail, context: Context) -> Verdict:
        assert mail.headers is not None
        directory, sender = context.directory, mail.envelope.sender
        authors = _authors(mail.headers)
        if authors is None:
            return Refuse("From or Sender is missing or can't be read", reply=_FROM_BROKEN)
        if _is_stranger(mail.origin, sender, directory):
            return self._judge_stranger(mail, authors, directory)
        owners = [
            candidate
            for candidate in mail.origin.candidates
            if _may_use(mail.origin, candidate, sender, directory)
            and all(_may_use(mail.origin, candidate, author, directory) for author in authors)
        ]
        if not _needs_proof(mail.origin):
            if not owners:
                return Refuse("an address in From or Sender isn't this peer's to use", reply=_FROM)
            return Identify(f"{owners[0]}, recognised by {mail.origin.via}", organisation=owners[0])
        for owner in owners:
            if shown := await _proof_shown(directory.organisations[owner], authors, mail, context):
                return Identify(
                    f"{owner}, proven behind {mail.origin.platform or 'a platform'}: {shown}", organisation=owner
                )
        return self._judge_stranger(mail, authors, directory)

    def _judge_stranger(self, mail: Mail, authors: list[Address], directory: Directory) -> Verdict:
        claimed = [*authors] if isinstance(mail.envelope.sender, NullSender) else [*authors, mail.envelope.sender]
        if self._spoofs(claimed, directory):
            if mail.origin.recognised:
                return Refuse("a platform's message without its tenant's proof", reply=_UNPROVEN)
            return Refuse("a stranger uses an organisation's domain in From or Sender", reply=_SPOOFED)
        # Behind a platform, outside recipients were let in for the sake of a proof that hasn't come.
        for recipient in mail.recipients:
            verdict = _judge_stranger_recipient(recipient.address, directory)
            if isinstance(verdict, Refuse):
                return verdict
        if mail.origin.recognised:
            return Identify("nobody's tenant behind a platform: a stranger", organisation="")
        return Pass("a stranger, to served domains only")

    def _spoofs(self, addresses: Iterable[Address], directory: Directory) -> bool:
        if self.options.own_domains_from_strangers is Spoof.ALLOW:
            return False
        return any(directory.owner(address.domain) is not None for address in addresses)


def _needs_proof(origin: Origin) -> bool:
    """True behind a shared platform: its network or certificate names the platform, not the customer."""
    return bool(origin.platform) or len(origin.candidates) > 1


def _is_stranger(origin: Origin, sender: Sender, directory: Directory) -> bool:
    """Strangers, and whoever shares a platform with our organisations without claiming to be one of them."""
    if not origin.recognised:
        return True
    if not _needs_proof(origin):
        return False
    return not any(_may_use(origin, candidate, sender, directory) for candidate in origin.candidates)


def _may_use(origin: Origin, candidate: str, address: Sender, directory: Directory) -> bool:
    """May this peer, being ``candidate``, use the address as envelope sender or author?"""
    organisation = directory.organisations.get(candidate)
    if organisation is None:
        return False
    account: Account | None = None
    if origin.via is Via.ACCOUNT:
        account = directory.accounts.get(origin.account)
        if account is None or account.organisation != candidate:
            return False
    if isinstance(address, NullSender):
        return account is None or account.machine  # reports come from mail servers, not from people
    if account is not None and not account.machine:
        return address.key in account.addresses
    return organisation.may_send_from(address.domain)


def _judge_recipient(mail: Mail, address: Address, directory: Directory) -> Verdict:
    if _is_stranger(mail.origin, mail.envelope.sender, directory):
        return _judge_stranger_recipient(address, directory)
    if address.domain.startswith("["):
        return Refuse("an address literal", (address.key,), reply=_LITERAL)
    if directory.reads_reports(address):
        return Pass("reports are read here", (address.key,))
    return _judge_mailbox(address, directory)


def _judge_stranger_recipient(address: Address, directory: Directory) -> Verdict:
    if directory.reads_reports(address):
        return Pass("reports are read here", (address.key,))
    if directory.is_the_viewers(address.domain):
        return Pass("an address of the Viewer's: the policy replies knows", (address.key,))
    if directory.is_the_gateways(address.domain):
        return Pass("an address of the EDI gateway's: the policy edi knows", (address.key,))
    if address.domain.startswith("[") or directory.served(address.domain) is None:
        return Refuse("a stranger to a domain that isn't served", (address.key,), reply=_RELAYING)
    verdict = _judge_mailbox(address, directory)
    if isinstance(verdict, Refuse) or directory.mailbox(address) is not None:
        return verdict
    if _ROUTING_CHARACTERS & set(address.local):
        return Refuse("a stranger with routing in the local part", (address.key,), reply=_ROUTING)
    return verdict


def _judge_mailbox(address: Address, directory: Directory) -> Verdict:
    entry = directory.domainbook.get(address.domain)
    if entry is not None and entry.delivers is Delivers.MAILBOX and directory.mailbox(address) is None:
        return Refuse("no such mailbox on a hosted domain", (address.key,), reply=_UNKNOWN)
    return Pass("the recipient may be reached", (address.key,))


def _authors(headers: Headers) -> list[Address] | None:
    """All addresses of From and Sender; None when there is no author or one that can't be read."""
    if headers.address_defects("from") or headers.address_defects("sender"):
        return None
    authors = headers.addresses("from")
    return [*authors, *headers.addresses("sender")] if authors else None


async def _proof_shown(organisation: Organisation, authors: list[Address], mail: Mail, context: Context) -> str:
    """Which proof of being ``organisation`` the message carries, "" for none."""
    proof = organisation.proof
    if proof is None:
        return ""
    assert mail.headers is not None
    if _header_proves(proof, mail.headers):
        return "the platform's header"
    if proof.dkim and mail.body is not None:
        signers = await context.authenticator.signers(mail)
        if all(_aligned(author.domain, signers, organisation) for author in authors):
            return "an aligned DKIM signature"
    return ""


def _header_proves(proof: TenantProof, headers: Headers) -> bool:
    """Exactly one such field with exactly the value: a second one could be the tenant's own."""
    if not proof.header or not proof.value:
        return False
    fields = headers.all(proof.header.lower())
    return len(fields) == 1 and fields[0].value == proof.value.encode()


def _aligned(author: Domain, signers: frozenset[Domain], organisation: Organisation) -> bool:
    """A signer's domain that is the organisation's own, and the author's domain or a parent of it."""
    return any(
        organisation.may_send_from(signer) and (author == signer or author.endswith(f".{signer}")) for signer in signers
    )
