"""The RFC 7208 test suite of openspf.org, read from pyspf's source package."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
import yaml

from relayd.authenticity.results import Result
from relayd.authenticity.spf import check_host
from relayd.authenticity.spf_question import SpfCheck, SpfQuestion
from relayd.dns.records import Answer
from tests.kit.dns import FakeDns
from tests.kit.vectors import vectors

SUITE = "pyspf-2.0.14/test/rfc7208-tests.yml"


def cases() -> Iterator[Any]:
    text = vectors(SUITE)
    if text is None:
        yield pytest.param({}, {}, marks=pytest.mark.skip(reason=f"{SUITE} isn't here; scripts/vectors fetches it"))
        return
    for scenario in yaml.safe_load_all(text):
        for name, case in scenario["tests"].items():
            yield pytest.param(scenario["zonedata"], case, id=f"{scenario['description']}: {name}")


class SuiteDns(FakeDns):
    """The suite's zones: a name with TIMEOUT says nothing but what stands before, other names don't exist."""

    def __init__(self, zonedata: dict[str, list[Any]]) -> None:
        super().__init__(zone(zonedata))
        self.silent = {name.lower() for name, records in zonedata.items() if "TIMEOUT" in records}

    async def look_up(self, name: str, kind: str) -> Any:
        found = await super().look_up(name, kind)
        if name.lower().rstrip(".") in self.silent and found.answer is not Answer.FOUND:
            return type(found)(Answer.TIMEOUT)
        return found


def zone(zonedata: dict[str, list[Any]]) -> dict[tuple[str, str], Any]:
    """SPF records stand for TXT records unless there are such too, as the suite's own text says."""
    found: dict[tuple[str, str], Any] = {}
    for name, records in zonedata.items():
        pairs = [pair for record in records if isinstance(record, dict) for pair in record.items()]
        has_txt = any(kind == "TXT" for kind, _ in pairs)
        for kind, value in pairs:
            if kind == "SPF" and not has_txt:
                kind = "TXT"
            if value == "TIMEOUT":
                found[name.lower(), kind] = Answer.TIMEOUT
            elif value != "NONE":
                entries = found.setdefault((name.lower(), kind), [])
                if isinstance(entries, list):
                    entries.append(text_of(kind, value))
    return found


def text_of(kind: str, value: Any) -> str | bytes:
    if kind in ("TXT", "SPF"):
        return "".join([value] if isinstance(value, str) else value).encode("latin-1")
    if kind == "MX":
        return f"{value[0]} {value[1]}" if value[1] else f"{value[0]} ."
    return str(value)


async def checked(zonedata: dict[str, list[Any]], case: dict[str, Any]) -> SpfCheck:
    local, _, domain = case["mailfrom"].rpartition("@")
    asked = SpfQuestion(ip_address(case["host"]), local or "postmaster", domain or case["helo"], case["helo"])
    return await check_host(SuiteDns(zonedata), asked, explain=True)


@pytest.mark.parametrize(("zonedata", "case"), list(cases()))
async def test_the_suite(zonedata: dict[str, list[Any]], case: dict[str, Any]) -> None:
    found = await checked(zonedata, case)
    allowed = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert found.spf.result in {Result(one) for one in allowed}, case.get("comment")
    if "explanation" in case:
        assert (found.explanation or "DEFAULT") == case["explanation"]


def test_it_is_the_whole_suite() -> None:
    text = vectors(SUITE)
    if text is None:
        pytest.skip(f"{SUITE} isn't here; scripts/vectors fetches it")
    assert sum(len(scenario["tests"]) for scenario in yaml.safe_load_all(text)) == 203
