"""The MTA-STS policies of the world, kept (RFC 8461 §5.1): what StsPolicies promises to whoever sends mail.

What is kept lies in the store, so it survives restarts and all workers share it; nothing is kept here but questions in
progress. Each question looks at the TXT record, whose answer DNS keeps for its TTL, so the record is also looked at
before the last try of a message (RFC 8461 §5.1). A kept policy whose id is still the record's answers at once. Another
id, or none kept, means a fetch, for which everybody who asks meanwhile waits. When no fresh one can be had, a kept one
that hasn't expired goes on to apply.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import msgspec
import structlog

from relayd.clock import Clock
from relayd.errors import StoreUnavailable
from relayd.mail.address import Domain
from relayd.tls.mta_sts import StsFetch, StsReason, StsRecord, parse_policy, policy_file, policy_lines
from relayd.tls.results import PolicyType, TlsResult, TlsResults, told
from relayd.tls.sts_fetch import StsSource
from relayd.tls.sts_policy import StsMode, StsPolicy

#: RFC 8461 §3.3: a domain whose policy couldn't be had isn't asked again for this long, in seconds.
RETRY_AFTER: Final = 300.0
#: RFC 8461 §10.2: policies in use are fetched anew this often, also under the same id.
REFRESH_AFTER: Final = 86400.0
#: A policy that nobody asked for in this time isn't refreshed any more.
UNUSED_AFTER: Final = 30 * 86400.0
_ROUND: Final = 3600.0
_AT_ONCE: Final = 50

log = structlog.get_logger("relayd.mta_sts")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one domain. ``policy`` is the file's text, "" when none was ever had; it applies until
    ``expires_at``. ``tried_at`` is when it was last asked for, ``failure`` the reason when that failed (a StsReason).
    ``used_at`` is when somebody last needed it, to within a day. Times are unix seconds."""

    domain: str
    id: str = ""
    policy: str = ""
    fetched_at: float = 0.0
    expires_at: float = 0.0
    tried_at: float = 0.0
    failure: str = ""
    used_at: float = 0.0

    def live(self, now: float) -> StsPolicy | None:
        """The policy, while it applies."""
        if not self.policy or now >= self.expires_at:
            return None
        return parse_policy(Domain(self.domain), self.id, self.policy.encode())


class Shelf(Protocol):
    """The store's operations, as far as they are needed here: sts_kept, sts_keep, sts_used, sts_due."""

    async def call(self, operation: str, **arguments: Any) -> Any: ...


class KeptStsPolicies:
    """Implements StsPolicies. Every failed fetch is told to ``results``. A reload may replace ``source``."""

    def __init__(self, source: StsSource, shelf: Shelf, clock: Clock, results: TlsResults | None = None) -> None:
        self.source = source
        self._shelf = shelf
        self._clock = clock
        self._results = results
        self._asked: dict[Domain, asyncio.Task[StsPolicy | None]] = {}
        self._rounds: asyncio.Task[None] | None = None

    async def policy(self, domain: Domain) -> StsPolicy | None:
        """See StsPolicies.policy. Raises StoreUnavailable when what is kept can't be looked at."""
        task = self._asked.get(domain)
        if task is None:
            task = self._asked[domain] = asyncio.create_task(self._policy(domain))
            task.add_done_callback(lambda done: self._answered(domain, done))
        # Who gives up waiting must not take the answer away from the others.
        return await asyncio.shield(task)

    def _answered(self, domain: Domain, task: asyncio.Task[StsPolicy | None]) -> None:
        del self._asked[domain]
        if not task.cancelled():
            task.exception()  # whoever still waits hears of it; should nobody, that is no defect

    def start(self) -> None:
        """Refresh what is in use, from now on."""
        self._rounds = asyncio.create_task(self._refresh_often())

    async def close(self) -> None:
        """Stop refreshing, and drop what is being asked."""
        tasks = [task for task in (self._rounds, *self._asked.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _policy(self, domain: Domain) -> StsPolicy | None:
        record = await self.source.record(domain)
        kept: Kept | None = await self._shelf.call("sts_kept", domain=domain)
        now = self._clock.now()
        live = kept.live(now) if kept is not None else None
        if record.reason is StsReason.FOUND and (live is None or live.id != record.id) and _may_try(kept, now):
            live = (await self._fetch(domain, record, kept, used_at=now)).live(self._clock.now())
        elif record.reason.result is not None:
            self._tell(domain, live, record.reason, record.detail)
        elif live is not None and kept is not None and now - kept.used_at > REFRESH_AFTER:
            await self._shelf.call("sts_used", domain=domain)
        return live if live is not None and live.mode is not StsMode.NONE else None

    async def _fetch(self, domain: Domain, record: StsRecord, kept: Kept | None, *, used_at: float) -> Kept:
        """Ask the web server, and keep what comes of it."""
        fetched = await self.source.fetch(domain, record.id)
        fresh = keeping(kept or Kept(domain=domain), fetched, self._clock.now(), used_at)
        if fetched.policy is None:
            log.warning("mta_sts_policy_not_fetched", domain=domain, reason=fetched.reason.value)
            self._tell(domain, fresh.live(self._clock.now()), fetched.reason, fetched.detail)
        else:
            log.info("mta_sts_policy_fetched", domain=domain, mode=fetched.policy.mode.value)
        try:
            await self._shelf.call("sts_keep", kept=fresh)
        except StoreUnavailable:
            log.error("mta_sts_policy_not_kept", domain=domain)
        return fresh

    def _tell(self, domain: Domain, live: StsPolicy | None, reason: StsReason, detail: str) -> None:
        if self._results is None or reason.result is None:
            return
        lines = told(policy_lines(live)) if live is not None else ()
        patterns = told(live.mx) if live is not None else ()
        self._results.note(
            TlsResult(
                domain,
                PolicyType.STS,
                lines,
                patterns,
                failure=reason.result,
                reason=f"{reason}: {detail}" if detail else reason.value,
            )
        )

    async def refresh(self) -> int:
        """One round: fetch anew what is in use and a day old. Returns how many policies it asked for.

        The store hands each domain to one worker only.
        """
        due: list[Kept] = await self._shelf.call("sts_due", limit=_AT_ONCE)
        for kept in due:
            domain = Domain(kept.domain)
            record = await self.source.record(domain)
            if record.reason is StsReason.FOUND:
                await self._fetch(domain, record, kept, used_at=kept.used_at)
        return len(due)

    async def _refresh_often(self) -> None:
        while True:
            await asyncio.sleep(_ROUND)
            try:
                while await self.refresh() == _AT_ONCE:
                    pass
            except StoreUnavailable as error:
                log.error("mta_sts_policies_not_refreshed", reason=str(error))
            except Exception:
                log.exception("refresh_defect")


def _may_try(kept: Kept | None, now: float) -> bool:
    return kept is None or not kept.failure or not 0 <= now - kept.tried_at < RETRY_AFTER


def keeping(kept: Kept, fetched: StsFetch, now: float, used_at: float) -> Kept:
    """What to keep after a fetch: the new policy, or the old one with the failure."""
    policy = fetched.policy
    if policy is None:
        return msgspec.structs.replace(kept, tried_at=now, failure=fetched.reason.value, used_at=used_at)
    return Kept(
        domain=kept.domain,
        id=policy.id,
        policy=policy_file(policy).decode("ascii"),
        fetched_at=now,
        expires_at=now + policy.max_age,
        tried_at=now,
        used_at=used_at,
    )
