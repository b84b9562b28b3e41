"""What EDIFACT messages say to their reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayd.edi.model import (
    Code,
    Document,
    Fields,
    Flag,
    Heading,
    Identifier,
    Kind,
    Party,
    Patient,
    PersonName,
    Reading,
    Result,
    Results,
    Role,
    Severity,
    Status,
    Text,
    Unread,
)
from relayd.edi.names import labels
from relayd.edi.numbers import bsn
from relayd.edi.readers.edifact import read

UNB = b"UNB+UNOA:1+500000001+500000002+260901:1015+26090100000001'"


def sample(name: str) -> Reading:
    return read((Path(__file__).parent / "samples" / f"{name}.edi").read_bytes())


def message(kind: str, *segments: str, header: bytes = UNB) -> Document:
    body = "".join(f"{segment}'\r\n" for segment in (f"UNH+1+{kind}", *segments, f"UNT+{len(segments) + 2}+1"))
    (document,) = read(header + b"\r\n" + body.encode("iso-8859-1") + b"UNZ+1+26090100000001'\r\n").documents
    return document


def table(*segments: str) -> Results:
    (found,) = [block for block in message("MEDLAB:1", *segments).blocks if isinstance(block, Results)]
    return found


def row(*segments: str) -> Result:
    (found,) = table("DET:1+26:08:31+08:20", *segments).rows
    assert isinstance(found, Result)
    return found


def patient(pid: str, header: bytes = UNB) -> Patient:
    found = message("MEDVRI:1", pid, header=header).patient
    assert found is not None
    return found


# MEDVRI


def test_a_letter() -> None:
    reading = sample("medvri_full_latin1_crlf")
    (letter,) = reading.documents
    assert (letter.kind, letter.type, letter.version, letter.reference) == (Kind.LETTER, "MEDVRI", "1", "1")
    assert (letter.sender, letter.receiver, letter.dated) == ("500000001", "500000002", "2026-09-01T10:15")
    sender, receiver = letter.parties
    assert (sender.role, sender.name, sender.department) == (
        Role.SENDER,
        PersonName(written="F. Fysio"),
        "Fysiotherapie",
    )
    assert (receiver.role, receiver.organisation, receiver.telephones) == (
        *(Role.RECEIVER, "Huisartsenpraktijk Noord"),
        ("0387654321",),
    )
    (text,) = letter.blocks
    assert isinstance(text, Text)
    assert text.flowing
    assert text.lines[:4] == (
        "Geachte collega,",
        "",
        "Hierbij zend ik u het verslag van de behandeling van bovengenoemde",
        "patiënte.",
    )
    assert text.lines[6] == "Kosten: ± EUR 50 (zie factuur + bijlage): 'eigen risico'? Ja."
    assert reading.findings == letter.findings == ()


@pytest.mark.parametrize(
    "name",
    [
        *("medvri_full_latin1_cr_only", "medvri_full_one_line", "medvri_utf8_bom", "medvri_utf8_but_says_UNOA"),
        *("medvri_cp850", "medvri_no_unb_bare_message", "una_five_chars", "medvri_mail_footer_after_unz"),
    ],
)
def test_the_same_letter_in_other_clothes(name: str) -> None:
    (one,), (other,) = sample("medvri_full_latin1_crlf").documents, sample(name).documents
    assert [block.lines for block in other.blocks if isinstance(block, Text)] == [
        block.lines for block in one.blocks if isinstance(block, Text)
    ]
    assert other.parties == one.parties
    assert (other.patient, other.dated) == (one.patient, one.dated)


def test_a_footer_is_outside_of_the_letter() -> None:
    reading = sample("medvri_mail_footer_after_unz")
    (footer,) = reading.outside
    assert any(line.startswith("Disclaimer") for line in footer.lines)
    assert footer.place.line == 22


def test_separators_that_were_not_released_are_text() -> None:
    (text,) = message("MEDVRI:1", "TXT:1+Anamnese: pijn + koorts", "TXT:2+Beleid:", "TXT:3+oedeem 2+").blocks
    assert isinstance(text, Text)
    assert text.lines == ("Anamnese: pijn + koorts", "Beleid:", "oedeem 2+")


def test_a_test_message_says_so() -> None:
    header = b"UNB+UNOA:1+500000001+500000002+260901:1015+1++++++1'"
    assert message("MEDVRI:1", "TXT:1+x", header=header).test
    assert not message("MEDVRI:1", "TXT:1+x").test


# Who


@pytest.mark.parametrize(
    ("sex", "written", "name"),
    [
        (
            "V",
            "Dijk:van der:Peters:de:Miriam:M.",
            PersonName(
                own="Peters", own_prefix="de", partner="Dijk", partner_prefix="van der", given="Miriam", initials="M."
            ),
        ),
        ("V", "::Peters:de", PersonName(own="Peters", own_prefix="de")),
        ("V", "Peters:de", PersonName(own="Peters", own_prefix="de")),
        ("V", "Peters::Peters", PersonName(own="Peters")),
        ("M", "Dijk:van der:::Jan:J.", PersonName(own="Dijk", own_prefix="van der", given="Jan", initials="J.")),
        ("M", "Dijk:van der:Peters:de", PersonName("Dijk", "van der", "Peters", "de")),
        ("M", "::Dijk:van", PersonName(own="Dijk", own_prefix="van")),
        ("V", "", None),
    ],
)
def test_names_by_the_dutch_rules(sex: str, written: str, name: PersonName | None) -> None:
    assert patient(f"PID+1975:03:18+{sex}+{written}").name == name


def test_the_patient() -> None:
    found = patient("PID+1975:03:18+V+Jansen+4711+BSN999990019")
    assert (found.birth_date, found.sex, found.identifiers) == ("1975-03-18", "female", (bsn("999990019"),))
    assert [(pair.label, pair.value) for pair in found.others] == [("Sender's reference", "4711")]


@pytest.mark.parametrize(
    ("number", "identifiers", "others"),
    [
        ("BSN999990019", (Identifier("bsn", "999990019", True),), []),
        ("BSN 123456782", (Identifier("bsn", "123456782", True),), []),
        ("bsn11222333", (Identifier("bsn", "11222333", bsn("11222333").sound),), []),
        ("BSN123456789", (Identifier("bsn", "123456789", False),), []),
        ("A12345", (), ["A12345"]),
    ],
)
def test_citizen_numbers(number: str, identifiers: tuple[Identifier, ...], others: list[str]) -> None:
    found = patient(f"PID+1975:03:18+V+Jansen++{number}")
    assert found.identifiers == identifiers
    assert [pair.value for pair in found.others] == others


def test_a_citizen_number_in_the_place_of_a_reference() -> None:
    assert patient("PID+1975:03:18+V+Jansen+BSN999990019").identifiers == (bsn("999990019"),)


@pytest.mark.parametrize(
    ("number", "sound"),
    [("999990019", True), ("123456782", True), ("000000000", False), ("123456789", False), ("١٢٣٤٥٦٧٨٢", False)],
)
def test_the_check_of_a_citizen_number(number: str, sound: bool) -> None:
    assert bsn(number).sound is sound


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("1975:03:18", "1975-03-18"),
        ("1975:3:8", "1975-03-08"),
        ("19750318", "1975-03-18"),
        ("1975:00:00", "1975"),
        ("1975:03:00", "1975-03"),
        ("1975", "1975"),
        ("25:03:18", "2025-03-18"),
        ("27:03:18", "1927-03-18"),
        ("75:03:18", "1975-03-18"),
        ("1975:02:30", "1975:02:30"),
        ("onbekend", "onbekend"),
        ("", ""),
    ],
)
def test_birth_dates(written: str, date: str) -> None:
    assert patient(f"PID+{written}+V+Jansen").birth_date == date


@pytest.mark.parametrize(
    ("made", "written", "date"),
    [
        ("260901", "26:08:31+08:20", "2026-08-31T08:20"),
        ("260901", "98:08:31+08:20", "1998-08-31T08:20"),
        ("990105", "98:12:31+08:20", "1998-12-31T08:20"),
        ("991231", "00:01:01", "2000-01-01"),
        ("260901", "2026:08:31+0820", "2026-08-31T08:20"),
        ("260901", "26:13:31+08:20", "26:13:31 08:20"),
        ("260901", "26:08:31+25:20", "26:08:31 25:20"),
        ("260901", "26:08:31", "2026-08-31"),
    ],
)
def test_years_of_two_digits_are_near_the_interchange(made: str, written: str, date: str) -> None:
    header = f"UNB+UNOA:1+1+2+{made}:1015+1'".encode()
    assert message("MEDVRI:1", f"DET+{written}", "TXT:1+x", header=header).dated == date


# MEDLAB


def test_laboratory_results() -> None:
    (document,) = sample("medlab_full_latin1_crlf").documents
    assert document.kind is Kind.LABORATORY
    blood, urine = (block for block in document.blocks if isinstance(block, Results))
    assert (blood.title, blood.sampled, blood.specimen, blood.number, blood.complete) == (
        *("KLINISCHE CHEMIE", "2026-08-31T08:20", "bloed", "112233445"),
        True,
    )
    assert blood.notes == ("Nuchter afgenomen", "Bij vragen: bel klinisch chemicus, tst. 1234 + sein 5678")
    assert [row.text if isinstance(row, Heading) else row.name for row in blood.rows] == [
        *("NIERFUNCTIE", "Kreatinine", "eGFR CKD-EPI", "Kalium", "Natrium", "STOLLING", "PT-INR"),
        *("GENEESMIDDELSPIEGELS", "Lithium", "Vitamine D 25-OH"),
    ]
    creatinine, filtration = (row for row in blood.rows[1:3] if isinstance(row, Result))
    assert (creatinine.values, creatinine.unit, creatinine.low, creatinine.high) == (("142",), "µmol/l", "50", "90")
    assert (creatinine.flag, creatinine.codes) == (Flag.HIGH, (Code("KREAB", "nhg"),))
    assert filtration.flag is Flag.LOW
    assert filtration.notes == ("eGFR < 50: doorgeven aan de apotheek (art. 66a Geneesmiddelenwet)",)
    assert urine.complete is False
    assert urine.sampled == "2026-08-31T08:25"


def test_who_a_laboratory_writes_to() -> None:
    (document,) = sample("medlab_full_latin1_crlf").documents
    laboratory, requester, *contacts, copy = document.parties
    assert (laboratory.role, laboratory.organisation, laboratory.department) == (
        Role.LABORATORY,
        "Streeklab Noord",
        "Klinische Chemie en Hematologie",
    )
    assert (requester.role, requester.identifiers) == (Role.REQUESTER, (Identifier("agb", "010123"),))
    assert [contact.role for contact in contacts] == [Role.CONTACT, Role.CONTACT]
    assert (copy.role, copy.name) == (Role.COPY, PersonName(written="dr. E. Specialist"))


def test_a_value_too_long_for_its_field_is_in_the_remarks() -> None:
    found = row("BEP:1:1:1+0+Lithium+Zie onder++mmol/l", "OPB+*", "OPB+-----OPM-----", "OPB+0.9 mmol/l", "OPB+")
    assert found.values == ()
    assert found.artefacts == ("Zie onder", "*", "-----OPM-----")
    assert found.notes == ("0.9 mmol/l", "")


def test_zie_onder_without_a_remark_stays_the_value() -> None:
    assert row("BEP+0+Lithium+Zie onder").values == ("Zie onder",)


@pytest.mark.parametrize(
    ("written", "flag"),
    [
        ("<", Flag.LOW),
        (">", Flag.HIGH),
        ("L", Flag.LOW),
        ("HH", Flag.VERY_HIGH),
        ("N", Flag.NORMAL),
        ("*", Flag.ABNORMAL),
        ("??", Flag.OTHER),
        ("q", Flag.OTHER),
        ("", Flag.NONE),
    ],
)
def test_indications(written: str, flag: Flag) -> None:
    found = row(f"BEP:1:1:1+0+Kalium+5,6++mmol/l+{written}+3,5")
    assert found.flag is flag
    assert (found.values, found.low, found.high) == (("5,6",), "3,5", "")


def test_other_writers_mark_results_as_headings_and_count_nothing() -> None:
    found = table("DET+26:08:31+08:20", "IDE+C+123", "BEP+1+HEMATOLOGIE", "BEP+1+Hb+8.1++mmol/l+N+7.5+10.0+HB  B")
    assert found.complete
    heading, result = found.rows
    assert isinstance(heading, Heading)
    assert isinstance(result, Result)
    assert (result.values, result.flag) == (("8.1",), Flag.NORMAL)


def test_changed_and_still_to_come() -> None:
    found = table("DET+26:08:31", "BEP+0+Na+139+1+mmol/l", "BEP+0+K+4.0++mmol/l", "NUB+Vitamine D", "OPU+volgt")
    assert [row.status for row in found.rows if isinstance(row, Result)] == [
        *(Status.CORRECTED, Status.NONE, Status.PENDING)
    ]
    pending = found.rows[-1]
    assert isinstance(pending, Result)
    assert pending.notes == ("volgt",)


def test_a_remark_under_a_heading_is_a_line_of_its_own() -> None:
    found = table("DET+26:08:31", "BEP+1+KWEEK", "OPB+Geen groei")
    assert isinstance(found.rows[0], Heading)
    assert isinstance(found.rows[1], Result)
    assert (found.rows[1].name, found.rows[1].notes) == ("", ("Geen groei",))


def test_sections_are_headings_of_their_sample() -> None:
    found = table("DET+26:08:31", "SEC+CHEMIE", "BEP+0+Na+139", "SEC+HEMATOLOGIE", "BEP+0+Hb+8")
    assert found.title == "CHEMIE"
    assert [row.text if isinstance(row, Heading) else row.name for row in found.rows] == ["Na", "HEMATOLOGIE", "Hb"]


def test_a_segment_that_nobody_knows_stands_where_it_stood() -> None:
    blocks = message("MEDLAB:1", "DET+26:08:31", "BEP+0+Na+139", "QQQ:1+a:b+c", "BEP+0+K+4").blocks
    first, strange, last = blocks
    assert isinstance(first, Results)
    assert isinstance(last, Results)
    assert isinstance(strange, Unread)
    assert first.sampled == last.sampled == "2026-08-31"
    assert [(element.position, element.value) for element in strange.elements] == [
        *(("0.1", "1"), ("1.1", "a"), ("1.2", "b"), ("2", "c"))
    ]


def test_more_than_a_segment_should_hold_is_kept_with_it() -> None:
    assert [pair.value for pair in row("BEP+0+Na+139++mmol/l++135+145+NA+nieuw").others] == ["nieuw"]


# MEDSPE and MEDRAD


def test_a_specialists_letter() -> None:
    (letter,) = sample("medspe1_full").documents
    assert letter.kind is Kind.LETTER
    receiver, specialist, hospital, copy = letter.parties
    assert [party.role for party in letter.parties] == [Role.RECEIVER, Role.SENDER, Role.SENDER, Role.COPY]
    assert (specialist.speciality, hospital.department) == ("Cardiologie", "Polikliniek Cardiologie")
    assert receiver.name == PersonName(own="Huisarts", own_prefix="de", initials="A.B.", title="drs.")
    assert copy.name == PersonName(written="dr. H. Internist")
    assert [block.title for block in letter.blocks if isinstance(block, Text)] == ["", "Conclusion"]


def test_radiology() -> None:
    (document,) = sample("medrad1_full").documents
    assert (document.kind, document.dated) == (Kind.RADIOLOGY, "2026-09-01T11:30")
    assert [block.title for block in document.blocks if isinstance(block, Text)] == [
        *("Question", "Report", "Conclusion", "Addendum")
    ]
    (examination,) = (block for block in document.blocks if isinstance(block, Fields))
    assert [pair.value for pair in examination.pairs] == ["X-thorax", "8001"]


def test_a_letter_of_version_3() -> None:
    letter = message(
        "MEDSPE:3:911:IT:SPE31",
        "BGM+SPE:MF:ITN",
        "DTM+137:202608310000:203",
        "NAD+SEN+++Ziekenhuis Oost+Weg:1+Deventer++7400AA",
        "NAD+REC+01012345:CGP:VEK++Huisarts",
        'PID+PAT+4711:PCL:LOC+100:Jansen:J.:"":""',
        "DTM+BTH:19750318:102",
        'NAD+PAT++++Laan:2+Utrecht++3581CD+""',
        "FTX+GMR+1++Geachte collega?::.:Tekst",
        "FTX+GMR+1++.",
        "FTX+GMR+2++Einde",
    )
    assert (letter.kind, letter.dated) == (Kind.LETTER, "2026-08-31")
    sender, receiver = letter.parties
    assert (sender.role, sender.organisation, receiver.identifiers) == (
        *(Role.SENDER, "Ziekenhuis Oost"),
        (Identifier("agb", "01012345"),),
    )
    assert letter.patient
    assert letter.patient.name == PersonName(own="Jansen", initials="J.")
    assert letter.patient.birth_date == "1975-03-18"
    assert letter.patient.address
    assert letter.patient.address.city == "Utrecht"
    (text,) = letter.blocks
    assert isinstance(text, Text)
    assert text.lines == ("Geachte collega:", "", "Tekst", "", "Einde")


# MEDRPT


def test_a_dutch_laboratory_report() -> None:
    (document,) = sample("medrpt_mrpn32_full").documents
    assert (document.kind, document.dated) == (Kind.LABORATORY, "2026-09-01T10:15")
    assert [party.role for party in document.parties] == [*(Role.LABORATORY, Role.REQUESTER, Role.COPY, Role.INSURER)]
    laboratory, requester, _, insurer = document.parties
    assert (laboratory.department, laboratory.telephones) == ("Klinische chemie", ("0381112233",))
    assert requester.name == PersonName(own="Huisarts", own_prefix="de", initials="AB")
    assert requester.address
    assert (requester.address.street, requester.address.number, requester.address.city) == (
        "Dorpsstraat",
        "7 b",
        "Zwolle",
    )
    assert insurer.identifiers == (Identifier("uzovi", "0104"),)
    assert [(pair.label, pair.value) for pair in laboratory.others] == [("AGB of the practitioner", "01012345")]
    assert document.patient
    assert document.patient.name == PersonName("Peters", "de", "Dijk", "van der", "M")
    assert document.patient.identifiers == (bsn("999990019"),)
    assert (document.patient.birth_date, document.patient.sex) == ("1975-03-18", "female")
    (results,) = (block for block in document.blocks if isinstance(block, Results))
    assert (results.sampled, results.reported, results.number) == ("2026-08-31T08:20", "2026-09-01T10:00", "112233445")
    creatinine = results.rows[0]
    assert isinstance(creatinine, Result)
    assert (creatinine.name, creatinine.values, creatinine.unit) == ("Kreatinine", ("142",), "µmol/l")
    assert (creatinine.low, creatinine.high, creatinine.range) == ("50", "90", "")
    assert (creatinine.flag, creatinine.codes) == (Flag.HIGH, (Code("KREA", "nhg"),))
    assert len(creatinine.notes) == 2
    assert not [block for block in document.blocks if isinstance(block, Unread)]


def medrpt_result(*segments: str) -> Result:
    document = message("MEDRPT:0:1:RT:NHS003", "S16+16", "SPC+TSP", "S18+18", "INV+MQ+42T..:911::CRP", *segments)
    (row,) = (row for block in document.blocks if isinstance(block, Results) for row in block.rows)
    assert isinstance(row, Result)
    return row


@pytest.mark.parametrize(
    ("written", "values"),
    [("0.5:7", ("<0.5",)), ("90:6", (">90",)), ("90:5", (">=90",)), ("1:8", ("<=1",)), ("1:4", ("1",))],
)
def test_a_result_below_or_above_what_can_be_measured(written: str, values: tuple[str, ...]) -> None:
    assert medrpt_result(f"RSL+NV+{written}++:::mg/l").values == values


@pytest.mark.parametrize(
    ("written", "limits"), [("0,4 4.0", ("0,4", "4.0", "")), ("< 5", ("", "", "< 5")), ("neg", ("", "", "neg"))]
)
def test_a_range_of_two_numbers_is_two_limits(written: str, limits: tuple[str, str, str]) -> None:
    row = medrpt_result(f"RSL+NV+1+{written}+mg/l")
    assert (row.low, row.high, row.range) == limits


def test_a_result_keeps_its_limits_and_remarks_behind_what_isnt_known() -> None:
    row = medrpt_result(
        "RSL+NV+112++:::ng/l", "STS++CO", "RFF+ASL:1", "XYZ+1", "FTX+RIT+++Repeat", "S20+20", "RND+U+80+100"
    )
    assert (row.low, row.high, row.notes) == ("80", "100", ("Repeat",))
    assert [(pair.label, pair.value) for pair in row.others] == [("Status", "CO"), ("Reference", "ASL 1")]


def test_a_british_laboratory_report() -> None:
    document = message(
        "MEDRPT:0:1:RT:NHS003",
        "BGM+LSR",
        "DTM+137:202609011200:203",
        "S01+01",
        "NAD+MR+G3380314:900++Surgery",
        "S01+01",
        "NAD+SLA+++Hospital",
        "SPR+ORG",
        "S02+02",
        "GIS+N",
        "RFF+SRI:C97123456",
        "STS++UN",
        "DTM+ISR:202609011100:203",
        "S06+06",
        "S07+07",
        "PNA+PAT+9435492908:OPI+++SU:Smith+FO:Sarah+TI:Miss",
        "DTM+329:19450730:102",
        "PDI+2",
        "S16+16",
        "SEQ++1",
        "SPC+TSP+:::Blood",
        "S18+18",
        "INV+MQ+42T..:911::Serum B12",
        "RSL+NV+112++:::ng/l+LO",
        "FTX+RIT+++Repeat:in a month",
        "S20+20",
        "RND+U+170+1100",
    )
    assert document.patient
    assert document.patient.name == PersonName(own="Smith", given="Sarah", title="Miss")
    assert document.patient.identifiers == (Identifier("OPI", "9435492908"),)
    (results,) = (block for block in document.blocks if isinstance(block, Results))
    (result,) = results.rows
    assert isinstance(result, Result)
    assert (results.specimen, result.name, result.values, result.unit) == ("Blood", "Serum B12", ("112",), "ng/l")
    assert (result.low, result.high, result.flag, result.notes) == ("170", "1100", Flag.LOW, ("Repeat", "in a month"))


def test_an_austrian_letter_is_cut_anywhere() -> None:
    letter = message(
        "MEDRPT:1:901:UN",
        "BGM+020+++20180312++1318020152+19431103",
        "FTX+BFD++Befund\r\nOP des Knies medi:al",
        "FTX+BFD++ rechts?.\r\nEnde",
        "NAD+PAT++Muster:Franz::Gasse 16:+++Graz++8010",
    )
    assert (letter.kind, letter.dated) == (Kind.LETTER, "2018-03-12")
    (text,) = letter.blocks
    assert isinstance(text, Text)
    assert text.lines == ("Befund", "OP des Knies medial rechts.", "Ende")
    assert letter.patient
    assert letter.patient.name == PersonName(own="Muster", given="Franz")
    assert (letter.patient.birth_date, [pair.value for pair in letter.patient.others]) == ("1943-11-03", ["1318020152"])


def test_an_austrian_letter_with_a_segment_for_each_line() -> None:
    letter = message("MEDRPT:1:901:UN", "FTX+BFD++Diagnose:\r\n", "FTX+BFD++Knie\r\n")
    (text,) = letter.blocks
    assert isinstance(text, Text)
    assert text.lines[:2] == ("Diagnose:", "Knie")


# Anything else


def test_an_unknown_type_is_shown_by_the_names_of_its_parts() -> None:
    (document,) = sample("unknown_type_MEDXYZ").documents
    assert (document.kind, document.type) == (Kind.UNKNOWN, "MEDXYZ")
    assert document.parties[0].organisation == "Onbekend"
    assert [type(block) for block in document.blocks] == [Unread, Text]


def test_any_other_standard_message() -> None:
    document = message("ORDERS:D:96A:UN", "BGM+220+801", "FTX+AAI+++Line one:Line two", "FTX+AAI+++Line three", "LIN+1")
    header, subject, text, item = document.blocks
    assert isinstance(header, Unread)
    assert [(element.name, element.value) for element in header.elements] == [
        *(("Kind of message", "220"), ("Message number", "801"))
    ]
    assert isinstance(subject, Fields)
    assert isinstance(text, Text)
    assert text.lines == ("Line one", "Line two", "Line three")
    assert isinstance(item, Unread)


def test_a_message_whose_head_is_lost_is_read_by_its_segments() -> None:
    (document,) = read(b"GGA+F. Fysio'\r\nDET+26:09:01+10:15'\r\nTXT:1+Geachte'\r\nUNT+5+1'\r\n").documents
    assert document.dated == "2026-09-01T10:15"
    assert document.parties == (Party(Role.SENDER, PersonName(written="F. Fysio")),)
    assert Severity.ERROR in {finding.severity for finding in document.findings}


def test_several_messages_each_with_its_octets() -> None:
    data = (Path(__file__).parent / "samples" / "multi_message_3.edi").read_bytes()
    documents = read(data).documents
    assert [document.type for document in documents] == ["MEDVRI", "MEDLAB", "MEDRAD"]
    for document in documents:
        assert data[document.start : document.end].startswith(b"UNH+")
        assert data[document.start : document.end].endswith(b"'")
        assert b"UNT+" in data[document.start : document.end]


@pytest.mark.parametrize(
    "data", [b"", b"no EDIFACT at all", b"\0\xff", b"UNA", b"UNB+", b"'", b"<xml/>", b"MSH|^~\\&|"]
)
def test_what_is_none_is_shown_as_it_stands(data: bytes) -> None:
    reading = read(data)
    assert reading.documents == ()
    assert next(str(finding) for finding in reading.findings) == "There is no EDIFACT message"


def test_every_text_of_a_reader_can_be_translated() -> None:
    known = labels()
    for path in (Path(__file__).parent / "samples").glob("*.edi"):
        reading = read(path.read_bytes())
        for document in reading.documents:
            assert {finding.text for finding in document.findings} <= known
            for block in document.blocks:
                match block:
                    case Fields():
                        assert {pair.label for pair in block.pairs} | {block.title} <= known | {""}
                    case Text():
                        assert block.title in known | {""}
                    case Unread():
                        assert {element.name for element in block.elements} <= known | {""}
                    case _:
                        pass


@pytest.mark.parametrize(
    "segment", ["BLG+A", "COM+1:TE", "RFF+LZB:1", "DTM+ISO:2026:102", "PAD+Laan", "OPB+x", "DET+26:01:01"]
)
@pytest.mark.parametrize("kind", ["MEDLAB:1", "MEDRPT:D:93A:UN:MRPN32"])
def test_one_segment_without_end_is_no_burden(kind: str, segment: str) -> None:
    """Work grows with the number of segments, not with its square: the test's own time limit sees."""
    document = message(kind, "S06+1", *[segment] * 30_000)
    assert document.blocks or document.patient
