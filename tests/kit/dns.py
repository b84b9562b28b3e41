"""DNS that says what a test tells it to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from relayd.dns.records import Answer, Mx, Records, Tlsa
from relayd.dns.resolver import Resolver


class FakeDns(Resolver):
    """A resolver over a zone: ``{("mx.example", "A"): ["192.0.2.1"], ("gone.example", "MX"): Answer.TIMEOUT}``.

    MX is "10 host", TLSA "3 1 1 hex", TXT text or octets. A name with records of another kind has no data; any other
    doesn't exist. Names in ``secure`` and below are validated. A CNAME is followed.
    ``asked`` lists every question.
    """

    def __init__(
        self, zone: Mapping[tuple[str, str], Iterable[str | bytes] | Answer] | None = None, secure: Iterable[str] = ()
    ) -> None:
        self.zone = dict(zone or {})
        self.secure = tuple(secure)
        self.asked: list[tuple[str, str]] = []

    async def look_up(self, name: str, kind: str) -> Records[Any]:
        name = name.lower().rstrip(".")
        self.asked.append((name, kind))
        secure = self._secure(name)
        for _ in range(10):
            alias = self.zone.get((name, "CNAME"))
            if alias is None or isinstance(alias, Answer) or kind == "CNAME":
                break
            name = str(next(iter(alias)))
            secure = secure and self._secure(name)
        else:
            return Records(Answer.FAILED)
        found = self.zone.get((name, kind))
        if isinstance(found, Answer):
            return Records(found, secure=secure and found.certain)
        if found is None:
            known = any(other == name or other.endswith(f".{name}") for other, _ in self.zone)
            return Records(Answer.NO_DATA, (), secure, name) if known else Records(Answer.NO_NAME, secure=secure)
        values = [_value(kind, text) for text in found]
        if kind == "MX":
            values.sort(key=lambda record: (record.preference, record.host))
        return Records(Answer.FOUND, tuple(values), secure, name)

    def _secure(self, name: str) -> bool:
        return any(name == zone or name.endswith(f".{zone}") for zone in self.secure)


def _value(kind: str, text: str | bytes) -> Any:
    if kind == "TXT":
        return text if isinstance(text, bytes) else text.encode()
    assert isinstance(text, str)
    if kind == "MX":
        preference, host = text.split()
        return Mx(int(preference), host.rstrip("."))
    if kind == "TLSA":
        usage, selector, matching, data = text.split()
        return Tlsa(int(usage), int(selector), int(matching), bytes.fromhex(data))
    return text
