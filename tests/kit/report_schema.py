"""The structure of TLS reports (RFC 8460 §4.4) and of DMARC aggregate reports (RFC 9990), as checks of their own: apart
from what relayd writes and reads."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any
from xml.etree.ElementTree import Element

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


_SPACE = "{urn:ietf:params:xml:ns:dmarc-2.0}"
#: Element → its children in any order: "1" exactly one, "?" at most one, "+" one or more, "*" any number.
_STRUCTURE: dict[str, dict[str, str]] = {
    "feedback": {"version": "?", "report_metadata": "1", "policy_published": "1", "extension": "?", "record": "+"},
    "report_metadata": {
        "org_name": "1",
        "email": "1",
        "extra_contact_info": "?",
        "report_id": "1",
        "date_range": "1",
        "error": "*",
        "generator": "?",
    },
    "date_range": {"begin": "1", "end": "1"},
    "policy_published": {
        "domain": "1",
        "discovery_method": "?",
        "p": "1",
        "sp": "?",
        "np": "?",
        "fo": "?",
        "adkim": "?",
        "aspf": "?",
        "testing": "?",
    },
    "record": {"row": "1", "identifiers": "1", "auth_results": "1"},
    "row": {"source_ip": "1", "count": "1", "policy_evaluated": "1"},
    "policy_evaluated": {"disposition": "1", "dkim": "1", "spf": "1", "reason": "*"},
    "reason": {"type": "1", "comment": "?"},
    "identifiers": {"header_from": "1", "envelope_from": "?", "envelope_to": "?"},
    "auth_results": {"dkim": "*", "spf": "?"},
    "auth_results/dkim": {"domain": "1", "selector": "1", "result": "1", "human_result": "?"},
    "auth_results/spf": {"domain": "1", "scope": "?", "result": "1", "human_result": "?"},
}
#: Where the order of the children counts.
_ORDERED = {"feedback", "record", "policy_evaluated", "auth_results"}
_WORDS: dict[str, set[str]] = {
    "version": {"1.0"},
    "discovery_method": {"psl", "treewalk"},
    "p": {"none", "quarantine", "reject"},
    "sp": {"none", "quarantine", "reject"},
    "np": {"none", "quarantine", "reject"},
    "adkim": {"r", "s"},
    "aspf": {"r", "s"},
    "testing": {"y", "n"},
    "disposition": {"none", "pass", "quarantine", "reject"},
    "policy_evaluated/dkim": {"pass", "fail"},
    "policy_evaluated/spf": {"pass", "fail"},
    "type": {"local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder"},
    "auth_results/dkim/result": {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"},
    "auth_results/spf/result": {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"},
    "scope": {"mfrom"},
}
_NUMBERS = {"begin", "end", "count"}


def dmarc_report_mistakes(root: Element) -> list[str]:
    """Everything in which an aggregate report isn't what the working group's last draft describes."""
    wrong = [] if root.tag == f"{_SPACE}feedback" else [f"the root is {root.tag}"]
    return wrong + _element(root, "")


def _element(element: Element, parent: str) -> list[str]:
    name = element.tag.removeprefix(_SPACE)
    path = f"{parent}/{name}" if f"{parent}/{name}" in (*_STRUCTURE, *_WORDS) else name
    children = [child.tag.removeprefix(_SPACE) for child in element]
    text = (element.text or "").strip()
    if (allowed := _STRUCTURE.get(path)) is not None:
        wrong = [f"{path} has a {child}" for child in children if child not in allowed]
        for child, often in allowed.items():
            count = children.count(child)
            if (often in "1+" and not count) or (often in "1?" and count > 1):
                wrong.append(f"{path} has {count} of {child}")
        places = [list(allowed).index(child) for child in children if child in allowed]
        if path in _ORDERED and places != sorted(places):
            wrong.append(f"the order in {path}")
        return wrong + [found for child in element for found in _element(child, path)]
    if children:
        return [f"{path} has elements in it"]
    key = f"{parent}/{name}" if f"{parent}/{name}" in _WORDS else name
    if key in _WORDS and text not in _WORDS[key]:
        return [f"{path} is {text!r}"]
    if name in _NUMBERS and not text.isdigit():
        return [f"{path} is no number"]
    if name == "source_ip":
        ip_address(text)
    return []
