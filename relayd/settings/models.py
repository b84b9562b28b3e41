"""``relayd.yaml`` as types. Every field says what it is for; ``docs/configuration.md`` is made from here.

Durations are text such as ``90s``, ``20m``, ``2h``, ``90d``; sizes ``256KiB``, ``36MB``.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field

from relayd.mail.address import Domain, is_address, normalise_domain
from relayd.settings.edi import EdiSettings
from relayd.settings.sms import SmsSettings
from relayd.settings.values import (
    DomainName,
    DomainOrNone,
    Duration,
    FileNames,
    HostPort,
    ListenAddress,
    LoopbackAddress,
    MailAddress,
    Name,
    Network,
    ResolverAddress,
    Settings,
    Size,
    WebOrigin,
    at_most,
)


class ListenerSettings(Settings):
    """One listening address."""

    address: ListenAddress = Field(description='Where to listen: "0.0.0.0:25", "[::]:25", "127.0.0.1:2525".')
    kind: Literal["relay", "submission", "mllp"] = Field(
        description="relay: mail servers. submission: people's mail clients; AUTH is required. mllp: systems that send"
        " HL7; implicit TLS with a client certificate."
    )
    tls: Literal["starttls", "implicit"] = Field("starttls", description="implicit is for port 465.")
    proxy_from: tuple[Network, ...] = Field(
        (), description="Load balancers that must send a PROXY header; everyone else must not."
    )
    require_tls: bool = Field(
        False,
        description="Refuse MAIL without TLS from strangers too (530). Recognised peers always need TLS.",
    )


class TlsSettings(Settings):
    """Our own certificate."""

    certificate: Path = Field(description="PEM chain, leaf first. Read again when it changes.")
    key: Path = Field(description="PEM private key; not readable by others.")
    client_ca: Path | None = Field(
        None,
        description="CAs of peers' client certificates, beside the system's.",
    )
    trusted_ca: Path | None = Field(
        None, description="CAs for next hops and MTA-STS policies; the system's when absent."
    )


class SmtpLimits(Settings):
    """What a peer may make big. See RFC 5321 §4.5.3 for what must at least be allowed."""

    message_size: Size = Field(50 * 2**20, description="Octets on the wire, announced as SIZE.")
    recipients: int = Field(1000, ge=100, description="RCPTMAX: recipients in one transaction.")
    connections: int = Field(1000, ge=1, description="Sessions at once, all peers together.")
    connections_per_peer: int = Field(50, ge=1, description="Sessions at once from one address.")
    errors: int = Field(
        10, ge=1, description="Refused or unknown commands before 421. Accepted recipients pay them off."
    )
    commands: int = Field(
        10_000, ge=100, description="Commands in one session, counted anew after each accepted message."
    )
    header_size: Size = Field(256 * 2**10, description="Octets of the header section.")
    idle: Duration = Field(
        timedelta(minutes=5), description="Longest silence, and longest lag behind 500 octets/s in data."
    )
    auth_failures: int = Field(10, ge=1, description="Failed logins per account, and per peer, within 15 minutes.")
    received: int = Field(50, ge=25, description="Received fields that mean a loop.")


class QueueSettings(Settings):
    """When deliveries are tried."""

    schedule: tuple[Duration, ...] = Field(
        tuple(timedelta(minutes=m) for m in (1, 2, 5, 10, 20, 60)),
        min_length=1,
        description="Waits before each retry; the last one repeats. Each gets a little jitter.",
    )
    lifetime: Duration = Field(timedelta(days=2), description="Give up after this age, by the setting of that moment.")
    delay_notice: Duration = Field(timedelta(hours=1), description="Tell the sender after this long undelivered.")
    lease: Duration = Field(timedelta(seconds=30), description="A worker that was silent this long loses its claims.")
    connections_per_next_hop: int = Field(10, ge=1, description="Connections to one next hop, per worker.")
    connections: int = Field(200, ge=1, description="Outgoing connections, per worker.")
    connection_idle: Duration = Field(timedelta(seconds=30), description="Keep an unused connection open this long.")
    concurrency: int = Field(200, ge=1, description="Deliveries in progress, per worker.")


class RetentionSettings(Settings):
    """How long content and metadata are kept."""

    days: int = Field(90, ge=1, le=3650, description="Then the epoch's key is destroyed, at most 7 days later.")


class StoreSettings(Settings):
    """What is durable."""

    minimum_free: Size = Field(512 * 2**20, description="Refuse mail (452) while the disk has less free than this.")
    segment_size: Size = Field(64 * 2**20, description="A segment file is closed when it reaches this size.")
    sweep_age: Duration = Field(timedelta(hours=1), description="Bodies without a row are removed after this age.")


class ViewerSettings(Settings):
    """The web reader for outsiders."""

    enabled: bool = Field(True, description="false: no web process, and the policy viewer finds no way.")
    address: str = Field("127.0.0.1:8080", description="Where the web process listens, behind your TLS proxy.")
    url: WebOrigin = Field("http://127.0.0.1:8080", description="How outsiders reach it: the link's origin.")
    certificate: Path | None = Field(None, description="Serve HTTPS directly instead of behind a proxy.")
    key: Path | None = Field(None, description="The certificate's key; not readable by others.")
    trusted_proxies: tuple[Network, ...] = Field((), description="Proxies whose X-Forwarded-For is believed.")
    mail_domain: DomainOrNone = Field(
        Domain(""),
        description="Domain of the addresses that readers are answered at; replies.<host of url> when empty.",
    )
    code_lifetime: Annotated[Duration, at_most(timedelta(minutes=10), "10m")] = Field(
        timedelta(minutes=10), description="Life of an access code, from its first issue; at most 10m."
    )
    service_name: str = Field("Secure mail", description="Shown as: via <service name>.")
    time_zone: ZoneInfo = Field(ZoneInfo("Europe/Amsterdam"), description="Dates are shown in this time zone.")


class MailboxSettings(Settings):
    """A place for hosted mail: LMTP, or a Maildir."""

    lmtp: str = Field("", description='"unix:/run/dovecot/lmtp" or "host:port".')
    maildir: Path | None = Field(None, description="Writes clear text: needs plaintext_at_rest.")
    plaintext_at_rest: Literal["accepted"] | None = Field(None, description="Needed for maildir, with a reason.")
    reason: str = Field("", description="Why clear text at rest is accepted here.")


class FolderSettings(Settings):
    """A folder that messages are written to as .eml files, or EDI as files of its own, each by an atomic rename."""

    path: Path = Field(description="The folder.")
    names: FileNames = Field(
        "{message}-{number}.{extension}",
        description="Names of EDI files, of {message} and {number}, which both must be there, and {type}, {version}, "
        "{reference}, {sender}, {receiver}, {extension}.",
    )
    plaintext_at_rest: Literal["accepted"] | None = Field(None, description="Needed, with a reason: files are clear.")
    reason: str = Field("", description="Why clear text at rest is accepted here.")


class SystemSettings(Settings):
    """A system that takes HL7 messages by MLLP, over TLS. Ours shows the certificate under tls."""

    address: HostPort = Field(description='Where it listens: "his.clinic.example:2575".')
    tls_name: DomainName | None = Field(None, description="The name that its certificate proves; the host when absent.")
    ca_file: Path | None = Field(None, description="CAs for its certificate; the system's when absent.")
    timeout: Duration = Field(timedelta(seconds=60), description="How long it may take to answer a message.")


class NoticeSettings(Settings):
    """Our own notifications and reports."""

    smarthost: str = Field("", description='Next hop "host:port" for notices; by MX when empty.')
    allow_plaintext: bool = Field(False, description="Send notices without TLS where the other side offers none.")
    from_address: str = Field("", description="Header From of notices; postmaster@hostname when empty.")


class DnssecSettings(Settings):
    """The names by which the resolver's validation is tested, at start and every hour."""

    signed_name: str = Field(".", description="A name in a signed zone: the resolver must vouch for its answer.")
    broken_name: str = Field(
        "dnssec-failed.org", description="A name whose signatures don't hold: the resolver must not answer it."
    )


class TlsOverrideSettings(Settings):
    """An exception for a domain whose published records are broken. It makes the way to it less sure: say why."""

    domain: DomainName = Field(description="The recipients' domain.")
    ignore: Annotated[frozenset[Literal["dane", "mta_sts"]], Field(min_length=1)] = Field(
        description="What isn't asked for any more: dane, mta_sts or both."
    )
    reason: str = Field(min_length=1, description="Why, for whoever reads this later.")
    until: date = Field(description="The last day it counts, in UTC.")


class MtaStsSettings(Settings):
    """Fetching other domains' MTA-STS policies."""

    private_networks: tuple[Network, ...] = Field(
        (), description="Networks where a policy's web server may be, beside the public internet."
    )


class MetricsSettings(Settings):
    """What Prometheus reads, at /metrics."""

    address: LoopbackAddress | None = Field(
        None, description='Where a process of its own serves them: "127.0.0.1:9464". Absent: counted, not served.'
    )


class ReportSettings(Settings):
    """Reports about TLS (TLSRPT) and about sender authentication (DMARC): ours to others, and theirs to us."""

    address: MailAddress = Field(
        "",
        description="Where others send their reports, which relayd reads, and From of ours: its domain should have a "
        "DKIM key. Without an address there are no reports.",
    )
    organisation: str = Field("", max_length=100, description="Who we are, in our reports; hostname when empty.")
    contact: MailAddress = Field("", description="Whom to write to about our reports; address when empty.")
    tls: bool = Field(True, description="Send TLS reports (RFC 8460) to domains that ask for them.")
    dmarc: bool = Field(True, description="Send DMARC aggregate reports (RFC 9990) to domains that ask for them.")
    unreadable: str = Field("", description="The folder, of those below, for mail to address that is no report.")
    keep: Duration = Field(timedelta(days=90), description="How long the summaries of received reports are kept.")
    private_networks: tuple[Network, ...] = Field(
        (), description="Networks where a server that takes reports by HTTPS may be, beside the public internet."
    )


class Configuration(Settings):
    """The whole of relayd.yaml. Other files stand beside it in the same folder."""

    hostname: str = Field(description="Our name in EHLO, Received and Message-ID: fully qualified.")
    state: Path = Field(description="Folder for the database, sealed bodies and the control socket.")
    keys: Path = Field(description="Folder for root and epoch keys, on its own backup. Never inside state.")
    workers: int = Field(0, ge=0, description="Mail workers; 0 means one per core.")
    demo: bool = Field(False, description="Allows what is unfit for production (SMS to a file).")
    listeners: tuple[ListenerSettings, ...] = Field(min_length=1)
    tls: TlsSettings
    limits: SmtpLimits = SmtpLimits()
    queue: QueueSettings = QueueSettings()
    retention: RetentionSettings = RetentionSettings()
    store: StoreSettings = StoreSettings()
    viewer: ViewerSettings = ViewerSettings()
    sms: SmsSettings = SmsSettings()
    notices: NoticeSettings = NoticeSettings()
    mta_sts: MtaStsSettings = MtaStsSettings()
    metrics: MetricsSettings = MetricsSettings()
    reports: ReportSettings = ReportSettings()
    edi: EdiSettings = EdiSettings()
    mailboxes: dict[str, MailboxSettings] = Field({}, description="Named stores for hosted mail.")
    folders: dict[str, FolderSettings] = Field({}, description="Named folders.")
    systems: dict[Name, SystemSettings] = Field({}, description="Named systems that take HL7.")
    accounts: Path = Field(Path("accounts"), description="The accounts file, which Dovecot can read too.")
    policy_folders: tuple[Path, ...] = Field((), description="Folders with policies of your own.")
    resolver: ResolverAddress = Field(
        "127.0.0.1", description="The DNS resolver: an address, or address:port. Must be local and validating."
    )
    dnssec: DnssecSettings = DnssecSettings()
    tls_overrides: tuple[TlsOverrideSettings, ...] = Field(
        (), description="Domains whose DANE records or MTA-STS policy are left out of account for a time."
    )
    log: Literal["json", "text"] = Field("json", description="json: a line of JSON per event. text: for people.")

    @property
    def viewer_mail_domain(self) -> Domain:
        """The domain of the Viewer's own mail addresses: replies to readers, reports on notifications."""
        if self.viewer.mail_domain:
            return self.viewer.mail_domain
        host = urlsplit(self.viewer.url).hostname or ""
        named = "." in host and not is_address(host)
        return normalise_domain(f"replies.{host if named else self.hostname}")
