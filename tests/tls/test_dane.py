"""TLSA records against certificates, one row for each rule of RFC 7671 and RFC 7672 §3."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from relayd.dns.records import Tlsa
from relayd.tls.dane import match, usable
from relayd.tls.results import ResultType
from tests.kit.chains import NOW, Made, make, with_sha1

RSA = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505
MX = "mx.example.org"

ROOT = make("root", ca=True, key=RSA)
INTERMEDIATE = make("intermediate", ROOT, ca=True, path_length=0)
LEAF = make("leaf", INTERMEDIATE, names=[MX])
UNDER_ROOT = make("under root", ROOT, names=[MX], key=RSA)
ALONE = make("alone", names=[MX])
OTHER = make("other", names=["other.example.org"])
CHAIN = (LEAF, INTERMEDIATE, ROOT)

MISMATCH, EXPIRED = ResultType.CERTIFICATE_HOST_MISMATCH, ResultType.CERTIFICATE_EXPIRED
UNTRUSTED, NONE = ResultType.CERTIFICATE_NOT_TRUSTED, ResultType.VALIDATION_FAILURE


row = pytest.param


def absent(usage: int, selector: int, matching: int) -> Tlsa:
    return Tlsa(usage, selector, matching, bytes(32 * matching))


def outcome(
    chain: Sequence[Made], records: Sequence[Tlsa], names: Sequence[str] = (MX,), days: int = 0
) -> str | ResultType:
    found = match([one.der for one in chain], records, names, NOW + timedelta(days=days))
    assert bool(found.by) is (found.fault is None)
    return found.by if found.fault is None else found.fault.type


EVERY_KIND = [(usage, selector, matching) for usage in (2, 3) for selector in (0, 1) for matching in (0, 1, 2)]


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: "RFC 6698 §2.1: {} {} {}".format(*kind))
def test_every_kind_of_record_matches_its_own_certificate_and_no_other(kind: tuple[int, int, int]) -> None:
    right, wrong = (INTERMEDIATE, ROOT) if kind[0] == 2 else (LEAF, INTERMEDIATE)
    assert outcome(CHAIN, [right.tlsa(*kind)]) == "{} {} {}".format(*kind)
    assert outcome((LEAF, INTERMEDIATE) if kind[0] == 2 else CHAIN, [OTHER.tlsa(*kind)]) in (NONE, UNTRUSTED)
    assert outcome((ALONE,), [wrong.tlsa(*kind)]) in (NONE, UNTRUSTED)


@pytest.mark.parametrize(
    ("chain", "records", "names", "days", "expected"),
    [
        row((OTHER,), [OTHER.tlsa(3, 1, 1)], [MX], 0, "3 1 1", id="RFC 7672 §3.1.1: names don't count"),
        row((LEAF,), [LEAF.tlsa(3, 1, 1)], [MX], 400, "3 1 1", id="RFC 7672 §3.1.1: dates don't count"),
        row((LEAF,), [LEAF.tlsa(3, 1, 1)], [], 0, "3 1 1", id="RFC 7672 §3.1.1: the issuer doesn't count"),
        row((LEAF, OTHER), [OTHER.tlsa(3, 1, 1)], [MX], 0, NONE, id="RFC 7672 §3.1.1: only the server's own"),
        row(CHAIN, [ROOT.tlsa(2, 0, 1)], [MX], 0, "2 0 1", id="RFC 7672 §3.1.2: over an intermediate"),
        row(CHAIN, [ROOT.tlsa(2, 1, 2)], [MX], 0, "2 1 2", id="RFC 7672 §3.1.2: the anchor's key"),
        row((LEAF, ROOT, INTERMEDIATE), [ROOT.tlsa(2, 0, 1)], [MX], 0, "2 0 1", id="RFC 7672 §3.1.2: sent in disorder"),
        row((LEAF, INTERMEDIATE), [ROOT.tlsa(2, 0, 1)], [MX], 0, NONE, id="RFC 7671 §5.2: not sent"),
        row((LEAF, INTERMEDIATE), [ROOT.tlsa(2, 0, 0)], [MX], 0, "2 0 0", id="RFC 7671 §5.2: all in the record"),
        row((LEAF, INTERMEDIATE), [ROOT.tlsa(2, 1, 0)], [MX], 0, "2 1 0", id="RFC 7671 §5.2: its key in the record"),
        row((LEAF, INTERMEDIATE), [OTHER.tlsa(2, 1, 0)], [MX], 0, NONE, id="RFC 7671 §5.2: a key that signed nothing"),
        row((LEAF,), [INTERMEDIATE.tlsa(2, 1, 0)], [MX], 0, "2 1 0", id="RFC 7671 §5.2: its key signed the leaf"),
        row((LEAF,), [INTERMEDIATE.tlsa(2, 1, 0)], ["b.example"], 0, MISMATCH, id="RFC 7671 §5.2: another name"),
        row((ALONE,), [ALONE.tlsa(2, 1, 0)], [MX], 0, "2 1 0", id="RFC 7671 §5.2: its key signed itself"),
        row((LEAF, ROOT), [ROOT.tlsa(2, 0, 1)], [MX], 0, UNTRUSTED, id="RFC 7672 §3.1.2: a link is missing"),
        row((ALONE,), [ALONE.tlsa(2, 0, 1)], [MX], 0, NONE, id="RFC 7672 §3.1.2: nobody is his own anchor"),
        row(CHAIN, [INTERMEDIATE.tlsa(2, 0, 1)], [MX], 0, "2 0 1", id="RFC 7672 §3.1.2: below the root"),
        row(CHAIN, [ROOT.tlsa(2, 0, 1)], ["b.example"], 0, MISMATCH, id="RFC 7672 §3.2.2: another name"),
        row(CHAIN, [ROOT.tlsa(2, 0, 1)], [], 0, MISMATCH, id="RFC 7672 §3.2.2: no name to have"),
        row(CHAIN, [ROOT.tlsa(2, 0, 1)], ["b.example", MX], 0, "2 0 1", id="RFC 7672 §3.2.2: one of several"),
        row(CHAIN, [ROOT.tlsa(2, 0, 1)], [MX], 400, EXPIRED, id="RFC 7672 §3.1.2: dates count"),
        row(CHAIN, [ROOT.tlsa(2, 0, 1)], [MX], -9, EXPIRED, id="RFC 7672 §3.1.2: too early"),
        row(CHAIN, [absent(3, 1, 1), LEAF.tlsa(3, 1, 1)], [MX], 0, "3 1 1", id="RFC 7671 §8.1: next key"),
        row(CHAIN, [ROOT.tlsa(2, 0, 1), absent(3, 1, 1)], [MX], 0, "2 0 1", id="RFC 7671 §8: both usages"),
        row(CHAIN, [LEAF.tlsa(1, 1, 1), LEAF.tlsa(3, 1, 1)], [MX], 0, "3 1 1", id="RFC 7672 §3.1.3: usage 1 beside 3"),
        row(CHAIN, [LEAF.tlsa(1, 1, 1)], [MX], 0, NONE, id="RFC 7672 §3.1.3: alone"),
        row(CHAIN, [LEAF.tlsa(3, 1, 1), absent(3, 1, 2)], [MX], 0, NONE, id="RFC 7671 §9: weaker left out"),
        row(CHAIN, [LEAF.tlsa(3, 1, 1), absent(3, 0, 2)], [MX], 0, "3 1 1", id="RFC 7671 §9: each selector apart"),
        row(CHAIN, [LEAF.tlsa(3, 1, 0), absent(3, 1, 2)], [MX], 0, "3 1 0", id="RFC 7671 §9: a whole key stays"),
        row((), [LEAF.tlsa(3, 1, 1)], [MX], 0, NONE, id="no certificate"),
        row(CHAIN, [], [MX], 0, NONE, id="no record"),
    ],
)  # fmt: skip
def test_match(
    chain: Sequence[Made], records: Sequence[Tlsa], names: Sequence[str], days: int, expected: str | ResultType
) -> None:
    assert outcome(chain, records, names, days) == expected


EXPIRED_CA = make("old", ROOT, ca=True, starts=-20, days=10)
NO_CA = make("no ca", ROOT, ca=False)
SILENT_CA = make("silent", ROOT)
FOR_OTHERS = make("elsewhere", ROOT, ca=True, others=[x509.NameConstraints([x509.DNSName("example.net")], None)])
SECOND = make("second", INTERMEDIATE, ca=True)
WEAK_CA = make("weak", ROOT, ca=True, key=WEAK)
FORGED = make("intermediate", make("root", ca=True), ca=True)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        pytest.param((make("x", EXPIRED_CA, names=[MX]), EXPIRED_CA, ROOT), EXPIRED, id="an issuer has expired"),
        pytest.param((make("x", NO_CA, names=[MX]), NO_CA, ROOT), UNTRUSTED, id="an issuer is no CA"),
        pytest.param((make("x", SILENT_CA, names=[MX]), SILENT_CA, ROOT), UNTRUSTED, id="an issuer doesn't say CA"),
        pytest.param((make("x", FOR_OTHERS, names=[MX]), FOR_OTHERS, ROOT), UNTRUSTED, id="a CA for other names"),
        pytest.param((make("x", SECOND, names=[MX]), SECOND, INTERMEDIATE, ROOT), UNTRUSTED, id="a path too long"),
        pytest.param((make("x", ROOT, names=[MX], key=WEAK), ROOT), UNTRUSTED, id="1024 bits"),
        pytest.param((make("x", WEAK_CA, names=[MX]), WEAK_CA, ROOT), UNTRUSTED, id="1024 bits above"),
        pytest.param((with_sha1(UNDER_ROOT, ROOT), ROOT), UNTRUSTED, id="SHA-1"),
        pytest.param((make("x", ROOT), ROOT), MISMATCH, id="no name but the common one"),
        pytest.param((LEAF, FORGED, ROOT), UNTRUSTED, id="an issuer of the right name that didn't sign"),
        pytest.param((make("x", ROOT, names=["*.example.org"]), ROOT), "2 0 1", id="a wildcard"),
        pytest.param((make("x", ROOT, names=["*.org"]), ROOT), MISMATCH, id="a wildcard for a whole country"),
    ],
)
def test_below_a_trust_anchor_certificates_must_be_sound(chain: Sequence[Made], expected: str | ResultType) -> None:
    assert outcome(chain, [ROOT.tlsa(2, 0, 1)]) == expected


@pytest.mark.parametrize("leaf", [make("x", key=WEAK), with_sha1(UNDER_ROOT, ROOT)], ids=["1024 bits", "SHA-1"])
def test_usage_3_pins_a_key_whatever_it_is(leaf: Made) -> None:
    assert outcome((leaf,), [leaf.tlsa(3, 1, 1)]) == "3 1 1"


@pytest.mark.parametrize(
    "record",
    [
        Tlsa(0, 0, 1, bytes(32)),
        Tlsa(1, 1, 1, bytes(32)),
        Tlsa(4, 1, 1, bytes(32)),
        Tlsa(255, 1, 1, bytes(32)),
        Tlsa(3, 2, 1, bytes(32)),
        Tlsa(3, 255, 1, bytes(32)),
        Tlsa(3, 1, 3, bytes(32)),
        Tlsa(3, 1, 255, bytes(32)),
        Tlsa(3, 1, 1, b""),
        Tlsa(3, 1, 1, bytes(31)),
        Tlsa(3, 1, 1, bytes(33)),
        Tlsa(3, 1, 2, bytes(32)),
        Tlsa(3, 1, 0, b""),
        Tlsa(3, 1, 0, bytes(32)),
        Tlsa(3, 0, 0, b"\x30\x82\xff\xff"),
        Tlsa(2, 0, 0, LEAF.spki),
        Tlsa(2, 1, 0, LEAF.der),
    ],
    ids=lambda record: f"{record.usage} {record.selector} {record.matching} {len(record.data) // 50}",
)
def test_what_is_unknown_or_malformed_is_unusable(record: Tlsa) -> None:
    assert usable([record]) == ()
    assert usable([record, LEAF.tlsa(3, 1, 1)]) == (LEAF.tlsa(3, 1, 1),)


@pytest.mark.parametrize("octets", [b"", b"\0", b"\x30\x80", b"not a certificate", LEAF.der[:-1], LEAF.der + b"\0"])
def test_octets_that_are_no_certificate_match_nothing(octets: bytes) -> None:
    assert match([octets], [LEAF.tlsa(3, 1, 1), LEAF.tlsa(3, 0, 1)], [MX], NOW).fault is not None
    found = match([LEAF.der, octets, ROOT.der], [ROOT.tlsa(2, 0, 1)], [MX], NOW)
    assert found.fault is not None


def test_of_hundreds_of_records_fifty_count() -> None:
    records = [Tlsa(3, 1, 1, number.to_bytes(32)) for number in range(300)]
    assert usable(records) == tuple(records[:50])


def test_a_very_long_chain_is_looked_at_no_further_than_a_real_one_goes() -> None:
    padding = [OTHER.der] * 2000
    assert match([LEAF.der, INTERMEDIATE.der, *padding, ROOT.der], [ROOT.tlsa(2, 0, 1)], [MX], NOW).fault is not None


numbers, octets = st.integers(0, 255), st.binary(max_size=70)
records = st.builds(Tlsa, numbers | st.sampled_from([2, 3]), numbers, numbers | st.integers(0, 2), octets)
certificates = octets | st.sampled_from([LEAF.der, INTERMEDIATE.der, ROOT.der, LEAF.der[:-9], LEAF.spki])


@given(st.lists(certificates, max_size=5), st.lists(records, max_size=5), st.lists(st.text(max_size=20), max_size=3))
def test_nothing_that_a_server_or_a_zone_says_is_an_exception(
    chain: list[bytes], listed: list[Tlsa], names: list[str]
) -> None:
    found = match(chain, [*listed, ROOT.tlsa(2, 0, 1), LEAF.tlsa(3, 1, 2)], names, NOW)
    assert bool(found.by) is (found.fault is None)
