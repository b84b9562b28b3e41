"""``domainbook.yaml`` and ``nta7516.yaml``: the two registers of domains."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, RootModel, model_validator

from relayd.settings.values import DomainName, HostPort, Name, Network, Settings, SpkiDigest

_MONTH: Final = r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])$"
#: Fields of every message: what drops and puts the header of NTA 7516 must leave them alone.
_TAKEN: Final = frozenset(
    ("from", "to", "cc", "bcc", "subject", "date", "sender", "reply-to", "message-id", "in-reply-to", "references",
     "received", "return-path", "mime-version", "content-type", "content-transfer-encoding", "content-disposition",
     "content-id", "dkim-signature", "authentication-results")
)  # fmt: skip


class DomainbookEntry(Settings):
    """Where the mail of one connected domain goes."""

    organisation: Name | None = Field(None, description="The participant whose domain it is; or else network.")
    network: Name | None = Field(None, description="The partner network that the domain belongs to.")
    delivers: Literal["relay", "mailbox", "folder"] = Field(
        description="relay: to a mail server over verified TLS. mailbox: hosted here. folder: files."
    )
    next_hops: tuple[HostPort, ...] = Field((), description="relay: host:port, in order of preference.")
    tls_names: tuple[DomainName, ...] = Field(
        (), description="relay: names of which the certificate must prove one; the host when absent."
    )
    pins: tuple[SpkiDigest, ...] = Field(
        (), description="relay: SPKI SHA-256 digests, one of which suffices instead of a name."
    )
    ca_file: Path | None = Field(None, description="relay: the CAs to trust instead of the usual ones.")
    dane: bool = Field(
        False, description="relay: the next hops are proven by TLSA records in signed DNS, and by nothing else."
    )
    insecure_plaintext: bool = Field(False, description="relay: send in the clear. Only inside a closed network.")
    store: Name | None = Field(None, description="mailbox, folder: a name under mailboxes or folders in relayd.yaml.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.organisation is None) == (self.network is None):
            raise ValueError("expected either organisation or network")
        if self.delivers == "relay":
            if not self.next_hops:
                raise ValueError("delivers: relay needs next_hops, such as [mail.clinic.example:25]")
            if self.store:
                raise ValueError("store is for delivers: mailbox or folder; remove it")
            if self.dane and (self.tls_names or self.pins or self.ca_file or self.insecure_plaintext):
                raise ValueError("dane: true stands instead of tls_names, pins, ca_file and insecure_plaintext")
            return self
        if self.next_hops or self.tls_names or self.pins or self.ca_file or self.dane or self.insecure_plaintext:
            raise ValueError("next_hops, tls_names, pins, ca_file, dane and insecure_plaintext are for delivers: relay")
        if not self.store:
            raise ValueError(f"delivers: {self.delivers} needs store, a name from relayd.yaml")
        if self.delivers == "mailbox" and self.network:
            raise ValueError("a hosted domain belongs to an organisation, not to a network")
        return self


class Domainbook(RootModel[dict[DomainName, DomainbookEntry]]):
    """The whole of domainbook.yaml."""


class NtaOwnSettings(Settings):
    """What one of our organisations states of itself, as its domains' DNS records say it: that it works compliant with
    NTA 7516, and from when to when."""

    provider: str = Field(
        pattern=r"^[!-:<-~](?:[ -:<-~]*[!-:<-~])?$",
        description="The mail service's name in the record: ASCII, without semicolons.",
    )
    start: str = Field(pattern=_MONTH, description="The first month, such as 2026-03; from its first day.")
    end: str = Field(pattern=_MONTH, description="The last month, such as 2027-02; to its last day.")
    ntamx: tuple[DomainName, ...] = Field(
        (), description="Hosts that take NTA 7516 mail, most preferred first; the domain's MX hosts without any."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.end < self.start:
            raise ValueError("end lies before start")
        if any("." not in host for host in self.ntamx):
            raise ValueError("ntamx needs full host names, such as nta.clinic.example")
        return self


class NtaEntrySettings(Settings):
    """A local decision about another domain's compliance with NTA 7516, beside what it publishes."""

    allow: bool = Field(description="true: compliant, and reached at hosts. false: never, whatever it publishes.")
    reason: str = Field(min_length=1, description="Why, for whoever reads this later.")
    until: date | None = Field(None, description="The last day it counts, in Dutch time; for ever when absent.")
    hosts: tuple[HostPort, ...] = Field((), description="allow: host:port whose certificate can be verified.")
    tls_names: tuple[DomainName, ...] = Field((), description="Names of which the certificate must prove one.")
    ca_file: Path | None = Field(None, description="The CAs to trust instead of the usual ones.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.allow and (self.hosts or self.tls_names or self.ca_file):
            raise ValueError("hosts, tls_names and ca_file are for allow: true")
        if self.allow and not self.hosts:
            raise ValueError("allow: true needs hosts; without an entry the domain's own DNS record decides")
        return self


class NtaHeaderSettings(Settings):
    """The header field by which providers tell each other that a message came the NTA 7516 way. Its name and value are
    agreed between them and not public."""

    name: str = Field(pattern=r"^[!-9;-~]{1,70}$", description="The field's name.")
    value: str = Field(pattern=r"^[!-~](?:[ -~]{0,200}[!-~])?$", description="Its exact value.")

    @model_validator(mode="after")
    def _is_nobodys_else(self) -> Self:
        if self.name.lower() in _TAKEN:
            raise ValueError(f"{self.name} has a meaning already; use the name that the providers agreed on")
        return self


class NtaRegister(Settings):
    """The whole of nta7516.yaml."""

    own: dict[Name, NtaOwnSettings] = Field({}, description="Our organisations that work compliant, by id.")
    others: dict[DomainName, NtaEntrySettings] = Field({}, description="Decisions about other domains.")
    header: NtaHeaderSettings | None = Field(
        None, description="The field put on what leaves the NTA 7516 way, and believed only when all checks passed."
    )
    peer_networks: tuple[Network, ...] = Field(
        (), description="Where other providers may send from, such as the EU and EEA; anywhere without any."
    )
