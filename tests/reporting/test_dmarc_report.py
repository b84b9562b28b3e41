"""The aggregate report's XML, and what of a message it says."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from relayd.authenticity.observation import Applied, DmarcObservation, Override
from relayd.authenticity.results import Authentication, Disposition, Dkim, Dmarc, Result, Spf
from relayd.reporting.counts import Kind, Tally
from relayd.reporting.dmarc_report import NAMESPACE, dmarc_report
from relayd.reporting.dmarc_rows import DmarcRow, DmarcTally
from relayd.reporting.heading import Heading
from relayd.reporting.read import read_report
from relayd.reporting.summary import DmarcLine
from tests.kit.report_schema import dmarc_report_mistakes
from tests.kit.reports import DMARC
from tests.store.rig import Clock

HEADING = Heading(
    Kind.DMARC,
    "Relay <Noord> & co",
    "postmaster@noord.example",
    "reports@relay.example",
    "clinic.example",
    "2026-11-23",
)
RECORD = (("v", "DMARC1"), ("p", "reject"), ("rua", "mailto:dmarc@clinic.example"))


def row(**changes: Any) -> DmarcRow:
    values: dict[str, Any] = {
        "policy_domain": "clinic.example",
        "published": RECORD,
        "source": "192.0.2.1",
        "header_from": "sub.clinic.example",
        "envelope_from": "bounce.clinic.example",
        "applied": "pass",
        "dkim_aligned": True,
        "spf_aligned": False,
        "override": "",
        "comment": "",
        "spf": ("bounce.clinic.example", "softfail"),
        "dkim": (("clinic.example", "s1", "pass"), ("esp.example", "k", "fail")),
    }
    return DmarcRow(**(values | changes))


def parsed(*counted: tuple[DmarcRow, int]) -> ElementTree.Element:
    return ElementTree.fromstring(dmarc_report(HEADING, counted))  # noqa: S314 (our own)


def words(element: ElementTree.Element, path: str) -> list[str | None]:
    return [found.text for found in element.findall("/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/")))]


def test_the_schema_check_finds_the_rfc_s_own_example_right_but_for_the_order_it_names() -> None:
    assert dmarc_report_mistakes(ElementTree.fromstring(DMARC)) == []  # noqa: S314 (our own)


def test_the_report_s_structure_and_values() -> None:
    root = parsed((row(), 3), (row(source="2001:db8::1", applied="reject", dkim_aligned=False, dkim=()), 1))
    assert dmarc_report_mistakes(root) == []
    assert words(root, "report_metadata/org_name") == ["Relay <Noord> & co"]
    assert words(root, "report_metadata/date_range/begin") == ["1795392000"]
    assert words(root, "policy_published/domain") == ["clinic.example"]
    tags = {name: words(root, f"policy_published/{name}")[0] for name in ("p", "sp", "np", "adkim", "aspf", "testing")}
    assert tags == {"p": "reject", "sp": "reject", "np": "reject", "adkim": "r", "aspf": "r", "testing": "n"}
    assert words(root, "record/row/source_ip") == ["192.0.2.1", "2001:db8::1"]
    assert words(root, "record/row/count") == ["3", "1"]
    assert words(root, "record/row/policy_evaluated/disposition") == ["pass", "reject"]
    assert words(root, "record/auth_results/dkim/selector") == ["s1", "k"]
    assert words(root, "record/auth_results/spf/result") == ["softfail", "softfail"]


def test_an_override_has_its_reason() -> None:
    root = parsed((row(applied="none", override="local_policy", comment="held for a person"), 1))
    assert dmarc_report_mistakes(root) == []
    assert words(root, "record/row/policy_evaluated/reason/type") == ["local_policy"]
    assert words(root, "record/row/policy_evaluated/reason/comment") == ["held for a person"]


def test_one_report_names_one_policy_that_of_most_messages() -> None:
    other = (("v", "DMARC1"), ("p", "none"), ("sp", "quarantine"), ("t", "y"), ("rua", "mailto:x@clinic.example"))
    root = parsed((row(), 2), (row(published=other), 5), (row(source="192.0.2.2"), 2))
    assert words(root, "policy_published/p") == ["none"]
    assert words(root, "policy_published/testing") == ["y"]
    assert len(words(root, "record/row/count")) == 3


@pytest.mark.parametrize(
    "text",
    ["a\0b", "<script>&amp;", "\x1b[31m", "]]>", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "\uffff"],
)
def test_what_a_stranger_chose_stays_text(text: str) -> None:
    root = parsed((row(header_from=text, dkim=((text, text, text),), spf=(text, text), comment=text), 1))
    assert dmarc_report_mistakes(root) == []


def test_what_relayd_writes_relayd_reads() -> None:
    summary = read_report(dmarc_report(HEADING, [(row(), 3), (row(dkim_aligned=False, applied="reject"), 2)]))
    assert (summary.kind, summary.domain, summary.report_id) == ("dmarc", "clinic.example", HEADING.id)
    assert (summary.good, summary.bad) == (3, 2)
    line = summary.lines[0]
    assert isinstance(line, DmarcLine)
    assert (line.source, line.header_from, line.envelope_from) == (
        "192.0.2.1",
        "sub.clinic.example",
        "bounce.clinic.example",
    )
    assert line.dkim == ("clinic.example=pass", "esp.example=fail")


def observation(**changes: Any) -> DmarcObservation:
    dmarc = {
        "result": Result.FAIL,
        "domain": "sub.clinic.example",
        "policy_domain": "clinic.example",
        "disposition": Disposition.REJECT,
        "published": RECORD,
    }
    found = Authentication(
        spf=Spf(Result.FAIL, "evil.example", reason="matched -all"),
        dkim=(Dkim(Result.FAIL, "clinic.example", "s1", "rsa-sha256", "the body has changed"),),
        dmarc=Dmarc(**(dmarc | changes)),
    )
    return DmarcObservation("192.0.2.66", "evil.example", found, Applied.REJECT, Override.LOCAL_POLICY, "held")


def tally() -> Tally[DmarcRow]:
    made: Tally[DmarcRow] = Tally(Kind.DMARC, Clock(), lambda row: row.policy_domain)
    made.wanted = True
    return made


def test_messages_that_differ_in_nothing_that_is_told_are_one_row() -> None:
    made = tally()
    counter = DmarcTally(made)
    counter.note(observation())
    counter.note(observation(reason="in other words"))
    ((count,), _) = made.take()
    assert (count.kind, count.domain, count.count) == ("dmarc", "clinic.example", 2)


@pytest.mark.parametrize(
    "changes",
    [{"policy_domain": "", "published": ()}, {"published": (("v", "DMARC1"), ("p", "reject"))}],
    ids=["no record", "nobody to tell"],
)
def test_what_nobody_asked_for_is_not_counted(changes: dict[str, Any]) -> None:
    made = tally()
    DmarcTally(made).note(observation(**changes))
    assert made.take() == ([], [])
