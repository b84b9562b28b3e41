"""``organisations.yaml``: who takes part, what they may send as, and how their mail servers are recognised."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from relayd.settings.edi import EdiNumber, EdiRuleSettings
from relayd.settings.values import (
    Colour,
    DomainName,
    Duration,
    MailAddress,
    Name,
    Network,
    Settings,
    SpkiDigest,
    WebOrigin,
    at_most,
)

#: Octets of a logo; those of a PNG in a mail, which lies in a mailbox once for each message; how a PNG begins.
LARGEST_LOGO: Final = 256 * 1024
LARGEST_LOGO_IN_MAIL: Final = 64 * 1024
PNG: Final = b"\x89PNG\r\n\x1a\n"

#: The settings that are looked up by the sender's domain. The others hold for a whole organisation.
PER_DOMAIN: Final = frozenset(
    {"allow_plain", "code_by_email", "mta_sts", "edi_mapping", "edi_outside", "edi_pdf", "edi_rules", "edi_templates"}
)


class PublishedStsSettings(Settings):
    """The MTA-STS policy that relayd serves for domains whose mail comes to it."""

    mode: Literal["enforce", "testing", "none"] = Field(
        description="enforce: senders that can't prove our mail hosts keep their mail. testing: they only report. "
        "none: the way back, for as long as max_age was."
    )
    max_age: Annotated[Duration, at_most(timedelta(seconds=31_557_600), "a year")] = Field(
        timedelta(days=14), description="How long senders go by it after they saw it; at most a year."
    )
    mx: tuple[DomainName, ...] = Field((), description="All hosts of the domains' MX; hostname when empty.")


class InheritedSettings(Settings):
    """Settings that inherit: what isn't said here comes from the organisation, then from the installation."""

    language: Literal["nl", "en"] | None = Field(None, description="Language of notices and of the Viewer.")
    allow_plain: bool | None = Field(
        None, description="Ordinary mail may leave over the best TLS there is (the policy plain)."
    )
    retention_days: int | None = Field(None, ge=1, le=3650, description="Keep content and metadata this long.")
    contact: str | None = Field(None, description="Whom outsiders can ask, as shown in the Viewer.")
    display_name: str | None = Field(None, description="The name that outsiders see instead of the organisation's.")
    logo: Path | None = Field(
        None, description="Shown in the Viewer's header: PNG or SVG up to 256 KiB. In mails too: PNG up to 64 KiB."
    )
    colour: Colour | None = Field(None, description='Colour of the Viewer\'s header and buttons, such as "#0b5d4b".')
    viewer_url: WebOrigin | None = Field(
        None,
        description="A host name of its own for the Viewer, which must lead to ours: https://secure.clinic.example.",
    )
    code_by_email: bool | None = Field(
        None,
        description="Where no number is known, the code goes by e-mail: whoever reads that mailbox reads the message.",
    )
    passkeys: bool | None = Field(None, description="Returning readers may use a passkey instead of a new code.")
    confirmation: bool | None = Field(
        None, description="Senders get a mail with a link to see who has read, to correct a number or to withdraw."
    )
    reminder_days: int | None = Field(
        None, ge=0, le=60, description="Remind a reader so many days before the end of what he hasn't read; 0: never."
    )
    edi_rules: tuple[EdiRuleSettings, ...] | None = Field(
        None, description="In-box rules: in which form EDI arrives. They stand instead of those of wider scopes."
    )
    edi_outside: Literal["untouched", "html", "pdf"] | None = Field(
        None, description="In which form EDI leaves for people outside, who read it in the Viewer."
    )
    edi_pdf: Literal["pdf/a-3a", "pdf/ua-1"] | None = Field(
        None,
        description="PDFs of EDI for the archive, with the message inside, or for screen readers.",
    )
    edi_sender: MailAddress | None = Field(
        None, description="From what address mail comes that is made of HL7 messages which its systems send by MLLP."
    )
    edi_mapping: Path | None = Field(
        None, description="CSV of code,name,unit,loinc: laboratory codes, for rules that make one format of another."
    )
    edi_templates: Path | None = Field(
        None, description="Folder with a message.html or style.css of your own for EDI that is shown."
    )
    mta_sts: PublishedStsSettings | None = Field(None, description="Serve this MTA-STS policy for the domains.")


class CertificateSettings(Settings):
    """One client certificate: by its key (``spki_sha256``), or by a DNS ``name`` under ``tls.client_ca``."""

    spki_sha256: SpkiDigest | None = Field(
        None, description="SHA-256 of the certificate's public key (SPKI), hexadecimal. Survives a renewal."
    )
    name: DomainName | None = Field(
        None, description="A DNS name in a certificate that leads to tls.client_ca or to a CA of the system."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.spki_sha256 is None) == (self.name is None):
            raise ValueError("expected either spki_sha256 or name")
        return self


class RecognisedBy(Settings):
    """What shows that a peer is the organisation's own mail server. One of them suffices."""

    networks: tuple[Network, ...] = Field((), description="Networks that are the organisation's alone.")
    certificates: tuple[CertificateSettings, ...] = Field((), description="Client certificates.")
    accounts: tuple[str, ...] = Field(
        (), description="Machine accounts: logins of its mail servers, made by `relayd account add --machine`."
    )


class ProofSettings(Settings):
    """What shows, after the data, which customer of a platform is sending."""

    header: str | None = Field(
        None,
        pattern=r"^[!-9;-~]+$",
        description="A header field that the platform itself sets, such as X-MS-Exchange-CrossTenant-Id.",
    )
    value: str | None = Field(None, min_length=1, description="Its exact value for this organisation.")
    dkim: Literal[True] | None = Field(
        None, description="Instead: a valid DKIM signature aligned with the domain in From."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.dkim and (self.header or self.value):
            raise ValueError("expected either dkim: true, or header and value")
        if not self.dkim and not (self.header and self.value):
            raise ValueError("expected header and value, or dkim: true")
        return self


class PlatformMembership(Settings):
    """The shared platform that an organisation sends from."""

    id: Name = Field(description="An id under platforms.")
    proof: ProofSettings = Field(description="How this organisation is told from the platform's other customers.")


class OrganisationEntry(Settings):
    """One verified participant."""

    name: str = Field(min_length=1, description="Its name, as people know it.")
    domains: tuple[DomainName, ...] = Field(min_length=1, description="Its own domains: it may send from these.")
    relays_for: tuple[DomainName, ...] = Field(
        (), description="As a provider: domains of others that it may send from."
    )
    recognised_by: RecognisedBy = Field(RecognisedBy(), description="How its mail servers are recognised.")
    platform: PlatformMembership | None = Field(None, description="The shared platform it sends from.")
    settings: InheritedSettings = Field(InheritedSettings(), description="Its settings.")
    domain_settings: dict[DomainName, InheritedSettings] = Field(
        {}, description="Settings per domain: allow_plain, code_by_email, mta_sts, and those of EDI but edi_sender."
    )
    edi_numbers: dict[EdiNumber, MailAddress] = Field(
        {}, description="Its numbers in EDI, each with the mailbox that takes what the gateway gets for it."
    )
    contacts_file: Path | None = Field(
        None, description="CSV of address,mobile: numbers for the Viewer's access codes. Not readable by others."
    )


class PlatformEntry(Settings):
    """A mail platform that several customers share. Being recognised as the platform proves no customer."""

    name: str = Field(min_length=1, description="Its name.")
    networks: tuple[Network, ...] = Field((), description="The networks it sends from.")
    certificates: tuple[CertificateSettings, ...] = Field((), description="Its client certificates.")


class OrganisationsFile(Settings):
    """The whole of organisations.yaml."""

    settings: InheritedSettings = Field(InheritedSettings(), description="Settings of the whole installation.")
    platforms: dict[Name, PlatformEntry] = Field({}, description="Shared platforms, by id.")
    organisations: dict[Name, OrganisationEntry] = Field(description="Organisations, by id.")


def scopes(organisations: OrganisationsFile) -> Iterator[tuple[tuple[str, ...], InheritedSettings]]:
    """All settings that inherit, each with where it stands in the file."""
    yield ("settings",), organisations.settings
    for name, entry in organisations.organisations.items():
        yield ("organisations", name, "settings"), entry.settings
        for domain, own in entry.domain_settings.items():
            yield ("organisations", name, "domain_settings", domain), own
