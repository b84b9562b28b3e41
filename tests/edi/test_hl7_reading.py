"""What HL7 messages mean: patients, results, orders, letters, documents; and what senders do to them."""

from __future__ import annotations

import base64

import pytest

from relayd.edi.model import (
    Address,
    Code,
    Document,
    Embedded,
    Fields,
    Flag,
    Heading,
    Identifier,
    Kind,
    PersonName,
    Result,
    Results,
    Role,
    Severity,
    Status,
    Text,
    Unread,
)
from relayd.edi.names_hl7 import SEGMENTS, labels, name_of
from relayd.edi.readers.hl7 import check, read
from tests.kit.hl7 import PID, message, sample


def only(data: bytes) -> Document:
    (document,) = read(data).documents
    return document


def results(document: Document) -> list[Results]:
    return [block for block in document.blocks if isinstance(block, Results)]


def rows(document: Document) -> list[Result]:
    return [row for table in results(document) for row in table.rows if isinstance(row, Result)]


def said(document: Document) -> list[str]:
    return [str(finding) for finding in document.findings]


def pairs(block: Fields | Results | Embedded | Result) -> dict[str, str]:
    return {pair.label: pair.value for pair in (block.pairs if isinstance(block, Fields) else block.others)}


def observation(written: str) -> Result:
    (row,) = rows(only(message(PID, "OBR|1|A|B|X^Test^L", written)))
    return row


OUL = [
    *("oul_r22_lab2lab_latin1.hl7", "oul_r22_crlf.hl7", "oul_r22_lf_only.hl7", "oul_r22_utf8.hl7"),
    *("oul_r22_utf8_but_msh18_says_8859_1.hl7", "oul_r22_orc_before_obr_spm_last.hl7"),
    "oul_r22_trailing_lone_backslash.hl7",
]


@pytest.mark.parametrize("name", OUL)
def test_a_lab2lab_result_says_the_same_however_it_is_written(name: str) -> None:
    document = only(sample(name))
    assert (document.kind, document.type, document.version) == (Kind.LABORATORY, "OUL^R22", "2.5")
    assert (document.reference, document.sender, document.receiver) == ("MSG00002", "LIS^LABZUID", "GLIMS^LABNOORD")
    assert document.dated == "2026-09-01T10:15:00+02:00"
    patient = document.patient
    assert patient is not None
    assert patient.identifiers == (Identifier("bsn", "999990019", True), Identifier("LABNOORD PI", "12345678"))
    assert patient.name == PersonName("Dijk", "van der", "Peters", "de", "M", written="van der Dijk - de Peters")
    assert (patient.birth_date, patient.sex, patient.telephones) == ("1975-03-18", "female", ("0612345678",))
    assert patient.address == Address("Lindelaan", "27 a", postcode="3581CD", city="UTRECHT", country="NL")
    (requester,) = document.parties
    assert (requester.role, requester.identifiers) == (Role.REQUESTER, (Identifier("agb", "01012345"),))
    (table,) = results(document)
    assert (table.title, table.specimen, table.sampled) == ("Lithium", "Serum specimen", "2026-08-31T08:20:00+02:00")
    assert (table.number, table.reported) == ("Z26-4711 LABZUID", "2026-09-01T09:45:00+02:00")
    assert len(table.notes) == 1
    lithium, inr, coli, conclusion, remark = rows(document)
    assert (lithium.values, lithium.unit, lithium.low, lithium.high) == (("0.9",), "mmol/L", "0.6", "0.8")
    assert (lithium.flag, lithium.status, lithium.codes) == (Flag.HIGH, Status.FINAL, (Code("14334-7", "loinc"),))
    expected = ("Dalspiegel 12 uur", "Herhalen over 1 week: & overleg met behandelaar | apotheek")
    assert lithium.notes == expected
    assert (inr.values, inr.unit) == (("<1.0",), "{INR}")
    assert (coli.values, coli.status) == (("Escherichia coli",), Status.CORRECTED)
    assert pairs(coli) == {"Code of the value": "SNOMED CT 112283007"}
    assert conclusion.values[0].startswith("Regel een\nRegel twee vet en 2 \\ backslash, patiënt, ")
    assert (remark.values, remark.status) == (("herhaling 1", "herhaling 2", '""'), Status.NOT_DONE)
    (pdf,) = (block for block in document.blocks if isinstance(block, Embedded))
    assert (pdf.name, pdf.media_type) == ("Verslag", "application/pdf")
    assert pdf.data is not None
    assert pdf.data.startswith(b"%PDF-1.4")


def test_an_order_is_shown_with_its_numbers_in_words() -> None:
    document = only(sample("oml_o21_lab2lab_latin1.hl7"))
    assert document.kind is Kind.ORDER
    order = next(block for block in document.blocks if isinstance(block, Fields) and block.title == "Order")
    assert order.pairs[0].value == "Lithium [Moles/volume] in Serum or Plasma"
    assert pairs(order)["Placer's order number"] == "LN0001-1 LABNOORD"
    words = {pair.label: pair.meaning for pair in order.pairs if pair.meaning}
    assert words == {"Order control": "New order", "Priority": "Routine", "Available": "Yes"}
    assert rows(document)[0].values == ("Pat. gebruikt lithium\nLaatste inname 30-08 20:00 uur",)


def test_an_acknowledgement_says_what_was_wrong() -> None:
    document = only(sample("ack_ae.hl7"))
    assert document.kind is Kind.ACKNOWLEDGEMENT
    answer, error = (block for block in document.blocks if isinstance(block, Fields))
    assert (answer.pairs[0].value, answer.pairs[0].meaning) == ("AE", "Error in the message")
    assert pairs(error)["Diagnosis"] == "Onbekende bepaling"


def test_a_batch_has_each_message_and_its_envelope() -> None:
    reading = read(sample("batch_fhs_bhs.hl7"))
    assert [document.reference for document in reading.documents] == ["MSG00001", "MSG00002"]
    assert [segment.tag for segment in reading.envelope] == ["FHS", "BHS", "BTS", "FTS"]
    assert not reading.findings
    (finding,) = read(sample("batch_fhs_bhs.hl7").replace(b"BTS|2", b"BTS|3")).findings
    assert str(finding) == "The batch says that it has 3 messages; it has 2"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Jansen^J", PersonName("Jansen", initials="J")),
        ("Jansen&&Jansen^Piet^P.J.^^dr.", PersonName("Jansen", initials="P.J.", given="Piet", title="dr.")),
        ("de Vries&de&Vries^Annemarie", PersonName("Vries", "de", given="Annemarie")),
        ("Vries, de&de&Vries^A.B.", PersonName("Vries", "de", initials="A.B.")),
        ("de Vries&de^A.B.", PersonName("Vries", "de", initials="A.B.")),
        ("Smit - Bakker&&Bakker&&Smit^A", PersonName("Bakker", partner="Smit", initials="A")),
        ("Bakker-Smit&&Bakker&&Smit^A", PersonName("Bakker", partner="Smit", initials="A", written="Bakker-Smit")),
        ('""', None),
    ],
)
def test_dutch_names(written: str, name: PersonName | None) -> None:
    patient = only(message(f"PID|1||1||{written}")).patient
    assert patient is not None
    assert patient.name == name


@pytest.mark.parametrize(
    ("written", "identifier"),
    [
        ("999990019^^^NLMINBIZA^NNNLD", Identifier("bsn", "999990019", True)),
        ("999990018^^^NLMINBIZA^NNNLD", Identifier("bsn", "999990018", False)),
        ("999990019^^^&2.16.840.1.113883.2.4.6.3&ISO", Identifier("bsn", "999990019", True)),
        ("0123^^^VEKTIS^UZOVI", Identifier("uzovi", "0123")),
        ("23-000058^^^^PI", Identifier("PI", "23-000058")),
        ("4711", Identifier("", "4711")),
    ],
)
def test_identifiers_have_their_issuer(written: str, identifier: Identifier) -> None:
    document = only(message(f"PID|1||{written}||Jansen"))
    assert document.patient is not None
    assert document.patient.identifiers == (identifier,)
    assert ("A BSN doesn't pass its check" in said(document)) is (identifier.sound is False)


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("OBX|1|NM|x||0.90", ("0.90",)),
        ("OBX|1|NM|x|| 7,3 ", (" 7,3 ",)),
        ("OBX|1|SN|x||>^60", (">60",)),
        ("OBX|1|SN|x||^1^:^128", ("1:128",)),
        ("OBX|1|SN|x||^2^+", ("2+",)),
        ("OBX|1|CWE|x||^positief", ("positief",)),
        ("OBX|1|CE|x||POS^positief^99LAB~NEG^negatief^99LAB", ("positief", "negatief")),
        ("OBX|1|ST|x||a^b & c", ("a^b & c",)),
        ("OBX|1|DT|x||20260901", ("2026-09-01",)),
        ("OBX|1|TM|x||1015", ("10:15",)),
        ("OBX|1|TS|x||20260901101500.25+0200", ("2026-09-01T10:15:00.25+02:00",)),
        ("OBX|1|DT|x||eind augustus", ("eind augustus",)),
        ("OBX|1|NR|x||1^2", ("1 - 2",)),
        ("OBX|1||x||zonder type", ("zonder type",)),
        ("OBX|1|NM|x||||||||I", ()),
    ],
)
def test_values_are_copied_by_their_type(written: str, values: tuple[str, ...]) -> None:
    assert observation(written).values == values


@pytest.mark.parametrize(
    ("range", "limits"),
    [
        ("0.6-0.8", ("0.6", "0.8", "")), ("3,5 - 5,0", ("3,5", "5,0", "")), ("-2.0--1.0", ("-2.0", "-1.0", "")),
        ("<5", ("", "", "<5")), ("negatief", ("", "", "negatief")),
    ],
)  # fmt: skip
def test_a_reference_range_is_two_limits_or_text(range: str, limits: tuple[str, str, str]) -> None:
    row = observation(f"OBX|1|NM|x||1|g/l|{range}")
    assert (row.low, row.high, row.range) == limits


@pytest.mark.parametrize(
    ("written", "flag", "text"),
    [
        ("H", Flag.HIGH, ""), ("LL", Flag.VERY_LOW, ""), ("N~A", Flag.ABNORMAL, "N"), ("R", Flag.RESISTANT, ""),
        ("H^High^HL70078", Flag.HIGH, "High"), ("L^Below low normal^HL70078~A", Flag.LOW, "Below low normal A"),
        ("I^Intermediate", Flag.OTHER, "I Intermediate"), ("", Flag.NONE, ""),
    ],
)  # fmt: skip
def test_flags_are_the_senders_word(written: str, flag: Flag, text: str) -> None:
    row = observation(f"OBX|1|NM|x||1|g/l|0-1|{written}")
    assert (row.flag, row.flag_text) == (flag, text)


def test_a_result_has_all_that_its_segment_says() -> None:
    row = observation(
        "OBX|1|NM|718-7^Hemoglobin^LN^HB^Hemoglobine^99LAB|2|8,1|mmol/L^^UCUM|||||W|||20260901|LAB1||M1^Sysmex^99LAB"
    )
    assert row.codes == (Code("718-7", "loinc"), Code("HB", "99LAB", "Hemoglobine"))
    assert (row.unit, row.status, row.observed) == ("mmol/L", Status.CORRECTED, "2026-09-01")
    assert pairs(row) == {
        "Sub-number": "2", "Result status": "W", "Producer": "LAB1", "Method": "Sysmex (99LAB M1)",
    }  # fmt: skip


def test_lines_of_one_text_are_one_result() -> None:
    document = only(
        message(
            PID, "OBR|1|||X^Kweek", *(f"OBX|{n}|TX|U^Uitslag|{n}|regel {n}||||||F" for n in (1, 2, 3)), "NTE|1||noot"
        )
    )
    (row,) = rows(document)
    assert (row.values, row.notes) == (("regel 1", "regel 2", "regel 3"), ("noot",))


def test_a_name_alone_is_a_heading() -> None:
    document = only(
        message(PID, "OBR|1|||X^Panel", "OBX|1|ST|^Hematologie||||||||F", "OBX|2|NM|HB^Hb||8,1", "OBX|3|ST|L^Lipase")
    )
    (table,) = results(document)
    assert [type(row) for row in table.rows] == [Heading, Result, Result]


def test_a_specimen_of_older_versions_is_in_the_request() -> None:
    (table,) = results(only(message(PID, "OBR|1|||K^Kweek|||20260901||||||||URI&Urine", "OBX|1|ST|K||negatief")))
    assert table.specimen == "URI Urine"
    assert "Specimen" not in pairs(table)


def test_a_type_written_as_its_structure_is_known() -> None:
    assert only(message(PID, "OBR|1|||K", "OBX|1|NM|K||4", type="ORU_R01")).kind is Kind.LABORATORY


def test_orders_of_one_test_each_are_one_table() -> None:
    segments = ["SPM|1|S1||SER^Serum"]
    for number, test in enumerate(("Kalium", "Natrium", "Kreatinine"), 1):
        segments += [
            f"OBR|{number}|P{number}|F{number}|{test[:2]}^{test}^99LAB|||20260901",
            f"ORC|RE|P{number}|F{number}|GROUP",
            f"OBX|1|NM|{test[:2]}^{test}^99LAB||{number}|mmol/L|||||F",
        ]
    document = only(message(PID, *segments, type="OUL^R22^OUL_R22"))
    (table,) = results(document)
    assert [row.name for row in rows(document)] == ["Kalium", "Natrium", "Kreatinine"]
    assert (table.specimen, table.sampled, pairs(table)["Placer's group number"]) == ("Serum", "2026-09-01", "GROUP")
    assert [pairs(row)["Placer's order number"] for row in rows(document)] == ["P1", "P2", "P3"]


def test_orders_at_different_times_are_different_tables() -> None:
    one, two = (
        ["OBR|1|A|A|K^Kalium|||20260901", "OBX|1|NM|K^Kalium||4"],
        ["OBR|2|B|B|K^Kalium|||20260801", "OBX|1|NM|K^Kalium||5"],
    )
    assert [table.sampled for table in results(only(message(PID, *one, *two)))] == ["2026-09-01", "2026-08-01"]


ONE = ("OBR|1|A||K^Kalium", "OBX|1|NM|K^Kalium||4")
TWO = ("OBR|2|B||N^Natrium", "OBX|1|NM|N^Natrium||140")


@pytest.mark.parametrize(
    "segments",
    [
        ["ORC|RE|A", *ONE, "ORC|RE|B", *TWO],
        [ONE[0], "ORC|RE|A", ONE[1], TWO[0], "ORC|RE|B", TWO[1]],
        ["ORC|RE|A", "ORC|RE|B", *ONE, *TWO],
        [*ONE, "ORC|RE|A", *TWO, "ORC|RE|B"],
    ],
)  # fmt: skip
def test_an_order_finds_its_request_and_results(segments: list[str]) -> None:
    document = only(message(PID, *segments))
    found = {row.name: row.values for row in rows(document)}
    assert found == {"Kalium": ("4",), "Natrium": ("140",)}
    numbers = [row.others for row in rows(document)]
    assert [[pair.value for pair in each if pair.label == "Placer's order number"] for each in numbers] == [
        ["A"],
        ["B"],
    ]


def test_a_request_without_results_is_still_to_come() -> None:
    (row,) = rows(only(message(PID, "OBR|1|A|B|K^Kalium^99LAB|||||||||||||||||||||I")))
    assert (row.name, row.values, row.status) == ("Kalium", (), Status.PENDING)


def test_several_patients_are_several_documents() -> None:
    data = message(
        "PID|1||1^^^X||Een", "OBR|1|||K^Kalium", "OBX|1|NM|K||4",
        "PID|2||2^^^X||Twee", "NTE|1||nuchter", "OBR|1|||K", "OBX|1|NM|K||5",
    )  # fmt: skip
    one, two = read(data).documents
    assert [
        (each.part, each.parts, each.patient.name.own) for each in (one, two) if each.patient and each.patient.name
    ] == [
        (1, 2, "Een"),
        (2, 2, "Twee"),
    ]
    assert (rows(one)[0].values, rows(two)[0].values) == (("4",), ("5",))
    assert [block.lines for block in two.blocks if isinstance(block, Text)] == [("nuchter",)]


def test_unknown_segments_stay_in_their_place() -> None:
    document = only(message(PID, "OBR|1|||X^Panel", "OBX|1|NM|K||4", "ZXY|1|a^b~c", "OBX|2|NM|N||140"))
    kinds = [type(block).__name__ for block in document.blocks]
    assert kinds[:3] == ["Results", "Unread", "Results"]
    unread = document.blocks[1]
    assert isinstance(unread, Unread)
    assert [(each.position, each.value) for each in unread.elements] == [
        ("1", "1"),
        ("2[1].1", "a"),
        ("2[1].2", "b"),
        ("2[2]", "c"),
    ]


def test_a_type_that_is_not_known_has_its_names() -> None:
    document = only(message(PID, "SCH|1|P1", "AIS|1||MRI^MRI knie^99|202609011015", "TQ1|1", type="SIU^S12"))
    assert (document.kind, document.type) == (Kind.UNKNOWN, "SIU^S12")
    schedule, service, *_ = (block for block in document.blocks if isinstance(block, Fields))
    assert (schedule.title, service.title) == ("Schedule", "Service appointment")
    assert pairs(service) == {"Service": "MRI knie (99 MRI)", "Start": "2026-09-01T10:15"}


def test_a_letter_is_text_under_its_heading() -> None:
    document = only(
        message(
            "EVN|T02|20260901", PID, "PV1|1|O|POLI^2^1||||03012345^Bakker^C.^^^^^^VEKTIS",
            "TXA|1|DS|FT|20260901||||||||D1|||||AU", "OBX|1|TX|ANAM^Anamnese||Regel 1~Regel 2||||||F",
            "OBX|2|TX|CONC^Conclusie||Goed.\\.br\\Retour.||||||F", type="MDM^T02",
        )
    )  # fmt: skip
    assert (document.kind, document.status) == (Kind.LETTER, Status.FINAL)
    assert [block.text for block in document.blocks if isinstance(block, Heading)] == ["Anamnese", "Conclusie"]
    texts = [block.lines for block in document.blocks if isinstance(block, Text)]
    assert texts == [("Regel 1", "Regel 2"), ("Goed.", "Retour.")]
    assert [(party.role, party.identifiers) for party in document.parties] == [
        (Role.PRACTITIONER, (Identifier("agb", "03012345"),))
    ]


def test_results_of_a_department_that_makes_pictures_are_radiology() -> None:
    request = "OBR|1|A|B|TH^X-thorax|||20260901|||||||||||||||||RAD|F"
    document = only(message(PID, request, "OBX|1|FT|V^Verslag||Geen afwijkingen.||||||F"))
    assert document.kind is Kind.RADIOLOGY
    assert not results(document)
    assert ("Result status", "F", "final") in [
        (pair.label, pair.value, pair.meaning)
        for block in document.blocks
        if isinstance(block, Fields)
        for pair in block.pairs
    ]


def test_a_patients_message_has_his_visit_insurer_and_relatives() -> None:
    document = only(
        message(
            "EVN|A08|20260901", f"{PID}||||||||||||||||||||||||Y|NNNLD", "PD1||||01012345^de Huisarts^^^^^^^VEKTIS",
            "NK1|1|Jansen^K.|SPO^Partner^99|Dorp 1&Dorp&1^^UTRECHT|0301234567", "PV1|1|I|A^2^1",
            'AL1|1|DA^Medicatie|PEN^Penicilline|SV|""', "IN1|1|1|3343^^^VEKTIS^UZOVI|Zorg Ja", type="ADT^A08",
        )
    )  # fmt: skip
    assert document.kind is Kind.PATIENT
    parties = {party.role: party for party in document.parties}
    assert parties[Role.INSURER].identifiers == (Identifier("uzovi", "3343"),)
    assert parties[Role.CONTACT].telephones == ("0301234567",)
    assert parties[Role.PRACTITIONER].name == PersonName("de Huisarts")
    titles = [block.title for block in document.blocks if isinstance(block, Fields)]
    assert titles == ["Event", "Visit", "Allergy"]
    event, _, allergy = (block for block in document.blocks if isinstance(block, Fields))
    assert [pair.meaning for pair in (*event.pairs[:1], *allergy.pairs)] == [
        "Changed data",
        "Drug allergy",
        "",
        "Severe",
        "",
    ]
    assert pairs(allergy)["Reaction"] == '""'


PDF = base64.b64encode(b"%PDF-1.7\n" + b"x" * 300).decode()


@pytest.mark.parametrize(
    "value",
    [
        f"^application^pdf^Base64^{PDF}",
        f"LIS^AP^PDF^BASE64^{PDF}",
        f"^TEXT^pdf^Base64^{PDF.rstrip('=')}",
        f"^application^octet-stream^Base64^{PDF[:76]}\\.br\\{PDF[76:]}",
        f"^application^pdf^Base64^{PDF[:76]}\r\n{PDF[76:]}",
        PDF,
    ],
)
@pytest.mark.parametrize("type", ["ED", "ST"])
def test_documents_are_found_however_they_are_written(value: str, type: str) -> None:
    document = only(message(PID, "OBR|1|||V^Verslag", f"OBX|1|{type}|PDF^Verslag||{value}||||||F"))
    (found,) = (block for block in document.blocks if isinstance(block, Embedded))
    assert (found.media_type, found.data) == ("application/pdf", base64.b64decode(PDF))


def test_a_document_that_cannot_be_decoded_is_shown_as_it_came() -> None:
    document = only(message(PID, "OBR|1|||V^Verslag", "OBX|1|ED|PDF^Verslag||^application^pdf^Base64^%%%||||||F"))
    (found,) = (block for block in document.blocks if isinstance(block, Embedded))
    assert (found.data, found.written) == (None, "^application^pdf^Base64^%%%")
    assert [finding.severity for finding in document.findings] == [Severity.ERROR]


def test_a_document_of_megabytes_is_cut_off_its_field() -> None:
    data = base64.b64encode(b"%PDF-1.7\n" + bytes(1_100_000)).decode()
    document = only(message(PID, "OBR|1|||V^Verslag", f"OBX|1|ED|PDF^Verslag||^application^pdf^Base64^{data}||||||F"))
    (found,) = (block for block in document.blocks if isinstance(block, Embedded))
    assert found.data is not None
    assert len(found.data) == 1_100_009


def test_what_stands_around_messages_is_kept() -> None:
    reading = read(b"Beste,\r\n\r\n" + sample("oul_r22_crlf.hl7") + b"\r\n-- \r\nHet laboratorium\r\n")
    assert [line for text in reading.outside for line in text.lines if line] == ["Beste,", "-- ", "Het laboratorium"]
    assert len(reading.documents) == 1


def test_no_message_at_all_is_a_finding() -> None:
    reading = read(b"hello")
    assert not reading.documents
    assert [finding.severity for finding in reading.findings] == [Severity.ERROR]


@pytest.mark.parametrize(
    ("segments", "found"),
    [
        (["OBR|1|||K", "OBX|1|NM|K||abc||||||F"], "The value isn't what its type says: NM"),
        (["OBR|1|||K", "OBX|1|QQ|K||1||||||F"], "The type of a value isn't known: QQ"),
        (["OBR|1|||K", "OBX|1|NM|K||1||||||Q"], "The status of a result isn't known: Q"),
        (["OBR|1|||K", "OBX|1|NM|K||1|||QQ|||F"], "The flag of a result isn't known: QQ"),
        (["OBR|1|||K", "OBX|1|NM|||1||||||F"], "A required field is missing: Test"),
        (["OBR|1|||K|||20269999", "OBX|1|NM|K||1||||||F"], "This can't be a date or time: Observed on"),
        (["OBX|1|NM|K||1||||||F", "OBR|1|||K"], "The segment isn't in its place in a message of this type: OBX"),
        (["ZZZ|1", "OBR|1|||K"], "A segment of the sender's own"),
        (["NTE|1||x"], "The message lacks a segment that its type must have: OBR"),
        (["OBR|1|||K", "NTE|1||\\Q\\"], "An escape that isn't known or isn't closed; it is shown as it is written"),
    ],
)
def test_a_check_finds_what_the_standard_forbids(segments: list[str], found: str) -> None:
    findings = check(message(PID, *segments))
    assert found in [str(finding) for finding in findings]
    assert all("Jansen" not in str(finding) for finding in findings)


def test_a_good_message_has_no_findings() -> None:
    assert check(sample("oml_o21_lab2lab_latin1.hl7")) == []
    assert check(sample("ack_aa.hl7")) == []


@pytest.mark.parametrize(
    ("tag", "number", "text"),
    [
        ("PID", 39, "Tribal citizenship"), ("PV1", 44, "Admitted on"), ("OBR", 25, "Result status"),
        ("OBX", 23, "Performing organisation"),
        ("SPM", 17, "Collected on"), ("ORC", 21, "Ordering facility"), ("TXA", 17, "Completion"),
        ("IN1", 36, "Policy number"),
        ("NK1", 13, "Organisation"), ("ERR", 8, "Message to the user"), ("ZZZ", 1, ""),
    ],
)  # fmt: skip
def test_fields_have_the_names_of_their_places(tag: str, number: int, text: str) -> None:
    assert name_of(tag, number).text == text


def test_every_label_of_a_reading_is_to_be_translated() -> None:
    known = labels()
    for name in ("oul_r22_lab2lab_latin1.hl7", "oml_o21_lab2lab_latin1.hl7", "ack_ae.hl7"):
        for document in read(sample(name)).documents:
            for block in document.blocks:
                if isinstance(block, Fields | Results):
                    shown = block.pairs if isinstance(block, Fields) else block.others
                    assert {word for pair in shown for word in (pair.label, pair.meaning) if word} <= known
                if isinstance(block, Fields | Text) and block.title:
                    assert block.title in known
    assert set(SEGMENTS.values()) <= known
