"""The Viewer's route: everything in the settlement, or nothing."""

from __future__ import annotations

import hashlib

import pytest

from relayd.delivery.viewer import ViewerRoute
from relayd.errors import KeyDestroyed, KeyUnavailable
from relayd.mail.meta import Reader
from relayd.queue.outcome import Job, Result
from relayd.store.records import Settlement, State
from relayd.vault.meta import open_meta
from tests.kit.viewer import DOCTOR, MOBILE, PATIENT, make_mail, open_site, stored


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        yield site


async def accepted(site, readers):
    """A message in the store that its worker owns, as a job for the route."""
    content, meta = make_mail()
    meta.readers.update(readers)
    new = await stored(site.vault, site.blobs, site.clock, content, meta, "zuid", DOCTOR, PATIENT, owner="worker")
    await site.store.accept(new)
    message, deliveries = await site.store.message(new.id), await site.store.deliveries(new.id)
    key = site.vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
    return Job(message, tuple(deliveries), meta.copies[0], None, open_meta(key, message.meta), lambda: True)


def route(site, vault=None):
    services = site.services
    return ViewerRoute(
        services.configuration, services.directory, vault or site.vault, site.composer, site.clock, site.secrets
    )


async def settle(site, job, outcome, generation):
    settlement = Settlement(
        message_id=job.message.id,
        number=0,
        generation=generation,
        state=State.DELIVERED,
        follow_ups=outcome.follow_ups,
        operations=outcome.operations,
    )
    return await site.store.settle([settlement])


async def test_grant_and_notification_come_with_the_settlement(site):
    job = await accepted(site, {PATIENT.lower(): Reader(mobile=MOBILE)})
    (outcome,) = await route(site).deliver(job)
    assert (outcome.result, outcome.status) == (Result.DELIVERED, "2.0.0")
    notification, confirmation = outcome.follow_ups
    assert notification.parent == confirmation.parent == job.message.id
    token = site.composer.sent[0].partition(b"/v/")[2][:43]
    found = {"token_hash": hashlib.sha256(token).digest()}
    assert await site.store.call("viewer_grant_by_token", **found) is None
    assert await settle(site, job, outcome, job.deliveries[0].generation) == [True]
    grant = await site.store.call("viewer_grant_by_token", **found)
    assert grant.recipient == PATIENT
    assert grant.expires_at == job.message.expires_at
    assert MOBILE.encode() not in grant.mobile
    assert (await site.store.message(notification.id)).id == notification.id


async def test_a_lost_lease_leaves_neither(site):
    job = await accepted(site, {PATIENT.lower(): Reader(mobile=MOBILE)})
    (outcome,) = await route(site).deliver(job)
    assert await settle(site, job, outcome, job.deliveries[0].generation + 1) == [False]
    token = site.composer.sent[0].partition(b"/v/")[2][:43]
    assert await site.store.call("viewer_grant_by_token", token_hash=hashlib.sha256(token).digest()) is None


@pytest.mark.parametrize(
    ("error", "result", "status"),
    [(KeyUnavailable("x"), Result.DEFERRED, "4.3.0"), (KeyDestroyed("x"), Result.FAILED, "5.7.1")],
)
async def test_what_a_missing_key_means(site, error, result, status):
    class Broken:
        def open(self, *arguments):
            raise error

    job = await accepted(site, {PATIENT.lower(): Reader(mobile=MOBILE)})
    (outcome,) = await route(site, Broken()).deliver(job)
    assert (outcome.result, outcome.status) == (result, status)
    assert outcome.follow_ups == ()
    assert outcome.operations == ()


async def test_no_number_no_delivery(site):
    (outcome,) = await route(site).deliver(await accepted(site, {}))
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.7.1")
