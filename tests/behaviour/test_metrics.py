"""The running daemon's metrics, as Prometheus would read them."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kit import mail
from tests.kit.daemon import RelayProcess
from tests.kit.ports import free_port
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.talk import COLLEAGUE, DOCTOR, say
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour

Read = Callable[..., float | None]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("relayd"))
    site.relayd["metrics"] = {"address": f"127.0.0.1:{free_port()}"}
    return site


@pytest.fixture(scope="module")
def relayd(site: Site) -> Iterator[RelayProcess]:
    with Sink(site.folder / "partner", site.partner, port=site.partner_port), RelayProcess(site) as relayd:
        yield relayd


@pytest.fixture
def read(site: Site, relayd: RelayProcess) -> Read:
    def value(name: str, **labels: str) -> float | None:
        with urllib.request.urlopen(f"http://{site.relayd['metrics']['address']}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        found = [sample.value for sample in samples if sample.name == name and labels.items() == sample.labels.items()]
        return found[0] if found else None

    return value


def test_a_message_on_its_way_is_counted(relayd, read):
    accepted = read("relayd_messages_accepted_total", listener="relay")
    with relayd.hospital() as client:
        assert say(client, DOCTOR, [COLLEAGUE], mail.message(DOCTOR, [COLLEAGUE]))[0] == 250
    assert read("relayd_messages_accepted_total", listener="relay") == accepted + 1
    wait_for(lambda: read("relayd_delivery_attempts_total", route="relay", result="delivered"), "the delivery")
    assert read("relayd_tls_inbound_sessions_total", version="TLSv1.3") >= 1
    assert read("relayd_tls_outbound_sessions_total", proof="verified", version="TLSv1.3") == 1
    wait_for(lambda: read("relayd_queue_deliveries", state="in_hand") == 0, "an empty queue")
    assert read("relayd_queue_oldest_seconds") == 0


def test_a_refusal_is_counted_under_its_policy(relayd, read):
    with relayd.stranger() as client:
        code, _ = say(client, "someone@stranger.example", ["victim@outside.example"], b"")
    assert code >= 500
    assert read("relayd_refusals_total", policy="sender", reply="5yz") == 1


def test_a_worker_that_died_takes_no_count_along(relayd, read):
    before = read("relayd_messages_accepted_total", listener="relay")
    victims = [pid for pid, role in relayd.processes().items() if role.startswith("worker")]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not set(victims) & set(relayd.processes()), "new workers")
    assert read("relayd_messages_accepted_total", listener="relay") == before


def test_there_is_nothing_but_metrics(site, relayd):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://{site.relayd['metrics']['address']}/", timeout=10)
    assert caught.value.code == 404
    caught.value.close()


def test_no_person_or_domain_is_in_them(site, relayd):
    with urllib.request.urlopen(f"http://{site.relayd['metrics']['address']}/metrics", timeout=10) as answer:
        assert b"example" not in answer.read()
