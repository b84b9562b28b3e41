"""The whole world of the table: zones made from its rows, receivers, and the servers that speak for them."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.kit.policy_servers import PolicyServers
from tests.kit.signed_dns import SignedDns, Signing, Zone, resolv_conf, with_resolv_conf
from tests.transport.receivers import NEXT_HOP, Receivers
from tests.transport.rows import Host, Row

#: Where hosts' names live, and where the rows' domains do.
_HOST_ZONES = {
    "mx": ("mx.example", Signing.SIGNED),
    "plain-mx": ("plain-mx.example", Signing.UNSIGNED),
    "spoilt-tlsa": ("spoilt-tlsa.example", Signing.SIGNED),
    "spoilt-address": ("spoilt-address.example", Signing.SIGNED),
    "lame-tlsa": ("lame-tlsa.example", Signing.SIGNED),
}
_DOMAIN_ZONES = {
    "signed": Signing.SIGNED,
    "unsigned": Signing.UNSIGNED,
    "broken": Signing.BROKEN,
    "lame": Signing.LAME,
}


class World:
    """Names, zones and receivers of these rows."""

    def __init__(self, folder: Path, rows: Sequence[Row]) -> None:
        self.receivers = Receivers(folder / "certificates")
        self._folder = folder
        self._numbers = {row.name: number for number, row in enumerate(rows)}
        self.policy_servers = PolicyServers(self.receivers.web)
        self._records: dict[str, list[str]] = defaultdict(list)
        self._spoilt: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for row in rows:
            self._add(row)
        self.dns = SignedDns(folder / "dns", self._zones(), address="127.77.0.53", port=53)
        self.postfix = self.receivers.start()
        self.policy_servers.start()
        (folder / "client").mkdir()
        (folder / "client" / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = client.example\n")
        self._resolv_conf = resolv_conf(self.dns, folder / "resolv.conf")

    def stop(self) -> None:
        self.policy_servers.stop()
        self.postfix.stop()
        self.dns.stop()

    def domain(self, row: Row) -> str:
        """The row's own domain."""
        match row.domain:
            case "named-by-domain":
                return NEXT_HOP
            case "absent":
                return "absent.example"
            case "implicit":
                return f"{self._label(row)}.mx.example"
            case "null":
                return f"{self._label(row)}.signed.example"
            case zone:
                return f"{self._label(row)}.{zone}.example"

    def hosts(self, row: Row) -> list[str]:
        """The full names of its mail hosts."""
        if row.domain == "implicit":
            return [self.domain(row)]
        label = self._label(row)
        return [f"{label}-{place}.{_HOST_ZONES[host.zone][0]}" for place, host in enumerate(row.hosts)]

    def finger(self, row: Row) -> str:
        """What posttls-finger, Postfix's DANE client, says of the first host: Verified, Untrusted, or ""."""
        command = ["posttls-finger", "-l", "dane", "-t", "5", "-T", "5", "-c", self.domain(row)]
        done = subprocess.run(
            with_resolv_conf(self._resolv_conf, command),
            capture_output=True,
            text=True,
            env={**os.environ, "MAIL_CONFIG": str(self._folder / "client"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        said = next((line for line in done.stdout.splitlines() if "TLS connection established" in line), "")
        return said.removeprefix("posttls-finger: ").split(" ")[0]

    def _label(self, row: Row) -> str:
        return f"r{self._numbers[row.name]}"

    def _add(self, row: Row) -> None:
        label = self._label(row)
        zone, _, parent = self.domain(row).partition(".")
        for place, host in enumerate(row.hosts):
            name = self._host(f"{label}-{place}" if row.domain != "implicit" else label, host)
            if row.domain != "implicit":
                self._records[parent].append(f"{zone} MX {10 * (place + 1)} {name}.")
        if row.domain == "null":
            self._records[parent].append(f"{zone} MX 0 .")
        if row.sts is not None:
            address = self.policy_servers.add(f"mta-sts.{self.domain(row)}", row.sts)
            self._records[parent] += [f"mta-sts.{zone} A {address}", f'_mta-sts.{zone} TXT "v=STSv1; id=1;"']

    def _host(self, label: str, host: Host) -> str:
        """Adds the host's records; returns its full name."""
        zone, _ = _HOST_ZONES[host.zone]
        receiver = self.receivers[host.shows]
        lines = self._records[zone]
        behind_zone, behind = zone, label
        if host.alias_in:
            behind_zone, behind = _HOST_ZONES[host.alias_in][0], f"behind-{label}"
            lines.append(f"{label} CNAME {behind}.{behind_zone}.")
        self._records[behind_zone].append(f"{behind} A {receiver.address}")
        at_zone, at = (zone, label) if host.tlsa_at_alias else (behind_zone, behind)
        for record in host.tlsa:
            self._records[at_zone].append(f"_25._tcp.{at} TLSA {self._tlsa(record, host.shows)}")
        if host.zone == "spoilt-tlsa":
            self._spoilt[zone].append((f"_25._tcp.{label}", "TLSA"))
        if host.zone == "spoilt-address":
            self._spoilt[zone].append((label, "A"))
        if host.zone == "lame-tlsa":
            lines += [f"_tcp.{label} NS ns.lame.example.", f"_tcp.{label} DS 1 13 2 {'00' * 32}"]
        return f"{label}.{zone}"

    def _tlsa(self, record: str, shows: str) -> str:
        usage, selector, matching, what = record.split()
        numbers = int(usage), int(selector), int(matching)
        issued = {
            "leaf": self.receivers[shows].issued,
            "root": self.receivers.own.root,
            "intermediate": self.receivers.own.intermediate,
            "other": self.receivers["self-signed, other key"].issued,
        }.get(what)
        return issued.tlsa(*numbers) if issued else record

    def _zones(self) -> list[Zone]:
        zones = [
            Zone(name, "\n".join(self._records[name]), signing, tuple(self._spoilt[name]))
            for name, signing in _HOST_ZONES.values()
        ]
        for label, signing in _DOMAIN_ZONES.items():
            name = f"{label}.example"
            zones.append(Zone(name, "\n".join(self._records[name]), signing))
        return zones
