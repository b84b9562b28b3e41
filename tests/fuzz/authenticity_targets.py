"""What must hold of the parsers of what strangers publish and write about who they are."""

from __future__ import annotations

import asyncio
import contextlib
import re
from ipaddress import ip_address

import authres

from relayd.authenticity import arc as arc_chain
from relayd.authenticity import dkim_verify
from relayd.authenticity.authentication_results import claimed_id, field, forged
from relayd.authenticity.dkim_dns import Published, compare
from relayd.authenticity.dkim_key import KeyUnfit, read_key
from relayd.authenticity.dkim_keys import StoredKey
from relayd.authenticity.dmarc_record import parse_record
from relayd.authenticity.results import Arc, Authentication, Disposition, Dkim, Dmarc, Result, Spf
from relayd.authenticity.spf import MOST_LOOKUPS, check_host
from relayd.authenticity.spf_question import SpfQuestion
from relayd.directory.nta7516 import read
from relayd.dns.records import Answer, Records
from relayd.errors import SyntaxInvalid
from relayd.mail.address import Domain, is_address
from relayd.mail.headers import Headers
from relayd.tls.mta_sts import MAX_AGE, StsReason, parse_policy, policy_file, read_records
from relayd.tls.sts_policy import StsMode
from tests.kit.dkim import RECORD
from tests.kit.dns import FakeDns
from tests.kit.judging import MemoryBody


def spf(data: bytes) -> None:
    """Any record has a result, costs no more questions than the limits allow, and explains itself in ASCII."""
    dns = FakeDns(
        {("d.example", "TXT"): [data], ("h.example", "A"): ["192.0.2.9"], ("h.example", "MX"): ["1 h.example"]}
    )
    asked = SpfQuestion(ip_address("192.0.2.1"), "jan+x", "d.example", "h.example")
    found = asyncio.run(check_host(dns, asked, explain=True))
    assert found.lookups <= MOST_LOOKUPS + 1
    assert len(dns.asked) <= 1 + MOST_LOOKUPS * (MOST_LOOKUPS + 1) + MOST_LOOKUPS + 1
    assert found.spf.reason.isascii()
    assert found.spf.reason.isprintable()


def nta7516(data: bytes) -> None:
    """A record that counts can be written so that it reads the same, and names hosts that a certificate can prove."""
    reading = read([data])
    assert reading.text.isprintable()
    if reading.record is not None:
        assert read([str(reading.record).encode()]).record == reading.record
        assert read([data, data]).record is None
        assert all("." in host and not is_address(host) for host in reading.record.hosts)


def mta_sts(data: bytes) -> None:
    """A record or a policy that counts can be written so that it reads the same, and stays within the limits."""
    record = read_records([b"v=STSv1;" + data])
    assert (record.reason is StsReason.FOUND) == (0 < len(record.id) <= 32)
    try:
        policy = parse_policy(Domain("d.example"), "a1", data)
    except SyntaxInvalid:
        return
    assert policy.mx or policy.mode is StsMode.NONE
    assert 0 <= policy.max_age <= MAX_AGE
    assert policy_file(policy).isascii()
    assert parse_policy(policy.domain, policy.id, policy_file(policy)) == policy


def dkim_record(data: bytes) -> None:
    """Whatever stands in DNS, it is our key only with our key in it."""
    key = StoredKey("rsa", "s", b"\x01\x02\x03", "", b"")
    published, text = compare(Records(Answer.FOUND, (data,)), key)
    assert (published is Published.SHOWN) == (text == "")
    assert published is not Published.SHOWN or b"AQID" in bytes(octet for octet in data if octet > 32)


def dkim(data: bytes) -> None:
    """Whatever stands in a signature's field, it has a result, and one that somebody made up never passes."""
    dns = FakeDns({("s._domainkey.d.example", "TXT"): [RECORD]})
    message = b"DKIM-Signature: " + _lines(data) + b"\r\nFrom: x@d.example\r\n\r\nbody\r\n"
    for one in asyncio.run(dkim_verify.verify(MemoryBody(message), dns, 1_800_000_000.0)):
        assert one.result not in (Result.PASS, Result.NONE)
        assert one.reason.isprintable()
        assert re.fullmatch(r"[a-z0-9.-]*", one.domain)
    assert len(dns.asked) <= 1


def dkim_key(data: bytes) -> None:
    """A key record is usable or says why not; what is handed on of it is the same key."""
    for algorithm in ("rsa-sha256", "ed25519-sha256"):
        with contextlib.suppress(KeyUnfit):
            facts = read_key(data, algorithm)
            assert read_key(facts.record, algorithm).record == facts.record


def arc(data: bytes) -> None:
    """Made-up chains never hold, and cost at most the questions of fifty sets."""
    dns = FakeDns({("s._domainkey.d.example", "TXT"): [RECORD]})
    found = asyncio.run(arc_chain.verify(MemoryBody(_lines(data) + b"\r\nFrom: x@d.example\r\n\r\nbody\r\n"), dns))
    assert found.result is not Result.PASS
    assert found.instances <= 10
    assert len(dns.asked) <= 100


def dmarc_record(data: bytes) -> None:
    """Every record asks for something that can be done, and reading its own tags again changes nothing."""
    record = parse_record(b"v=DMARC1;" + data)
    for subdomain in (False, True):
        assert record.policy(subdomain=subdomain) in Disposition
    assert dict(record.tags)["v"] == "DMARC1"
    again = parse_record(";".join(f"{name}={value}" for name, value in record.tags).encode("latin-1"))
    assert again.tags == record.tags


def results_field(data: bytes) -> None:
    """What claims our name is found whatever follows, and nothing that a stranger says gets out of its place."""
    line = re.sub(rb"[\r\n]", b" ", data)
    assert claimed_id(b"mx.example; " + line) in ("mx.example", None)
    assert forged(Headers(b"Authentication-Results: mx.example;" + line + b"\r\n"), "mx.example") == (0,)
    claimed = claimed_id(line)
    assert claimed is None or claimed
    text = data.decode("utf-8", "surrogateescape")
    said = Authentication(
        Spf(Result.FAIL, text, reason=text),
        (Dkim(Result.FAIL, text, text, text, text),),
        Dmarc(Result.FAIL, text, reason=text),
        Arc(Result.FAIL, 1, text),
    )
    written = Headers(field("mx.example", said))
    assert [one.name for one in written.fields] == ["authentication-results"]
    parsed = authres.AuthenticationResultsHeader.parse(
        f"Authentication-Results: {written.fields[0].value.decode('ascii')}"
    )
    assert [one.method for one in parsed.results] == ["spf", "dkim", "dmarc", "arc"]


def _lines(data: bytes) -> bytes:
    """``data`` as it could come in by SMTP, without an empty line in it."""
    lines = data.replace(b"\0", b"").replace(b"\r", b"\n").split(b"\n")
    return b"\r\n".join(line for line in lines if line) or b"x"
