"""Reading TLS reports (RFC 8460 §4.4), also those that follow an older draft of it in a field's name or type."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from relayd.errors import SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.reporting.summary import MOST_COUNT, Line, Summary, TlsLine, clean, most, span

#: Octets: objects take a multiple of their text.
_MOST: Final = 2 * 2**20

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_COUNT)]


class _Kebab(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    pass


class _Dates(_Kebab, frozen=True, kw_only=True):
    start_datetime: str
    end_datetime: str


class _Policy(_Kebab, frozen=True, kw_only=True):
    policy_type: str
    policy_domain: str = ""
    policy_string: list[str] | str = ""


class _Totals(_Kebab, frozen=True, kw_only=True):
    total_successful_session_count: Count = 0
    total_failure_session_count: Count = 0


class _Failure(_Kebab, frozen=True, kw_only=True):
    result_type: str
    sending_mta_ip: str | None = None
    receiving_mx_hostname: str | None = None
    receiving_ip: str | None = None
    failed_session_count: Count = 0
    failure_reason_code: str | None = None
    failure_error_code: str | None = None


class _Entry(_Kebab, frozen=True, kw_only=True):
    policy: _Policy
    summary: _Totals = _Totals()
    failure_details: list[_Failure] | None = None


class _Report(_Kebab, frozen=True, kw_only=True):
    organization_name: str | None = None
    date_range: _Dates
    contact_info: str | None = None
    report_id: str
    policies: list[_Entry]


_report = msgspec.json.Decoder(_Report, strict=False)


def read_tls(data: bytes) -> Summary:
    """The report in ``data``, not compressed. Raises SyntaxInvalid."""
    if len(data) > _MOST:
        raise SyntaxInvalid(f"JSON of more than {_MOST // 2**20} MiB")
    try:
        report = _report.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise SyntaxInvalid("its JSON isn't that of a TLS report") from None
    if not report.policies:
        raise SyntaxInvalid("it has no policy")
    begin, end = span(_moment(report.date_range.start_datetime), _moment(report.date_range.end_datetime))
    lines, omitted = most([line for entry in report.policies for line in _lines(entry)])
    return Summary(
        kind="tls",
        organisation=clean(report.organization_name or report.contact_info or ""),
        report_id=clean(report.report_id),
        domain=_domain(report.policies),
        begin=begin,
        end=end,
        good=sum(entry.summary.total_successful_session_count for entry in report.policies),
        bad=sum(entry.summary.total_failure_session_count for entry in report.policies),
        policy=", ".join(sorted({clean(entry.policy.policy_type) for entry in report.policies})),
        lines=lines,
        omitted=omitted,
    )


def _domain(entries: list[_Entry]) -> str:
    """Whom it is about. Under DANE the policy's domain is a host's, so another policy's comes first."""
    ordered = sorted(entries, key=lambda entry: entry.policy.policy_type == "tlsa")
    for entry in ordered:
        try:
            return normalise_domain(entry.policy.policy_domain)
        except SyntaxInvalid:
            continue
    raise SyntaxInvalid("it names no domain")


def _lines(entry: _Entry) -> Iterator[Line]:
    named = {"policy": clean(entry.policy.policy_type), "policy_domain": clean(entry.policy.policy_domain)}
    if entry.summary.total_successful_session_count:
        yield TlsLine(**named, result="success", count=entry.summary.total_successful_session_count)
    for failure in entry.failure_details or ():
        yield TlsLine(
            **named,
            result=clean(failure.result_type),
            host=clean(failure.receiving_mx_hostname),
            address=clean(failure.receiving_ip),
            sender=clean(failure.sending_mta_ip),
            reason=clean(failure.failure_reason_code or failure.failure_error_code),
            count=failure.failed_session_count,
        )


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise SyntaxInvalid("its dates can't be read") from None
