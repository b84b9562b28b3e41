"""The contract of a policy: the one interface that ``policies/`` and third parties write against.

A policy is a class with typed options. It judges a message and returns verdicts; it touches nothing. See
``docs/policies/writing-your-own.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict

from relayd.authenticity.results import Authentication, Result, Spf
from relayd.clock import Clock
from relayd.directory.nta7516 import Published
from relayd.dns.records import Answer
from relayd.mail.address import Domain
from relayd.mail.body import Body
from relayd.mail.envelope import Envelope, Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import Part, Reader
from relayd.pipeline.findings import Found as Found  # part of the contract
from relayd.pipeline.findings import Inspection as Inspection
from relayd.pipeline.findings import InspectionLimits as InspectionLimits
from relayd.pipeline.verdict import Verdict
from relayd.tls.decision import Standing as Standing  # part of the contract

if TYPE_CHECKING:
    from relayd.directory.directory import Directory, Origin


class Stage(StrEnum):
    """When a policy is asked. SENDER at MAIL, RECIPIENT at each RCPT, MESSAGE and ROUTE after the end of data."""

    SENDER = "sender"
    RECIPIENT = "recipient"
    MESSAGE = "message"
    ROUTE = "route"


class OnError(StrEnum):
    """What a policy's exception or timeout means."""

    DEFER = "defer"
    REFUSE = "refuse"
    SKIP = "skip"


class Options(BaseModel):
    """Base of a policy's options: unknown keys are mistakes, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Mail(msgspec.Struct, frozen=True):
    """What a policy is shown.

    ``origin`` says who sends, as far as it is known at this stage. ``recipients`` are those the current stage asks
    about: the one of this RCPT at ``recipient``; all, or on a retry the undecided ones, at ``message`` and ``route``.
    ``headers``, ``body`` and ``parts`` are None before the end of data.
    """

    id: str
    peer: Peer
    origin: Origin
    envelope: Envelope
    recipients: tuple[Recipient, ...] = ()
    headers: Headers | None = None
    body: Body | None = None
    parts: tuple[Part, ...] = ()


class Limits(Protocol):
    """Counters kept in one place per machine."""

    async def count_unique(self, key: str, members: list[str], window: timedelta) -> int:
        """Add ``members`` to the set ``key`` and return its size; what is older than ``window`` is forgotten."""
        ...

    async def take(self, key: str, amount: int, limit: int, window: timedelta) -> bool:
        """Count ``amount`` under ``key``; False when that passes ``limit`` within ``window`` (nothing counted)."""
        ...


class Inspector(Protocol):
    """Looks inside attachments, in another process."""

    async def inspect(self, mail: Mail, limits: InspectionLimits) -> Inspection: ...


class Authenticator(Protocol):
    """Finds out who wrote the message that is judged. It asks DNS, at most once for each thing."""

    @property
    def known(self) -> Authentication | None:
        """What ``authenticate`` has found out about the whole message; None as long as nobody asked."""
        ...

    async def signers(self, mail: Mail) -> frozenset[Domain]:
        """The domains (d=) whose DKIM signature over the whole of this message is valid. Raises TimeoutError when there
        is none, and DNS didn't say everything."""
        ...

    async def authenticate(self, mail: Mail) -> Authentication:
        """SPF, DKIM, DMARC and ARC; before the end of data SPF alone."""
        ...


class NoAuthenticator:
    """Where nothing can be asked, nothing is known of anybody."""

    known = None

    async def signers(self, mail: Mail) -> frozenset[Domain]:
        return frozenset()

    async def authenticate(self, mail: Mail) -> Authentication:
        return Authentication(Spf(Result.NONE, ""))


class NtaRecords(Protocol):
    """Asks DNS what a domain publishes of NTA 7516."""

    async def look_up(self, domain: Domain) -> Published: ...


class NoNtaRecords:
    """Where nobody asks, nobody publishes anything."""

    async def look_up(self, domain: Domain) -> Published:
        return Published(domain, Answer.NO_DATA)


class Ways(Protocol):
    """Knows by what way mail could go."""

    async def proven(self, domain: Domain) -> Standing:
        """Whether mail hosts of a domain prove themselves, by DANE or by an enforced MTA-STS policy, so that even
        confidential mail may go by MX."""
        ...

    async def nta_proven(self, domain: Domain) -> Standing:
        """Whether hosts that take a domain's NTA 7516 mail prove themselves by DANE."""
        ...


class NoWays:
    """Where nobody asks, nothing is proven."""

    async def proven(self, domain: Domain) -> Standing:
        return Standing(False, f"nobody looks whether {domain} proves its mail hosts")

    async def nta_proven(self, domain: Domain) -> Standing:
        return await self.proven(domain)


class ViewerAddress(msgspec.Struct, frozen=True):
    """What an address of the Viewer stands for. ``organisation`` wrote the message; mail of its to a reader's address
    (``reader``) reaches him. Without a reader it is where reports come."""

    organisation: str
    reader: Reader | None = None


class ViewerAddresses(Protocol):
    """Knows the Viewer's own mail addresses."""

    async def look_up(self, local_part: str) -> ViewerAddress | None:
        """None for one that isn't, or no longer."""
        ...


class NoViewerAddresses:
    """Where nobody looks there are none."""

    async def look_up(self, local_part: str) -> ViewerAddress | None:
        return None


@dataclass(frozen=True, slots=True)
class Context:
    """What a policy may use: lookups, counters, the inspector, the clock, who wrote the message, ways, the
    Viewer's addresses. No more than that."""

    directory: Directory
    limits: Limits
    inspector: Inspector
    clock: Clock
    authenticator: Authenticator = field(default_factory=NoAuthenticator)
    nta: NtaRecords = field(default_factory=NoNtaRecords)
    ways: Ways = field(default_factory=NoWays)
    viewer: ViewerAddresses = field(default_factory=NoViewerAddresses)


O = TypeVar("O", bound=Options)  # noqa: E741


class Policy(Generic[O]):
    """Base of all policies. Subclasses set ``name``, ``stages`` and ``Options`` and write :meth:`judge`."""

    #: The word in policies.yaml; also the name of the file and of its page in docs/policies/.
    name: ClassVar[str]
    #: The stages at which it is asked.
    stages: ClassVar[frozenset[Stage]]
    #: The class of its options: validates the YAML and documents itself.
    Options: ClassVar[type[Options]] = Options
    #: Longest time for one judgement, in seconds.
    timeout: ClassVar[float] = 10.0
    #: What its exception or timeout means. The YAML may override it.
    on_error: ClassVar[OnError] = OnError.DEFER

    def __init__(self, options: O) -> None:
        self.options = options

    async def judge(self, mail: Mail, stage: Stage, context: Context) -> Verdict | list[Verdict]:
        """The verdict on ``mail`` at ``stage``. An empty list means the same as Pass."""
        raise NotImplementedError
