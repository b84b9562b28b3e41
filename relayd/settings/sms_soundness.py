"""What the settings of text messages must be true to in themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from relayd.errors import Problem
from relayd.settings.explain import suggest
from relayd.settings.models import Configuration
from relayd.settings.sms import PLACEHOLDERS, GatewaySettings, ReceiptSettings, keeps_secrets, on_this_machine
from relayd.settings.source import Location, Source

#: A placeholder, or what was meant to be one. JSON's braces have quotes or spaces inside.
_BRACED = re.compile(r"\{([a-z_]+)\}")


def unsound_sms(source: Source, configuration: Configuration) -> Iterator[Problem]:
    """Every contradiction under ``sms``."""
    sms = configuration.sms
    if not sms.gateways:
        yield from _gateway(source, ["sms"], sms, configuration.demo)
    elif sms.sender != "none":
        yield source.problem(["sms", "sender"], "there are gateways too; move this one there, under a name of its own")
    for name, gateway in sms.gateways.items():
        at = ["sms", "gateways", name]
        if gateway.sender == "none":
            yield source.problem(at, "needs sender: http, smpp or file")
        yield from _gateway(source, at, gateway, configuration.demo)
    orders = [(["sms", "failover"], sms.failover)]
    orders += [(["sms", "by_prefix", prefix], names) for prefix, names in sms.by_prefix.items()]
    for place, names in orders:
        for number, name in enumerate(names):
            if name not in sms.gateways:
                hint = suggest(name, sms.gateways) or "add it under sms.gateways"
                yield source.problem([*place, number], f"there is no gateway called {name}; {hint}")
    for prefix, names in sms.by_prefix.items():
        if not names:
            yield source.problem(["sms", "by_prefix", prefix], "names no gateway: no code would go there")


def _gateway(source: Source, at: list[str], gateway: GatewaySettings, demo: bool) -> Iterator[Problem]:
    if gateway.sender == "file":
        if not demo:
            yield source.problem([*at, "sender"], "file writes access codes to disk; it needs demo: true")
        if gateway.file is None:
            yield source.problem(at, "sender: file needs file, the path to write to")
    if gateway.sender == "http":
        yield from _http(source, at, gateway)
    if gateway.sender == "smpp":
        yield from _smpp(source, at, gateway)
    if gateway.receipts is not None:
        if gateway.sender != "http":
            yield source.problem([*at, "receipts"], "is for sender: http; SMPP brings its receipts by itself")
        yield from _receipts(source, [*at, "receipts"], gateway, gateway.receipts)


def _http(source: Source, at: list[str], gateway: GatewaySettings) -> Iterator[Problem]:
    if not keeps_secrets(gateway.url):
        yield source.problem([*at, "url"], "expected the gateway's address, https://…")
        return
    used = set(_BRACED.findall(_templates(gateway)))
    for name in sorted(used - set(PLACEHOLDERS)):
        yield source.problem(at, f"there is no {{{name}}}; {suggest(name, PLACEHOLDERS)}")
    for name in ("number", "text"):
        if name not in used:
            yield source.problem(at, f"sends no {{{name}}}: put it into url, headers or body")
    if "secret" in used and gateway.secret_file is None:
        yield source.problem(at, "sends {secret}, but there is no secret_file")


def _templates(gateway: GatewaySettings) -> str:
    """All that a request is made from."""
    return "".join((gateway.url, *gateway.headers.values(), gateway.body if gateway.method == "POST" else ""))


def _smpp(source: Source, at: list[str], gateway: GatewaySettings) -> Iterator[Problem]:
    if gateway.smpp is None:
        yield source.problem(at, "sender: smpp needs smpp: {address, system_id, source}")
        return
    if gateway.secret_file is None:
        yield source.problem(at, "sender: smpp needs secret_file, with the password")
    if gateway.smpp.plaintext and not on_this_machine(gateway.smpp.address):
        yield source.problem([*at, "smpp", "plaintext"], "only on this machine: codes and numbers travel there")


def _receipts(source: Source, at: Location, gateway: GatewaySettings, receipts: ReceiptSettings) -> Iterator[Problem]:
    if bool(receipts.secret_header) == bool(receipts.signature_header):
        yield source.problem(at, "expected either secret_header or signature_header: a receipt must be proven")
    if not gateway.answer_id and "{id}" not in _templates(gateway):
        yield source.problem(at, "can't be told apart: send {id} along, or name answer_id")
    for state in sorted(set(receipts.delivered) & set(receipts.failed)):
        yield source.problem([*at, "failed"], f"{state} stands under delivered too")
