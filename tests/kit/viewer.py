"""A Viewer on the real store, with messages brought in by the real route, and people with browsers in front of it."""

from __future__ import annotations

import dataclasses
import re
from base64 import encodebytes
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from starlette.applications import Starlette

from relayd.delivery.installation import InstallationSecrets
from relayd.delivery.viewer import ViewerRoute
from relayd.directory.directory import Directory, Organisation, OrganisationSettings
from relayd.errors import SmtpError
from relayd.journal.event import Event
from relayd.mail.address import Address, Domain, parse_address
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch, MessageMeta, Reader
from relayd.mail.mime import MimeScanner
from relayd.mail.reply import Reply
from relayd.queue.outcome import Job
from relayd.settings.models import Configuration, StoreSettings
from relayd.sms.message import Sent, Sms, SmsResult
from relayd.store.blobs import Blobs
from relayd.store.ids import new_id
from relayd.store.records import NewDelivery, NewMessage, Settlement, State
from relayd.store.sqlite import SqliteStore
from relayd.vault.epochs import EpochKeys, epoch_of
from relayd.vault.keyring import generate
from relayd.vault.meta import seal_meta
from relayd.vault.vault import Vault
from viewer_web.app import create_app
from viewer_web.housekeeping import House
from viewer_web.services import Services

ORIGIN = "https://viewer.example.nl"
MOBILE = "+31612345678"
PATIENT = "Piet@thuis.example"
DOCTOR = "dokter@zuid.example"
START = 1_795_500_000.0  # Tuesday 24 November 2026
DAY = 86400.0


@dataclass
class HandClock:
    """Time that moves when a test says so."""

    at: float = START

    def now(self) -> float:
        return self.at

    def boot(self) -> float:
        return self.at - START

    def pass_(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Phone:
    """An SMS gateway and the phone behind it. ``result`` is what the gateway says next."""

    inbox: list[Sms] = field(default_factory=list)
    result: SmsResult = SmsResult.ACCEPTED

    async def open(self) -> None:
        return

    async def send(self, sms: Sms) -> Sent:
        if self.result is SmsResult.ACCEPTED:
            self.inbox.append(sms)
        return Sent(self.result, "phone", sms.id)

    async def close(self) -> None:
        return

    @property
    def code(self) -> str:
        return self.inbox[-1].text[-6:]


class Composer:
    """Seals a mail of ours, as the queue's composer does, and keeps its octets to look at."""

    def __init__(self, vault: Vault, blobs: Blobs, clock: HandClock) -> None:
        self._vault, self._blobs, self._clock = vault, blobs, clock
        self.sent: list[bytes] = []

    async def compose(
        self, *, organisation: str, recipient: str, content: bytes, parent: str, sender: str = ""
    ) -> NewMessage:
        self.sent.append(content)
        meta = MessageMeta(head_length=content.index(b"\r\n\r\n") + 2)
        return await stored(
            self._vault, self._blobs, self._clock, content, meta, organisation, sender, recipient, parent=parent
        )


@dataclass
class Outbox:
    """Where a reader's mail goes: committed as the pipeline would, and its octets kept to look at. ``refusal`` is what
    the pipeline says instead."""

    vault: Vault
    blobs: Blobs
    clock: HandClock
    store: SqliteStore
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    refusal: Reply | None = None

    async def submit(
        self,
        *,
        organisation: str,
        sender: Address,
        recipient: Address,
        content: AsyncIterator[bytes],
        parent: str,
        operations: Sequence[tuple[str, dict[str, Any]]] = (),
    ) -> str:
        octets = b"".join([block async for block in content])
        if self.refusal is not None:
            raise SmtpError(self.refusal, "pipeline")
        meta = MessageMeta(head_length=octets.index(b"\r\n\r\n") + 2)
        new = await stored(
            *(self.vault, self.blobs, self.clock, octets, meta, organisation, str(sender), str(recipient)),
            parent=parent,
        )
        await self.store.commit([new], operations)
        self.sent.append((str(sender), str(recipient), octets))
        return new.id


async def stored(
    vault: Vault,
    blobs: Blobs,
    clock: HandClock,
    content: bytes,
    meta: MessageMeta,
    organisation: str,
    sender: str,
    recipient: str,
    *,
    owner: str | None = None,
    parent: str | None = None,
) -> NewMessage:
    """A message whose body is durable, ready to be accepted."""
    now = clock.now()
    message_id, epoch = new_id(clock), epoch_of(now)
    key = vault.new(organisation, epoch, message_id)
    receiving = blobs.receive(key)
    for at in range(0, len(content), 65536):
        receiving.write(content[at : at + 65536])
    ref = await blobs.make_durable(receiving.finish())
    delivery = NewDelivery(
        number=0,
        recipient=recipient,
        domain=recipient.rpartition("@")[2],
        route="viewer",
        next_attempt=now,
        owner=owner,
    )
    return NewMessage(
        id=message_id,
        organisation=organisation,
        epoch=epoch,
        received_at=now,
        expires_at=now + 90 * DAY,
        sender=sender,
        size=len(content),
        origin="relay" if parent is None else "internal",
        wrapped_key=key.wrapped,
        body=ref,
        meta=seal_meta(key, meta),
        parent=parent,
        deliveries=(delivery,),
    )


def make_mail(
    *,
    subject: str = "Uitslag bloedonderzoek",
    text: str = "Beste Piet,\r\nDe uitslag is goed.",
    html: str = "",
    pictures: dict[str, bytes] | None = None,
    attachments: tuple[tuple[str, str, bytes], ...] = (),
    to: str = PATIENT,
    fields: str = "",
) -> tuple[bytes, MessageMeta]:
    """A message and its index. ``pictures`` are inline, by Content-ID; ``attachments`` are (name, type, octets).
    ``fields`` are more header lines."""
    head = (
        f"From: Dokter Zuid <{DOCTOR}>\r\nTo: {to}\r\nSubject: {subject}\r\n"
        f"X-Relayd-Mobile: {PATIENT}; {MOBILE}\r\n"
        f"{fields}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=M\r\n"
    ).encode()
    content = bytearray(head + b"\r\n")

    def add(boundary: str, kind: str, data: bytes, encoding: str = "base64", more: str = "") -> None:
        fields = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n{more}"
        raw = encodebytes(data).replace(b"\n", b"\r\n") if encoding == "base64" else data
        content.extend(f"--{boundary}\r\n{fields}\r\n".encode() + raw + b"\r\n")

    content += b"--M\r\nContent-Type: multipart/alternative; boundary=A\r\n\r\n"
    if text:
        add("A", "text/plain; charset=utf-8", text.encode(), "8bit")
    if html:
        add("A", "text/html; charset=utf-8", html.encode(), "8bit")
    content += b"--A--\r\n"
    for content_id, data in (pictures or {}).items():
        add("M", "image/png", data, more=f"Content-ID: <{content_id}>\r\nContent-Disposition: inline\r\n")
    for name, kind, data in attachments:
        disposition = f"Content-Disposition: attachment; filename*=UTF-8''{quote(name, safe='')}\r\n"
        add("M", kind, data, "7bit" if kind.startswith("message/") else "base64", disposition)
    content += b"--M--\r\n"
    scanner = MimeScanner()
    scanner.feed(bytes(content))
    meta = MessageMeta(
        head_length=len(head),
        parts=scanner.finish(),
        copies=(HeaderPatch(drop=(3,), put=b"Received: from zuid by relay\r\n"),),
        subject=subject,
    )
    return bytes(content), meta


@dataclass
class Site:
    """Everything of one installation that a test looks at."""

    services: Services
    app: Starlette
    clock: HandClock
    phone: Phone
    composer: Composer
    store: SqliteStore
    vault: Vault
    blobs: Blobs
    secrets: InstallationSecrets
    outbox: Outbox
    folder: Path

    async def deposit(
        self,
        mobile: str = MOBILE,
        recipient: str = PATIENT,
        thread: str = "",
        access_code: str = "",
        *,
        reader: Reader | None = None,
        receipt: bool = False,
        automatic: bool = False,
        **facts: Any,
    ) -> Deposited:
        """Accept a message and deliver it by the Viewer's route, as the queue would."""
        content, meta = make_mail(**facts)
        reader = reader or Reader(mobile=mobile, thread=thread, access_code=access_code)
        meta = msgspec.structs.replace(
            meta,
            readers={parse_address(recipient).key: reader} if reader != Reader() else {},
            message_id=Headers(content[: meta.head_length]).text("message-id"),
            receipt=receipt,
            automatic=automatic,
        )
        new = await stored(self.vault, self.blobs, self.clock, content, meta, "zuid", DOCTOR, recipient, owner="worker")
        await self.store.accept(new)
        message, deliveries = await self.store.message(new.id), await self.store.deliveries(new.id)
        configuration, directory = self.services.configuration, self.services.directory
        route = ViewerRoute(configuration, directory, self.vault, self.composer, self.clock, self.secrets)
        job = Job(message, tuple(deliveries), meta.copies[0], None, meta, lambda: True)  # type: ignore[arg-type]
        (outcome,) = await route.deliver(job)
        settled = await self.store.settle(
            [
                Settlement(
                    message_id=new.id,
                    number=0,
                    generation=deliveries[0].generation,
                    state=State(outcome.result.value),
                    follow_ups=outcome.follow_ups,
                    operations=outcome.operations,
                )
            ]
        )
        assert settled == [True]
        notification = self.composer.sent[-len(outcome.follow_ups)] if outcome.follow_ups else b""
        return Deposited(new.id, content, notification, outcome)

    def with_settings(self, **changes: Any) -> Site:
        """The same, with other settings of the organisation."""
        before = self.services.directory()
        zuid = before.organisations["zuid"]
        zuid = dataclasses.replace(zuid, settings=dataclasses.replace(zuid.settings, **changes))
        directory = dataclasses.replace(before, organisations={"zuid": zuid})
        services = dataclasses.replace(self.services, directory=lambda: directory)
        return dataclasses.replace(self, services=services, app=create_app(services))

    def house(self) -> House:
        """The web process's housekeeping."""
        return House(self.services, self.secrets)

    async def keep_house(self) -> None:
        """One round of it."""
        await self.house().round()

    def person(self, **headers: str) -> Person:
        # httpx keeps secure cookies from plain http, also where that leads to this machine; browsers don't.
        return Person(self.app, headers, self.services.origin.replace("http://", "https://"))

    async def kinds(self, message_id: str) -> list[str]:
        return [event.kind for event in await self.store.journal(message_id)]

    async def events(self, message_id: str) -> list[Event]:
        return await self.store.journal(message_id)


@dataclass
class Deposited:
    """A message in the Viewer and the mail that tells of it."""

    message_id: str
    content: bytes
    notification: bytes
    outcome: Any

    @property
    def path(self) -> str:
        return re.search(rb"(/v/[A-Za-z0-9_-]{43})", self.notification.replace(b"=\r\n", b""))[1].decode()  # type: ignore[index]


class Person:
    """Someone with a browser: cookies, and forms sent as a browser sends them."""

    def __init__(self, app: Starlette, headers: dict[str, str], origin: str = ORIGIN) -> None:
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=origin, headers=headers
        )
        self.page = httpx.Response(200)

    async def get(self, path: str) -> httpx.Response:
        self.page = await self.client.get(path)
        return self.page

    async def press(self, path_part: str, *, follow: bool = True, **fields: str) -> httpx.Response:
        """Send the form on this page whose action contains ``path_part``."""
        action, token = self.form(path_part)
        self.page = await self.client.post(
            action, data={"token": token, **fields}, headers={"Sec-Fetch-Site": "same-origin"}
        )
        if follow and self.page.is_redirect:
            await self.get(self.page.headers["location"])
        return self.page

    def form(self, path_part: str) -> tuple[str, str]:
        forms = re.findall(r'<form method="post" action="([^"]+)".*?name="token" value="([^"]+)"', self.page.text, re.S)
        return min((form for form in forms if path_part in form[0]), key=lambda form: len(form[0]))

    async def ask(self, deposited: Deposited, query: str = "") -> httpx.Response:
        """Open the link and have the code sent."""
        await self.get(deposited.path + query)
        return await self.press("/v/")

    async def enter(self, code: str) -> httpx.Response:
        return await self.press("/code", code=code)

    async def read(self, deposited: Deposited, phone: Phone, query: str = "") -> httpx.Response:
        """All the way to the message; ``base`` is its path from then on."""
        await self.ask(deposited, query)
        page = await self.enter(phone.code)
        assert page.status_code == 200, page.text
        return page

    @property
    def base(self) -> str:
        return re.search(r"/g/[0-9a-f]{32}", str(self.page.url))[0]  # type: ignore[index]


def make_configuration(folder: Path, **changes: Any) -> Configuration:
    base: dict[str, Any] = {
        "hostname": "relay.example.nl",
        "state": folder / "state",
        "keys": folder / "keys",
        "demo": True,
        "listeners": [{"address": "127.0.0.1:24025", "kind": "relay"}],
        "tls": {"certificate": folder / "c.pem", "key": folder / "k.pem"},
        "viewer": {"url": ORIGIN, "service_name": "Veilige post"},
    }
    return Configuration.model_validate(base | changes)


@asynccontextmanager
async def open_site(folder: Path, language: str = "nl", **changes: Any) -> AsyncIterator[Site]:
    """An installation with one organisation."""
    configuration = make_configuration(folder, **changes)
    clock, phone = HandClock(), Phone()
    keyring = generate(configuration.keys)
    vault = Vault(keyring, EpochKeys(configuration.keys / "epochs", keyring))
    blobs = Blobs(configuration.state / "blobs", "w1", settings=StoreSettings(), clock=clock)
    store = await SqliteStore.open(configuration.state, clock)
    zuid = Organisation(
        id="zuid",
        name="Ziekenhuis Zuid B.V.",
        domains=frozenset({Domain("zuid.example")}),
        settings=OrganisationSettings(
            language=language, display_name="Ziekenhuis Zuid", contact="Servicepunt, 010 123 45 67"
        ),
    )
    directory = Directory(organisations={"zuid": zuid}, domainbook={}, nta={}, accounts={}, mailboxes={})
    composer = Composer(vault, blobs, clock)
    outbox = Outbox(vault, blobs, clock, store)
    services = Services(
        configuration, store, vault, blobs, lambda: directory, composer, phone, outbox, store.limits, clock
    )
    secrets = InstallationSecrets(store, vault)
    try:
        yield Site(
            *(services, create_app(services), clock, phone, composer, store, vault, blobs, secrets, outbox),
            configuration.state,
        )
    finally:
        await blobs.close()
        await store.close()
