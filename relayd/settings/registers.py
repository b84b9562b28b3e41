"""``domainbook.yaml`` and ``nta7516.yaml``: the two registers of domains, each a mapping from domain to entry."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, RootModel, model_validator

from relayd.settings.values import DomainName, HostPort, Name, Settings, SpkiDigest


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


class NtaSettings(Settings):
    """A local decision about a domain's compliance with NTA 7516."""

    allow: bool = Field(description="true: treat as compliant. false: never, whatever it publishes.")
    reason: str = Field(min_length=1, description="Why, for whoever reads this later.")
    until: date | None = Field(None, description="The last day it counts; for ever when absent.")
    hosts: tuple[HostPort, ...] = Field(
        (), description="host:port whose certificate can be verified; without them there is no route."
    )
    tls_names: tuple[DomainName, ...] = Field((), description="Names of which the certificate must prove one.")
    ca_file: Path | None = Field(None, description="The CAs to trust instead of the usual ones.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.allow and (self.hosts or self.tls_names or self.ca_file):
            raise ValueError("hosts, tls_names and ca_file are for allow: true")
        return self


class NtaRegister(RootModel[dict[DomainName, NtaSettings]]):
    """The whole of nta7516.yaml."""
