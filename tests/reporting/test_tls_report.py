"""The TLS report's JSON."""

from __future__ import annotations

import json

from relayd.reporting.counts import Kind
from relayd.reporting.heading import Heading
from relayd.reporting.tls_report import tls_report
from relayd.tls.results import PolicyType, ResultType, TlsResult
from tests.kit.report_schema import tls_report_mistakes

HEADING = Heading(
    Kind.TLS, "Relay Noord", "postmaster@noord.example", "reports@relay.example", "clinic.example", "2026-11-23"
)
STS = ("version: STSv1", "mode: enforce", "mx: *.clinic.example", "max_age: 86400")
TLSA = ("3 1 1 aa",)


def sts(failure: ResultType | None = None, host: str = "mx1.clinic.example", reason: str = "") -> TlsResult:
    return TlsResult("clinic.example", PolicyType.STS, STS, ("*.clinic.example",), host, "192.0.2.1", failure, reason)


def test_policies_their_counts_and_failures_in_detail() -> None:
    counted = [
        (sts(), 5),
        (sts(host="mx2.clinic.example"), 2),
        (sts(ResultType.CERTIFICATE_EXPIRED, reason="expired on 2026-11-01"), 3),
        (sts(ResultType.STARTTLS_NOT_SUPPORTED), 1),
        (TlsResult("clinic.example", PolicyType.TLSA, TLSA, (), "mx1.clinic.example", "2001:db8::1"), 4),
        (TlsResult("clinic.example", PolicyType.NONE, failure=ResultType.VALIDATION_FAILURE, reason="x" * 5000), 1),
    ]
    report = json.loads(tls_report(HEADING, counted))
    assert tls_report_mistakes(report) == []
    assert {name: report[name] for name in ("organization-name", "contact-info", "date-range")} == {
        "organization-name": "Relay Noord",
        "contact-info": "postmaster@noord.example",
        "date-range": {"start-datetime": "2026-11-23T00:00:00Z", "end-datetime": "2026-11-23T23:59:59Z"},
    }
    none, enforced, pinned = report["policies"]
    assert len(none["failure-details"][0]["failure-reason-code"]) <= 200
    assert enforced == {
        "policy": {
            "policy-type": "sts",
            "policy-string": list(STS),
            "policy-domain": "clinic.example",
            "mx-host": ["*.clinic.example"],
        },
        "summary": {"total-successful-session-count": 7, "total-failure-session-count": 4},
        "failure-details": [
            {
                "result-type": "certificate-expired",
                "receiving-mx-hostname": "mx1.clinic.example",
                "receiving-ip": "192.0.2.1",
                "failed-session-count": 3,
                "failure-reason-code": "expired on 2026-11-01",
            },
            {
                "result-type": "starttls-not-supported",
                "receiving-mx-hostname": "mx1.clinic.example",
                "receiving-ip": "192.0.2.1",
                "failed-session-count": 1,
            },
        ],
    }
    assert pinned["policy"] == {
        "policy-type": "tlsa",
        "policy-string": ["3 1 1 aa"],
        "policy-domain": "mx1.clinic.example",
    }
    assert pinned["summary"]["total-successful-session-count"] == 4


def test_the_same_counts_make_the_same_report_under_the_same_name() -> None:
    counted = [(sts(), 1), (sts(ResultType.CERTIFICATE_EXPIRED), 1)]
    assert tls_report(HEADING, counted) == tls_report(HEADING, reversed(counted))
    assert HEADING.filename == "relay.example!clinic.example!1795392000!1795478399.json.gz"
    assert HEADING.id.endswith("@relay.example")
