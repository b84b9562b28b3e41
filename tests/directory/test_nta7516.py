"""NTA 7516's DNS record: what is read, what isn't, and that what is written is read again."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.directory.nta7516 import Found, NtaMx, NtaRecord, first_day, last_day, read, today

PLAIN = b"v=NTA7516-1;startdate=2026-03;enddate=2027-02;provider=Veilig"
MX = PLAIN + b";ntamx=20 b.veilig.example;ntamx=10 a.veilig.example"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        pytest.param(PLAIN, (), id="no ntamx: MX"),
        pytest.param(PLAIN + b";", (), id="semicolon at the end"),
        pytest.param(MX, ("a.veilig.example", "b.veilig.example"), id="lowest preference first"),
        pytest.param(PLAIN + b";ntamx=10 A.Veilig.Example.", ("a.veilig.example",), id="case and dot of a host"),
        pytest.param(PLAIN + b";ntamx=10  a.veilig.example ", ("a.veilig.example",), id="more spaces"),
        pytest.param(PLAIN + b";ntamx:10 a.veilig.example", ("a.veilig.example",), id="the colon of one manual"),
        pytest.param(PLAIN + b";ntamx=1 192.0.2.1;ntamx=10 a.veilig.example", ("a.veilig.example",), id="IPv4 ignored"),
        pytest.param(
            PLAIN + b";ntamx=1 2001:db8::1;ntamx=2 a.veilig.example", ("a.veilig.example",), id="IPv6 ignored"
        ),
        pytest.param(PLAIN + b";ntamx=1 [192.0.2.1];ntamx=2 a.v.example", ("a.v.example",), id="literal ignored"),
        pytest.param(PLAIN + b";ntamx=1 mx;ntamx=10 a.veilig.example", ("a.veilig.example",), id="one label ignored"),
        pytest.param(PLAIN + b";ntamx=a.b.example;ntamx=10 a.v.example", ("a.v.example",), id="no preference ignored"),
        pytest.param(
            PLAIN + b";ntamx=65536 b.v.example;ntamx=10 a.v.example", ("a.v.example",), id="preference too big"
        ),
        pytest.param(PLAIN + b";ntamx=20 a.v.example;ntamx=10 a.v.example", ("a.v.example",), id="a host twice"),
        pytest.param(PLAIN + ";ntamx=10 zörg.example".encode(), ("xn--zrg-sna.example",), id="U-label"),
        pytest.param(b"V = nta7516-1 ; StartDate = 2026-03 ; ENDDATE=2027-02;Provider = x ", (), id="case and spaces"),
        pytest.param(b"v=NTA7516-1;provider=x;enddate=2027-02;startdate=2026-03", (), id="any order"),
        pytest.param(PLAIN + b";level=high;;x", (), id="unknown keys"),
    ],
)
def test_what_is_read(text: bytes, hosts: tuple[str, ...]) -> None:
    reading = read([b"v=spf1 mx -all", text, b"\xff\x00", b""])
    assert (reading.found, reading.record and reading.record.hosts) == (Found.ONE, hosts), reading.text
    assert reading.record is not None
    assert (reading.record.start, reading.record.end) == (date(2026, 3, 1), date(2027, 2, 28))


@pytest.mark.parametrize(
    ("texts", "found", "words"),
    [
        pytest.param([], Found.NONE, "no NTA 7516 record", id="nothing"),
        pytest.param([b"v=spf1 -all", b"x" * 65535], Found.NONE, "no NTA 7516 record", id="others only"),
        pytest.param([b"x;v=NTA7516-1"], Found.NONE, "no NTA 7516 record", id="v isn't first"),
        pytest.param([PLAIN, MX], Found.SEVERAL, "2 NTA 7516 records", id="two records"),
        pytest.param([PLAIN, b"v=NTA7516-1"], Found.SEVERAL, "2 NTA 7516 records", id="one of two is broken"),
        pytest.param([b"v=NTA7516-2;startdate=2026-03"], Found.NONE, "unknown version", id="a later version"),
        pytest.param(
            [b"v=NTA7516;version:2019-06;expire:2019-10;provider:x;ntamx:mx.x.example"],
            Found.OF_2019, "form of 2019", id="the form of 2019",
        ),
        pytest.param([b"v=NTA7516-1"], Found.INVALID, "no startdate and no enddate and no provider", id="only v"),
        pytest.param([PLAIN.replace(b"Veilig", b"")], Found.INVALID, "no provider", id="empty provider"),
        pytest.param([PLAIN.replace(b"Veilig", b"a\x00b")], Found.INVALID, "printed", id="NUL"),
        pytest.param([PLAIN.replace(b"Veilig", b"\xff")], Found.INVALID, "UTF-8", id="not UTF-8"),
        pytest.param([PLAIN.replace(b"2026-03", b"2026-3")], Found.INVALID, "a date", id="one digit"),
        pytest.param([PLAIN.replace(b"2026-03", b"2026-13")], Found.INVALID, "a date", id="month 13"),
        pytest.param([PLAIN.replace(b"2026-03", b"0000-01")], Found.INVALID, "a date", id="year 0"),
        pytest.param([PLAIN.replace(b"2026-03", b"2026-03-01")], Found.INVALID, "a date", id="a day"),
        pytest.param([PLAIN.replace(b"2026", "२०२६".encode())], Found.INVALID, "a date", id="other digits"),
        pytest.param([PLAIN.replace(b"2026-03", b"2027-03")], Found.INVALID, "ends before", id="ends before it starts"),
        pytest.param([PLAIN + b";startdate=2026-03"], Found.INVALID, "startdate twice", id="a key twice"),
        pytest.param([PLAIN + b";provider=y"], Found.INVALID, "provider twice", id="provider twice"),
        pytest.param([PLAIN + b";ntamx=10 192.0.2.1"], Found.INVALID, "none of its ntamx", id="only an address"),
        pytest.param([PLAIN + b";ntamx=10 mx"], Found.INVALID, "none of its ntamx", id="only a single label"),
        pytest.param([PLAIN + b";ntamx="], Found.INVALID, "none of its ntamx", id="empty ntamx"),
        pytest.param([PLAIN + b";ntamx"], Found.INVALID, "none of its ntamx", id="ntamx without a value"),
        pytest.param([PLAIN + b";ntamx=10 a.x.example b.x.example"], Found.INVALID, "none", id="two hosts in one"),
    ],
)  # fmt: skip
def test_what_counts_as_none(texts: list[bytes], found: Found, words: str) -> None:
    reading = read(texts)
    assert (reading.found, reading.record) == (found, None)
    assert words in reading.text


def test_the_2019_form_beside_a_record_of_today_changes_nothing() -> None:
    assert read([b"v=NTA7516;version:2019-06", PLAIN]).found is Found.ONE


def test_thousands_of_hosts_are_read() -> None:
    reading = read([PLAIN + b"".join(b";ntamx=%d mx%d.x.example" % (n, n) for n in range(3000, 0, -1))])
    assert reading.record is not None
    assert reading.record.hosts[:2] == ("mx1.x.example", "mx2.x.example")


def test_a_record_counts_whole_months_in_dutch_time() -> None:
    record = read([PLAIN]).record
    assert record is not None
    days = {
        datetime(2026, 2, 28, 22, 59, 59, tzinfo=UTC): False,
        datetime(2026, 2, 28, 23, 0, 0, tzinfo=UTC): True,  # 1 March, 00:00, in Amsterdam
        datetime(2027, 2, 28, 22, 59, 59, tzinfo=UTC): True,
        datetime(2027, 2, 28, 23, 0, 0, tzinfo=UTC): False,
    }
    assert {moment: record.valid_on(today(moment.timestamp())) for moment in days} == days


def test_the_last_month_of_all_ends() -> None:
    assert last_day("9999-12") == date.max


months = st.dates(date(1, 1, 1)).map(lambda day: day.strftime("%Y-%m").rjust(7, "0"))
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels.filter(lambda one: not one.startswith("xn--")), min_size=2, max_size=4).map(".".join)
mx = st.builds(NtaMx, st.integers(0, 65535), hosts)
providers = st.text(st.characters(blacklist_characters=";", blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)


@given(
    providers.map(str.strip).filter(lambda one: one and one.isprintable()),
    st.lists(months, min_size=2, max_size=2).map(sorted),
    st.lists(mx, max_size=9),
)
def test_what_is_written_is_read_again(provider: str, between: list[str], several: list[NtaMx]) -> None:
    chosen = tuple(sorted(several, key=lambda one: one.preference))
    record = NtaRecord(provider, first_day(between[0]), last_day(between[1]), chosen)
    assert read([str(record).encode()]).record == record


@given(st.binary())
def test_nothing_a_stranger_publishes_raises(octets: bytes) -> None:
    read([octets, b"v=NTA7516-1;" + octets])
    read([PLAIN + b";ntamx=" + octets])
