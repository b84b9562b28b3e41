"""What is shown of a message: everything of it, escaped, in the reader's language and order."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from relayd.edi.flowing import paragraphs
from relayd.edi.model import (
    Address,
    Code,
    Document,
    Element,
    Embedded,
    Fields,
    Finding,
    Flag,
    Format,
    Heading,
    Identifier,
    Kind,
    Pair,
    Party,
    Patient,
    PersonName,
    Place,
    Reading,
    Result,
    Results,
    Role,
    Severity,
    Status,
    Text,
    Unread,
)
from relayd.edi.people import full_name
from relayd.edi.rendering import OURS, Templates, html, text
from relayd.edi.words import LANGUAGES, words_of
from tests.edi.documents import EARLIER, LAB, LETTER, PATIENT, TABLE, UNKNOWN, reading
from tests.edi.everything import Page, missing, smuggled

texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "<script>alert(1)</script>", '" onload="x', "{{ 7*7 }}", "&amp;", "%(x)s", "\x00\x1b[2J", "\u202e"]
    ),
)
many = st.lists(texts, max_size=3).map(tuple)
places = st.builds(Place, st.integers(0, 9), st.integers(0, 9), texts, texts)
pairs = st.builds(Pair, texts, texts, places, texts)
names = st.builds(PersonName, texts, texts, texts, texts, texts, texts, texts, texts)
addresses = st.builds(Address, texts, texts, texts, texts, texts, texts, texts)
identifiers = st.builds(Identifier, st.one_of(st.sampled_from(["bsn", "agb"]), texts), texts, st.none() | st.booleans())
moments = st.one_of(texts, st.sampled_from(["1961", "1961-04", "2026-02-30", "2026-09-01T10:15:07.5+01:00"]))
findings = st.builds(
    Finding, st.sampled_from(Severity), st.just("No %(what)s here"), places, texts.map(lambda one: {"what": one})
)
parties = st.builds(
    Party,
    st.sampled_from(Role),
    st.none() | names,
    texts,
    texts,
    texts,
    st.none() | addresses,
    many,
    st.lists(identifiers, max_size=2).map(tuple),
    st.lists(pairs, max_size=2).map(tuple),
)
patients = st.builds(
    Patient,
    st.none() | names,
    moments,
    st.one_of(st.sampled_from(["male", "female"]), texts),
    st.lists(identifiers, max_size=2).map(tuple),
    st.none() | addresses,
    many,
    st.lists(pairs, max_size=2).map(tuple),
)
results = st.builds(
    Result,
    name=texts,
    values=many,
    unit=texts,
    low=texts,
    high=texts,
    range=texts,
    flag=st.sampled_from(Flag),
    flag_text=texts,
    status=st.sampled_from(Status),
    codes=st.lists(st.builds(Code, texts, texts, texts), max_size=2).map(tuple),
    notes=many,
    artefacts=many,
    observed=moments,
    others=st.lists(pairs, max_size=1).map(tuple),
)
tables = st.builds(
    Results,
    rows=st.lists(results | st.builds(Heading, texts), max_size=3).map(tuple),
    title=texts,
    sampled=moments,
    reported=moments,
    specimen=texts,
    number=texts,
    complete=st.none() | st.booleans(),
    status=st.sampled_from(Status),
    notes=many,
    others=st.lists(pairs, max_size=1).map(tuple),
)
unread = st.builds(
    Unread, texts, texts, st.lists(st.builds(Element, texts, texts, texts), max_size=2).map(tuple), texts, places
)
flowing = st.builds(Text, st.lists(texts, max_size=5).map(tuple), texts, st.booleans())
blocks = st.one_of(
    tables,
    unread,
    flowing,
    st.builds(Heading, texts),
    st.builds(Fields, st.lists(pairs, max_size=2).map(tuple), texts),
    st.builds(Embedded, texts, texts, st.none() | st.binary(max_size=9), texts, st.lists(pairs, max_size=1).map(tuple)),
)
documents = st.builds(
    Document,
    format=st.sampled_from(Format),
    kind=st.sampled_from(Kind),
    type=texts,
    version=texts,
    reference=texts,
    label=texts,
    dated=moments,
    sender=texts,
    receiver=texts,
    parties=st.lists(parties, max_size=3).map(tuple),
    patient=st.none() | patients,
    blocks=st.lists(blocks, max_size=4).map(tuple),
    status=st.sampled_from(Status),
    test=st.booleans(),
    findings=st.lists(findings, max_size=2).map(tuple),
    part=st.integers(1, 2),
    parts=st.integers(1, 2),
)
readings = st.builds(
    Reading,
    st.sampled_from(Format),
    st.lists(documents, max_size=2).map(tuple),
    texts,
    st.lists(findings, max_size=2).map(tuple),
    st.lists(flowing, max_size=1).map(tuple),
    st.lists(unread, max_size=1).map(tuple),
)


# Shrinking a whole document takes minutes and says little that the list of what is missing doesn't.
_unshrunk = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


@given(readings)
@_unshrunk
def test_everything_of_a_document_is_on_the_page_and_in_the_text_and_nothing_of_it_is_markup(read):
    page = Page(html(read, "en").html)
    assert missing(read, "".join(page.text)) == []
    assert smuggled(page) == set()
    assert missing(read, text(read, "en")) == []


@given(readings)
@settings(_unshrunk, max_examples=30)
def test_every_language_shows_any_document_and_steers_no_terminal(read):
    for language in LANGUAGES:
        assert html(read, language).html.encode()
        shown = text(read, language)
        assert not {"\x1b", "\x00", "\r", "\u202e"} & set(shown)


@pytest.mark.parametrize("document", [LAB, LETTER, UNKNOWN], ids=lambda one: one.type)
def test_ordinary_messages_are_whole(document):
    read = reading(document)
    page = Page(html(read, "en").html)
    assert missing(read, "".join(page.text)) == []
    assert missing(read, text(read, "en")) == []
    assert smuggled(page) == set()


def test_a_flag_is_a_word_and_a_symbol_and_a_colour():
    page = html(reading(LAB), "nl").html
    assert "↑ hoog" in page
    assert "↑↑ zeer hoog" in page
    assert "↓ laag" in page
    assert '<tr class="high ' in page
    assert '<tr class="low ' in page
    microbes = Results(
        (Result("Amoxicilline", (">8",), flag=Flag.RESISTANT), Result("Ceftriaxon", flag=Flag.SUSCEPTIBLE))
    )
    page = html(reading(replace(LAB, blocks=(microbes,))), "nl").html
    assert "R resistent" in page
    assert "S gevoelig" in page


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [("3", "5", "3 – 5"), ("3", "", "vanaf 3"), ("", "5", "tot 5"), ("", "<10", "<10"), (">60", "", ">60")],
)
def test_reference_values(low, high, shown):
    page = html(reading(replace(LAB, blocks=(Results((Result("CRP", ("8",), low=low, high=high),)),))), "nl").html
    assert f"<td>{escape(shown)}</td>" in page


def test_an_address_for_e_mail_is_no_telephone():
    shown = text(reading(replace(LAB, patient=replace(PATIENT, telephones=("0612345678", "m@clinic.example")))), "nl")
    assert "Telefoon: 0612345678" in shown
    assert "E-mail: m@clinic.example" in shown


def test_what_changed_what_is_still_to_come_and_what_no_longer_holds_is_marked():
    shown = text(reading(LAB), "nl")
    for mark in ("[gewijzigd]", "[volgt nog]", "[voorlopig]", "[vervallen]"):
        assert mark in shown
    assert "Er volgen nog uitslagen" in shown


def test_patient_sender_and_receiver_come_before_the_results_and_an_orders_numbers_after_them():
    shown = text(reading(LAB), "nl")
    positions = [
        shown.index(one) for one in ("M. van der Dijk", "Van: Streeklab", "Aan: drs. A.B.", "142 µmol/l", "ZD2020")
    ]
    assert positions == sorted(positions)


def test_a_wrong_bsn_is_shown_with_its_verdict():
    patient = replace(PATIENT, identifiers=(Identifier("bsn", "999990018", False),))
    shown = text(reading(replace(LAB, patient=patient)), "nl")
    assert "BSN: 999990018 (geen geldig nummer)" in shown
    assert "BSN: 999990019 (geldig nummer)" in text(reading(LAB), "nl")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (PersonName(own="Peters", own_prefix="de", partner="Dijk", partner_prefix="van der", initials="M."),
         "M. van der Dijk - de Peters"),
        (PersonName(own="Dijk", own_prefix="van der", initials="J.P.", given="Jan"), "J.P. van der Dijk (Jan)"),
        (PersonName(partner="Dijk", given="Miriam"), "Dijk (Miriam)"),
        (PersonName(given="Miriam"), "Miriam"),
        (PersonName(own="Hart", title="dr."), "dr. Hart"),
        (PersonName(written="dr. G. Hart"), "dr. G. Hart"),
        (PersonName(own="Hart", written="Hart"), "Hart"),
        # HL7 has the order of the surnames in the whole one.
        (PersonName(own="Dijk", own_prefix="van der", partner="Peters", initials="M", written="van der Dijk - Peters"),
         "M van der Dijk - Peters"),
        (PersonName(own="Hart", written="HART, G"), "Hart [HART, G]"),
        (PersonName(), ""),
    ],
)  # fmt: skip
def test_names(name, shown):
    assert full_name(name) == shown


@pytest.mark.parametrize(
    ("iso", "dutch", "english"),
    [
        ("1961", "1961", "1961"),
        ("1961-04", "april 1961", "April 1961"),
        ("1961-04-02", "2 april 1961", "2 April 1961"),
        ("2026-08-31T08:20", "31 augustus 2026, 08:20", "31 August 2026, 08:20"),
        ("2026-08-31T08:20:00", "31 augustus 2026, 08:20", "31 August 2026, 08:20"),
        ("2026-08-31T08:20:07.5", "31 augustus 2026, 08:20:07.5", "31 August 2026, 08:20:07.5"),
        # A Dutch sender's zone says nothing to a Dutch reader, unless the time isn't Dutch.
        ("2026-08-31T08:20:00+02:00", "31 augustus 2026, 08:20", "31 August 2026, 08:20"),
        ("2026-08-31T08:20+0000", "31 augustus 2026, 08:20 (+0000)", "31 August 2026, 08:20 (+0000)"),
        ("2026-08-31T08:20Z", "31 augustus 2026, 08:20 (Z)", "31 August 2026, 08:20 (Z)"),
        ("2026-08-31T24:61", "2026-08-31T24:61", "2026-08-31T24:61"),
        ("2026-02-30", "2026-02-30", "2026-02-30"),
        ("0000-01-01", "0000-01-01", "0000-01-01"),
        ("vorige week", "vorige week", "vorige week"),
        ("", "", ""),
    ],
)
def test_dates(iso, dutch, english):
    assert (words_of("nl").moment(iso), words_of("en").moment(iso)) == (dutch, english)


def flowed(lines):
    return [one.text for one in paragraphs(lines, flowing=True)]


def test_a_senders_line_length_isnt_the_authors():
    assert flowed(LETTER.blocks[0].lines) == [
        "Geachte collega,",
        "",
        "Hierbij zend ik u het verslag van de behandeling van bovengenoemde patiënt, die ik zag op verzoek van de "
        "huisarts. De klachten zijn na zes behandelingen verminderd.",
        "",
        "Medicatie:",
        "- naproxen 500 mg, twee maal daags",
        "- paracetamol zo nodig",
        "",
        "Met vriendelijke groet,",
        "F. Fysio",
    ]


def test_a_line_that_fills_its_field_keeps_its_end_since_it_may_be_cut_in_a_number():
    full = "x" * 60 + " dosis: 15"
    assert len(full) == 70
    assert flowed([full, "0 mg per dag"]) == [full, "0 mg per dag"]


def test_a_table_by_spaces_keeps_its_columns_and_the_text_around_it_flows():
    lines = [*LETTER.blocks[0].lines[2:5], "", "TRI     94,00    mg/dl", "HDL     72,50    mg/dl"]
    said = list(paragraphs(lines, flowing=True))
    assert [one.columns for one in said] == [False, False, True]
    assert said[-1].text == "TRI     94,00    mg/dl\nHDL     72,50    mg/dl"


@given(st.lists(st.text(alphabet="ab -:1.\t\n", max_size=90), max_size=8))
def test_joining_loses_no_text(lines):
    assert "".join(" ".join(flowed(lines)).split()) == "".join(" ".join(lines).split())


def test_the_same_determinations_of_several_moments_stand_beside_each_other_newest_first():
    shown = text(reading(LAB), "nl").split("Verloop in de tijd\n")[1].split("\n\n")[0].splitlines()
    assert re.split(" {2,}", shown[0])[1:] == ["31 augustus 2026, 08:20", "12 mei 2026, 08:05"]
    assert shown[2].split() == ["Kreatinine", "(µmol/l)", "142", "↑", "128", "↑"]
    assert shown[3].split() == ["Kalium", "(mmol/l)", "5.6", "↑↑", "4.4"]


def test_values_of_another_unit_or_of_one_moment_are_no_history():
    other = replace(EARLIER, rows=(replace(EARLIER.rows[0], unit="mg/dl"),))
    for tables in ((TABLE,), (TABLE, other), (TABLE, replace(TABLE, title="URINE"))):
        assert "Verloop in de tijd" not in text(reading(replace(LAB, blocks=tables)), "nl")


def test_segments_that_have_no_place_follow_the_results_but_are_a_message_of_unknown_type_itself():
    shown = text(reading(LAB), "en")
    assert shown.index("Verslag.pdf") < shown.index("iets eigens") < shown.index("Message type")
    assert html(reading(UNKNOWN), "en").html.count("Other data") == 0


def test_a_field_that_cant_be_decoded_doesnt_fill_the_page_with_its_megabytes():
    broken = Embedded("Scan", "image/tiff", None, "A" * 2_000_000)
    page = html(reading(replace(LETTER, blocks=(broken,))), "en").html
    assert len(page) < 40_000
    assert "1990000 more characters stand in the original" in page


def test_an_organisations_own_template_takes_the_place_of_ours(tmp_path):
    (tmp_path / "message.html").write_text("<p>{{ _('Patient') }}: {{ reading.documents[0].patient.name }}</p>")
    templates = Templates(tmp_path)
    document = replace(LAB, patient=replace(PATIENT, name=PersonName(written="<b>Jansen</b>")))
    page = html(reading(document), "nl", templates)
    assert page.html == "<p>Patiënt: &lt;b&gt;Jansen&lt;/b&gt;</p>"
    assert page.findings == ()
    assert templates.version != OURS.version


def test_an_own_style_sheet_alone_goes_into_our_page(tmp_path):
    (tmp_path / "style.css").write_text("h1 { color: purple }")
    page = html(reading(LAB), "nl", Templates(tmp_path)).html
    assert "h1 { color: purple }" in page
    assert "142" in page


@pytest.mark.parametrize(
    "source",
    [
        "{% if %}",
        "{{ nothing.at.all }}",
        "{% include 'other.html' %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ reading.documents[0].__init__.__globals__ }}",
        "{% for n in range(10000000) %}{{ n }}{% endfor %}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_that_cant_be_used_costs_nobody_a_message(tmp_path, source):
    (tmp_path / "message.html").write_text(source)
    page = html(reading(LAB), "nl", Templates(tmp_path))
    assert page.html == html(reading(LAB), "nl").html
    (finding,) = page.findings
    assert finding.severity is Severity.WARNING
    assert "Miriam" not in str(finding)


def test_an_unknown_language_is_english():
    assert html(reading(LAB), "fr").html == html(reading(LAB), "en").html
