"""Route ``relay``: over TLS to a next hop, by the class of the message. Never raises for what a peer did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from relayd.delivery.client import Client, Hop, HopUnavailable
from relayd.delivery.pool import Pool
from relayd.delivery.require_tls import for_good, wishes_of
from relayd.delivery.transaction import Answer, ConnectionStale, Transaction
from relayd.delivery.ways import NoWay, Ways
from relayd.delivery.wire import announced
from relayd.queue.outcome import Job, Outcome, Result
from relayd.store.records import Delivery

#: Recipients in one transaction where the peer announces no other limit (RFC 5321 §4.5.3.1.8).
_RECIPIENTS: Final = 100

log = structlog.get_logger("relayd.delivery")


class Sending:
    """One job on its way: who is still to be tried, and what became of the others."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pending: list[Delivery] = list(job.deliveries)
        self.hop: Hop | None = None  # the one that was tried last
        self._outcomes: dict[int, Outcome] = {}

    def settle(self, deliveries: Sequence[Delivery], answers: Sequence[Answer], client: Client) -> None:
        for delivery, answer in zip(deliveries, answers, strict=True):
            self._outcomes[delivery.number] = Outcome(
                number=delivery.number,
                result=answer.result,
                status=answer.status,
                reply=answer.reply,
                next_hop=str(client.hop),
                remote=client.remote,
                tls=client.tls_for(self.hop),
                facts=self._why(),
            )

    def unreached(self, result: Result, status: str, reply: str, remote: str = "") -> None:
        """The same outcome for everyone still to be tried."""
        for delivery in self.pending:
            self._outcomes[delivery.number] = Outcome(
                number=delivery.number,
                result=result,
                status=status,
                reply=reply,
                next_hop=str(self.hop) if self.hop is not None else "",
                remote=remote,
                facts=self._why(),
            )
        self.pending = []

    def _why(self) -> dict[str, str]:
        """For the journal: why just this hop, and what it had to prove."""
        reason = self.hop.demand.reason if self.hop is not None else ""
        return {"way": reason} if reason else {}

    def outcomes(self) -> list[Outcome]:
        return [self._outcomes[delivery.number] for delivery in self.job.deliveries]


async def send_through(pool: Pool, hop: Hop, sending: Sending) -> None:
    """Send to all that are pending, over as many transactions as the peer needs. Raises HopUnavailable when the peer
    can't be used; who is pending then may be tried elsewhere."""
    sending.hop = hop
    while sending.pending:
        client = await pool.borrow(hop)
        try:
            used = client.used > 0
            try:
                await _one_transaction(client, sending)
                continue
            except ConnectionStale as stale:
                if not used:
                    raise HopUnavailable("4.4.2", stale.reply, client.remote) from stale
        finally:
            pool.give_back(client)
        # An idle connection that the peer had given up meanwhile says nothing about the peer: once more, afresh.
        client = await pool.borrow(hop, fresh=True)
        try:
            await _one_transaction(client, sending)
        except ConnectionStale as stale:
            raise HopUnavailable("4.4.2", stale.reply, client.remote) from stale
        finally:
            pool.give_back(client)


async def _one_transaction(client: Client, sending: Sending) -> None:
    batch = sending.pending[: _recipients_at_once(client)]
    job = sending.job
    answers = await Transaction(client, job.message, batch, job.content, job.still_mine).run()
    sending.settle(batch, answers, client)
    again: list[Delivery] = []
    if any(answer.result in (Result.DELIVERED, Result.RELAYED) for answer in answers):
        # RFC 5321 §4.5.3.1.10: those beyond the peer's limit get a transaction of their own, at once.
        again = [delivery for delivery, answer in zip(batch, answers, strict=True) if answer.again]
    sending.pending = again + sending.pending[len(batch) :]


def _recipients_at_once(client: Client) -> int:
    for word in client.esmtp_extensions.get("limits", "").upper().split():  # RFC 9422 §4
        name, _, value = word.partition("=")
        if name == "RCPTMAX" and (most := announced(value)):
            return most
    return _RECIPIENTS


class RelayRoute:
    """Delivers to mail servers."""

    def __init__(self, ways: Ways, pool: Pool) -> None:
        self._ways = ways
        self._pool = pool

    async def deliver(self, job: Job) -> list[Outcome]:
        sending = Sending(job)
        first = job.deliveries[0]
        wishes = wishes_of(job)
        hops = await self._ways.to(first.target, first.domain, first.message_class, wishes)
        if isinstance(hops, NoWay):
            log.info("no_next_hop", domain=first.domain, status=hops.status, reason=hops.reply)
            sending.unreached(Result.FAILED if hops.permanent else Result.DEFERRED, hops.status, hops.reply)
            return sending.outcomes()
        failures: list[tuple[Hop, HopUnavailable]] = []
        refused: Hop | None = None
        for hop in hops:
            if refused is not None and (hop.host, hop.port) == (refused.host, refused.port):
                continue  # it couldn't be reached, whatever it would have had to prove
            try:
                await send_through(self._pool, hop, sending)
            except HopUnavailable as error:
                failures.append((hop, for_good(error) if wishes.require_tls else error))
                refused = hop if error.failure is None else None
            else:
                return sending.outcomes()
        # A host that may be of use later makes the message wait, whatever the others said.
        sending.hop, last = next((one for one in reversed(failures) if not one[1].permanent), failures[-1])
        result = Result.FAILED if last.permanent else Result.DEFERRED
        sending.unreached(result, last.status, last.reply, last.remote)
        return sending.outcomes()

    async def close(self) -> None:
        await self._pool.close()
