"""HL7 by MLLP: a laboratory's system hands results over, a practice's system gets them, and each is told the truth."""

from __future__ import annotations

import os
import signal
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.kit.daemon import RelayProcess
from tests.kit.mllp import END, VT, Sender, System, client_context, said
from tests.kit.ports import free_port
from tests.kit.site import Site
from tests.kit.talk import ANNA, BRAM
from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour
SAMPLES = Path(__file__).parents[1] / "edi" / "samples"
#: Wants an answer on receipt only (MSH-15 AL, MSH-16 NE).
OUL = (SAMPLES / "oul_r22_lab2lab_latin1.hl7").read_bytes()


class Stage(SimpleNamespace):
    def sender(self, *, certificate: bool = True) -> Sender:
        site = self.site
        return Sender(self.port, client_context(site.authority, site.hospital if certificate else None))

    def mails(self, address: str) -> list[EmailMessage]:
        folder = self.site.mailbox(address) / "new"
        files = sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime_ns)
        return [message_from_bytes(path.read_bytes(), policy=default) for path in files]  # type: ignore[misc]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mllp")
    site = Site(folder)
    port = free_port()
    site.relayd["listeners"].append({"address": f"127.0.0.1:{port}", "kind": "mllp", "tls": "implicit"})
    site.relayd["edi"] = {"gateway": "gateway.example"}
    site.relayd["queue"] = {"schedule": ["1s"]}
    site.policies.insert(2, {"policy": "edi"})
    site.organisations["organisations"]["noord"]["settings"] = {"edi_sender": "lab@noord.example"}
    site.organisations["organisations"]["praktijk"] |= {
        "edi_numbers": {"LABNOORD": ANNA, "PRAKTIJK": BRAM},
        "settings": {
            "edi_rules": [
                {"mailboxes": [BRAM], "form": "system", "system": "his"},
                {"format": "hl7", "form": "html"},
            ]
        },
    }
    with System(site.authority, site.partner) as system:
        site.relayd["systems"] = {
            "his": {
                "address": f"127.0.0.1:{system.port}",
                "tls_name": "mail.partner.example",
                "ca_file": str(site.authority.certificate),
                "timeout": "20s",
            }
        }
        with RelayProcess(site) as relayd:
            yield Stage(site=site, relayd=relayd, port=port, system=system)


def message(control_id: str, *, to: str = "LABNOORD", modes: str = "AL|NE") -> bytes:
    first, _, rest = OUL.partition(b"\r")
    first = first.replace(b"|GLIMS|LABNOORD|", f"|GLIMS|{to}|".encode())
    return first.replace(b"MSG00002", control_id.encode()).replace(b"AL|NE", modes.encode()) + b"\r" + rest


def test_a_result_arrives_as_a_mail_that_can_be_read_after_it_was_acknowledged(stage):
    with stage.sender() as sender:
        answer = sender.send(message("A1"))
    segments = answer.decode().split("\r")
    assert segments[1].startswith("MSA|CA|A1")
    assert segments[0].split("|")[2:6] == ["GLIMS", "LABNOORD", "LIS", "LABZUID"]
    wait_for(lambda: stage.mails(ANNA), "the mail")
    mail = stage.mails(ANNA)[-1]
    assert "Lithium" in mail.get_body(("html",)).get_content()
    assert mail["From"].addresses[0].addr_spec == "lab@noord.example"
    kept = [part.get_payload(decode=True) for part in mail.walk() if (part.get_filename() or "").endswith(".hl7")]
    assert kept == [message("A1")]
    found = stage.relayd.json("message", "find", "--recipient", ANNA)[-1]
    received = stage.relayd.json("message", "show", found["id"])["journal"][0]
    assert (received["facts"]["listener"], received["facts"]["via"]) == ("mllp", "certificate")


def test_in_the_original_mode_the_answer_is_aa(stage):
    with stage.sender() as sender:
        assert b"MSA|AA|B1" in sender.send(message("B1", modes="|"))


def test_the_same_message_again_is_answered_alike_and_comes_once(stage):
    with stage.sender() as sender:
        first = sender.send(message("C1"))
        again = sender.send(message("C1"))
    with stage.sender() as sender:
        later = sender.send(message("C1"))
    assert all(b"MSA|CA|C1" in answer for answer in (first, again, later))
    wait_for(lambda: any("C1" in mail["Subject"] for mail in stage.mails(ANNA)), "the mail")
    wait_for(lambda: not stage.relayd.json("queue", "list"), "the queue to be empty")
    assert sum("C1" in mail["Subject"] for mail in stage.mails(ANNA)) == 1


def test_a_sender_that_counts_anew_loses_nothing(stage):
    with stage.sender() as sender:
        sender.send(message("D1"))
        other = message("D1").replace(b"0.9", b"1.4")
        assert b"MSA|CA|D1" in sender.send(other)
    wait_for(lambda: sum("D1" in mail["Subject"] for mail in stage.mails(ANNA)) == 2, "both")


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (message("E1", to="NIEMAND"), b"MSA|CE|E1"),
        (b"PID|1||123\r", b"MSA|AE"),
        (b"\x00\xff nonsense", b"MSA|AE"),
        (b"", b"MSA|AE"),
        (b"MSH|^~\\&|A|B|C|D|||ORU^R01||P|2.5\rPID|1\r", b"MSA|AE"),
        (b"MSH|" + b"x" * 100_000, b"MSA|AE"),
    ],
)
def test_what_cant_be_taken_is_answered_so_and_the_next_one_is_taken(stage, octets, said):
    with stage.sender() as sender:
        answer = sender.send(octets)
        assert said in answer
        assert b"\rERR|" in answer
        assert b"MSA|AA|E9" in sender.send(message("E9", modes="|"))


def test_frames_may_be_split_joined_and_broken_off(stage):
    with stage.sender() as sender:
        for octet in VT + message("F1", modes="|") + END:
            sender.put(bytes([octet]))
        assert b"MSA|AA|F1" in sender.answer()
        both = VT + message("F2", modes="|") + END + b"\r\n" + VT + message("F3", modes="|") + END
        sender.put(VT + b"MSH|^~\\&|broken off" + both)
        assert b"MSA|AA|F2" in sender.answer()
        assert b"MSA|AA|F3" in sender.answer()


def test_without_a_certificate_of_an_organisation_nothing_is_taken(stage):
    with stage.sender(certificate=False) as sender:
        assert b"MSA|AE|G1" in sender.send(message("G1", modes="|"))
        assert sender.answer() == b""


def test_while_the_store_is_away_the_answer_is_to_try_again(stage):
    store = next(pid for pid, role in stage.relayd.processes().items() if role == "store")
    with stage.sender() as sender:
        sender.send(message("H0", modes="|"))
        os.kill(store, signal.SIGKILL)
        answer = sender.send(message("H1", modes="|"))
        assert b"MSA|AA|H1" in answer or b"MSA|AR|H1" in answer
        wait_for(lambda: b"MSA|AA|H1" in sender.send(message("H1", modes="|")), "the store", 60)
    wait_for(lambda: any("H1" in mail["Subject"] for mail in stage.mails(ANNA)), "the mail")


def test_a_practices_system_gets_it_and_its_word_counts(stage):
    system = stage.system
    with stage.sender() as sender:
        assert b"MSA|AA|S1" in sender.send(message("S1", to="PRAKTIJK", modes="|"))
        wait_for(lambda: system.messages, "the system")
        assert system.messages == [message("S1", to="PRAKTIJK", modes="|")]
        wait_for(lambda: _state(stage, "S1") == ["delivered"], "its delivery")

        # Not now: it is offered again until it is taken.
        refusals = iter([said("AR", "S2"), None])
        system.answer = lambda name: next(refusals, said("AA", name))
        sender.send(message("S2", to="PRAKTIJK", modes="|"))
        wait_for(lambda: _state(stage, "S2") == ["delivered"], "its delivery after two tries", 60)

        # Never: the sender gets a report, and the journal has the code but not the text.
        system.answer = lambda name: said("AE", name, "ERR|||204^x^HL70357|E||||Mevrouw De Vries is onbekend\r")
        sender.send(message("S3", to="PRAKTIJK", modes="|"))
        wait_for(lambda: _state(stage, "S3") == ["failed"], "the failure")
    told = stage.relayd.cli("message", "show", stage.relayd.json("message", "find", "--recipient", BRAM)[0]["id"])
    assert "AE 204" in told.stdout
    assert "Vries" not in told.stdout + stage.relayd.log


def _state(stage: Stage, control_id: str) -> list[str]:
    found = stage.relayd.json("message", "find", "--recipient", BRAM)
    order = {"S1": -1, "S2": -2, "S3": -3}[control_id]
    return list(found[order]["states"]) if len(found) >= -order else []
