"""Points as internet.nl gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

FULL: Final = 10
PARTIAL: Final = 2


class Category(StrEnum):
    """Those that can be run here, in internet.nl's order."""

    DNSSEC = "Signed domain names (DNSSEC)"
    AUTHENTICITY = "Authenticity marks (DMARC, DKIM, SPF)"
    TRANSPORT = "Secure mail server connection (STARTTLS and DANE)"


#: What needs the world around: how others reach this network.
ELSEWHERE: Final = {
    "Modern address (IPv6)": "whether name servers and mail servers are reached over IPv6",
    "Route authorisation (RPKI)": "whether their addresses have route origin authorisations",
}


class Status(StrEnum):
    """Best first. Only a check that can fail has points; NOTICE is for what is to be phased out and for good advice."""

    PASSED = "passed"
    INFO = "info"
    NOTICE = "notice"
    FAILED = "failed"


_ORDER: Final = tuple(Status)


@dataclass(frozen=True, slots=True)
class Check:
    """One subtest's outcome. ``most`` is 0 where it doesn't count."""

    category: Category
    name: str
    status: Status
    points: int
    most: int
    detail: str = ""


def passed(category: Category, name: str, detail: str = "", status: Status = Status.PASSED) -> Check:
    """Full points; with NOTICE where it passes for now."""
    return Check(category, name, status, FULL, FULL, detail)


def failed(category: Category, name: str, detail: str, points: int = 0) -> Check:
    """None, or a few."""
    return Check(category, name, Status.FAILED, points, FULL, detail)


def aside(category: Category, name: str, status: Status, detail: str = "") -> Check:
    """What is told and doesn't count."""
    return Check(category, name, status, 0, 0, detail)


def worst_of(servers: Sequence[Sequence[Check]]) -> list[Check]:
    """Of several servers' checks each one's worst: fewest points, then the worse status."""
    names = dict.fromkeys((check.category, check.name) for checks in servers for check in checks)
    found = []
    for name in names:
        same = [check for checks in servers for check in checks if (check.category, check.name) == name]
        found.append(min(same, key=lambda check: (check.points - check.most, -_ORDER.index(check.status))))
    return found


def category_score(checks: Iterable[Check]) -> Fraction:
    """Between 0 and 1; 1 where nothing counts."""
    counting = [check for check in checks if check.most]
    most = sum(check.most for check in counting)
    return Fraction(sum(check.points for check in counting), most) if most else Fraction(1)


def total(checks: Sequence[Check]) -> Fraction:
    """The plain mean of the categories: here of those that were run."""
    run = list(dict.fromkeys(check.category for check in checks))
    scores = [category_score(check for check in checks if check.category is category) for category in run]
    return sum(scores, Fraction(0)) / len(scores) if scores else Fraction(0)
