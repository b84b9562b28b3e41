"""Documents made by hand: what readers make of ordinary messages."""

from __future__ import annotations

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

PATIENT = Patient(
    PersonName(own="Peters", own_prefix="de", partner="Dijk", partner_prefix="van der", initials="M.", given="Miriam"),
    "1975-03-18",
    "female",
    (Identifier("bsn", "999990019", True), Identifier("LABNOORD", "12345678")),
    Address("Lindelaan", "27a", postcode="3581CD", city="Utrecht"),
    ("0612345678",),
    (Pair("Blood group", "O pos"),),
)
LABORATORY = Party(
    Role.LABORATORY,
    organisation="Streeklab Noord",
    department="Klinische Chemie en Hematologie",
    address=Address("Hoofdweg", "22", postcode="8011AB", city="Zwolle"),
    telephones=("0381112233",),
)
PRACTICE = Party(
    Role.RECEIVER,
    PersonName(own="Huisarts", own_prefix="de", initials="A.B.", title="drs."),
    address=Address("Dorpsstraat", "7b", postcode="8016GH", city="Zwolle"),
    telephones=("0387654321",),
    identifiers=(Identifier("agb", "01012345"),),
)
EARLIER = Results(
    (
        Result("Kreatinine", ("128",), "µmol/l", "50", "90", flag=Flag.HIGH, codes=(Code("KREAB", "nhg"),)),
        Result("Kalium", ("4.4",), "mmol/l", "3.5", "5.0", codes=(Code("K   B", "nhg"),)),
    ),
    title="KLINISCHE CHEMIE",
    sampled="2026-05-12T08:05",
    specimen="bloed",
    number="112230001",
    complete=True,
)
TABLE = Results(
    (
        Heading("NIERFUNCTIE"),
        Result("Kreatinine", ("142",), "µmol/l", "50", "90", flag=Flag.HIGH, codes=(Code("KREAB", "nhg"),)),
        Result(
            "eGFR CKD-EPI",
            ("38",),
            "ml/min",
            low="60",
            flag=Flag.LOW,
            codes=(Code("KREMO FB", "nhg"),),
            notes=("eGFR < 50: doorgeven aan de apotheek (art. 66a Geneesmiddelenwet)",),
        ),
        Result("Kalium", ("5.6",), "mmol/l", "3.5", "5.0", flag=Flag.VERY_HIGH, codes=(Code("K   B", "nhg"),)),
        Result("Natrium", ("139",), "mmol/l", "135", "145", status=Status.CORRECTED, codes=(Code("NA  B", "nhg"),)),
        Heading("GENEESMIDDELSPIEGELS"),
        Result(
            "Lithium",
            ("0.9",),
            "mmol/l",
            range="streefwaarde 0.6-0.8",
            flag=Flag.ABNORMAL,
            notes=("12 uurs dalspiegel",),
            artefacts=("Zie onder", "*", "-----OPM-----"),
            codes=(Code("LI  B", "nhg"), Code("14334-7", "loinc", "Lithium")),
        ),
        Result("Kweek", ("Escherichia coli", "Klebsiella pneumoniae"), flag=Flag.OTHER, flag_text="S"),
        Result("Vitamine D 25-OH", status=Status.PENDING, notes=("Uitslag volgt binnen 5 werkdagen",)),
        Result("Hemoglobine", ("8.9",), "mmol/l", high="10.0", flag=Flag.NORMAL, status=Status.PRELIMINARY),
        Result("Glucose", ("5.1",), "mmol/l", status=Status.DELETED, observed="2026-08-31T09:10"),
    ),
    title="KLINISCHE CHEMIE",
    sampled="2026-08-31T08:20",
    reported="2026-09-01T10:15:00+02:00",
    specimen="bloed",
    number="112233445",
    complete=False,
    notes=("Nuchter afgenomen", "Bij vragen: bel klinisch chemicus, tst. 1234 + sein 5678"),
    others=(Pair("Volume", "4 ml"),),
)
LAB = Document(
    Format.EDIFACT,
    Kind.LABORATORY,
    "MEDLAB",
    "1",
    reference="26090100000051",
    label="MMCLLNr.3",
    dated="2026-09-01T10:15",
    sender="500000001",
    receiver="500000002",
    parties=(
        LABORATORY,
        PRACTICE,
        Party(Role.COPY, PersonName(written="dr. E. Specialist"), speciality="Interne geneeskunde"),
        Party(Role.CONTACT, PersonName(written="dr. C. Visser"), telephones=("0385556677",)),
    ),
    patient=PATIENT,
    blocks=(
        Fields((Pair("Order number", "ZD202000001"),), "Order"),
        TABLE,
        EARLIER,
        Embedded("Verslag.pdf", "application/pdf", b"%PDF-1.4" + bytes(12_000)),
        Unread("Z99", "", (Element("1", "", "iets eigens"), Element("2.1", "Date", "26")), place=Place(31, 30, "Z99")),
    ),
    status=Status.FINAL,
    findings=(
        Finding(
            Severity.WARNING,
            "UNT counts %(counted)s segments, there are %(found)s",
            Place(36, 35, "UNT", "1"),
            {"counted": "35", "found": "34"},
        ),
    ),
)
LETTER = Document(
    Format.EDIFACT,
    Kind.LETTER,
    "MEDVRI",
    "1",
    reference="1",
    dated="2026-09-01",
    sender="500000001",
    receiver="500000002",
    parties=(
        Party(Role.SENDER, PersonName(written="F. Fysio"), "Praktijk De Brug", "Fysiotherapie", telephones=("030123",)),
        Party(Role.RECEIVER, PersonName(written="A. de Huisarts")),
    ),
    patient=PATIENT,
    blocks=(
        Text(
            (
                "Geachte collega,",
                "",
                "Hierbij zend ik u het verslag van de behandeling van bovengenoemde",
                "patiënt, die ik zag op verzoek van de huisarts. De klachten zijn na",
                "zes behandelingen verminderd.",
                "",
                "Medicatie:",
                "- naproxen 500 mg, twee maal daags",
                "- paracetamol zo nodig",
                "",
                "Met vriendelijke groet,",
                "F. Fysio",
            ),
            flowing=True,
        ),
    ),
    test=True,
)
UNKNOWN = Document(
    Format.EDIFACT,
    Kind.UNKNOWN,
    "MEDXYZ",
    "1",
    blocks=(
        Unread("ABC", "Something", (Element("1", "Name", "<b>Jansen</b>"), Element("2", "", "x")), place=Place(3, 3)),
        Unread("DEF", "", written="DEF+?", place=Place(4, 4)),
    ),
    findings=(Finding(Severity.ERROR, "UNT is missing"),),
)


def reading(*documents: Document) -> Reading:
    """A file of these messages."""
    return Reading(
        Format.EDIFACT,
        documents,
        "windows-1252",
        (Finding(Severity.NOTE, "The character set was found by its octets"),),
        (Text(("--", "Verzonden door het laboratorium")),),
        (Unread("UNB", "Interchange header", (Element("2.1", "Sender", "500000001"),), place=Place(1, 1, "UNB")),),
    )
