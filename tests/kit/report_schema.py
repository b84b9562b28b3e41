"""The structure of TLS reports (RFC 8460 §4.4) as a check of its own, apart from relayd's reader."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_TYPES = {"tlsa", "sts", "no-policy-found"}
_RESULTS = {
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
}


def tls_report_mistakes(report: dict[str, Any]) -> list[str]:
    """Everything in which ``report`` isn't what the RFC describes."""
    wrong = _keys(report, "report", {"organization-name", "date-range", "contact-info", "report-id", "policies"}, set())
    for name in ("start-datetime", "end-datetime"):
        if not _MOMENT.fullmatch(report["date-range"][name]):
            wrong.append(f"{name} is no date-time")
    if "@" not in report["contact-info"]:
        wrong.append("contact-info is no address")
    for entry in report["policies"]:
        wrong += _policy(entry)
    return wrong


def _policy(entry: dict[str, Any]) -> list[str]:
    wrong = _keys(entry, "policies[]", {"policy", "summary"}, {"failure-details"})
    policy, summary = entry["policy"], entry["summary"]
    wrong += _keys(policy, "policy", {"policy-type", "policy-domain"}, {"policy-string", "mx-host"})
    wrong += _keys(summary, "summary", {"total-successful-session-count", "total-failure-session-count"}, set())
    if policy["policy-type"] not in _TYPES:
        wrong.append("policy-type")
    wrong += [name for name in ("policy-string", "mx-host") if not isinstance(policy.get(name, []), list)]
    wrong += [name for name, count in summary.items() if not isinstance(count, int) or count < 0]
    details = entry.get("failure-details", [])
    for detail in details:
        optional = {"sending-mta-ip", "receiving-mx-hostname", "receiving-mx-helo", "receiving-ip"}
        optional |= {"additional-information", "failure-reason-code"}
        wrong += _keys(detail, "failure-details[]", {"result-type", "failed-session-count"}, optional)
        if detail["result-type"] not in _RESULTS:
            wrong.append("result-type")
        if "receiving-ip" in detail:
            ip_address(detail["receiving-ip"])
    if sum(detail["failed-session-count"] for detail in details) != summary["total-failure-session-count"]:
        wrong.append("the failures don't add up")
    return wrong


def _keys(value: dict[str, Any], name: str, needed: set[str], optional: set[str]) -> list[str]:
    missing, unknown = needed - value.keys(), value.keys() - needed - optional
    return [f"{name} has {sorted(unknown)} and lacks {sorted(missing)}"] if missing or unknown else []
