"""The TLS report as JSON (RFC 8460 §4.4), made of what was counted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from relayd.reporting.heading import Heading
from relayd.tls.results import PolicyType, TlsResult

#: Characters of a reason; the field is for an error's name or a short text.
_REASON: Final = 200


def tls_report(heading: Heading, counted: Iterable[tuple[TlsResult, int]]) -> bytes:
    """The report, not compressed. Results under one policy stand together, with their failures in detail."""
    policies: dict[tuple[Any, ...], _Policy] = {}
    for result, count in counted:
        # A TLSA record belongs to the host: RFC 8460 §4.4 wants the domain that the policy is defined for.
        domain = result.host if result.type is PolicyType.TLSA and result.host else result.domain
        key = (result.type, domain, result.policy, result.mx_patterns)
        policies.setdefault(key, _Policy(result, domain)).add(result, count)
    report = {
        "organization-name": heading.organisation,
        "date-range": {"start-datetime": _moment(heading.begin), "end-datetime": _moment(heading.end)},
        "contact-info": heading.contact,
        "report-id": heading.id,
        "policies": [policy.value() for _, policy in sorted(policies.items(), key=lambda item: item[0])],
    }
    return msgspec.json.encode(report)


class _Policy:
    """One policy's sessions."""

    def __init__(self, result: TlsResult, domain: str) -> None:
        self._policy: dict[str, Any] = {"policy-type": result.type.value}
        if result.policy:
            self._policy["policy-string"] = list(result.policy)
        self._policy["policy-domain"] = domain
        if result.mx_patterns:
            self._policy["mx-host"] = list(result.mx_patterns)
        self._successes = 0
        self._failures: dict[tuple[str, str, str, str], int] = {}

    def add(self, result: TlsResult, count: int) -> None:
        if result.failure is None:
            self._successes += count
            return
        key = (result.failure.value, result.host, result.address, result.reason[:_REASON])
        self._failures[key] = self._failures.get(key, 0) + count

    def value(self) -> dict[str, Any]:
        summary = {
            "total-successful-session-count": self._successes,
            "total-failure-session-count": sum(self._failures.values()),
        }
        value: dict[str, Any] = {"policy": self._policy, "summary": summary}
        if self._failures:
            value["failure-details"] = [_detail(key, count) for key, count in sorted(self._failures.items())]
        return value


def _detail(key: tuple[str, str, str, str], count: int) -> dict[str, Any]:
    kind, host, address, reason = key
    named = {
        "result-type": kind,
        "receiving-mx-hostname": host,
        "receiving-ip": address,
        "failed-session-count": count,
        "failure-reason-code": reason,
    }
    return {name: value for name, value in named.items() if value != ""}


def _moment(at: int) -> str:
    """RFC 3339 §5.6."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
