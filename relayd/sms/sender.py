"""The way out for SMS that a configuration describes."""

from __future__ import annotations

import structlog

from relayd.clock import Clock
from relayd.errors import ConfigurationError, Problem
from relayd.settings.models import Configuration
from relayd.settings.sms import LONGEST_PASSWORD, GatewaySettings, keeps_secrets, on_this_machine
from relayd.sms.file import FileSender
from relayd.sms.http import HttpSender
from relayd.sms.message import Ledger, Receipt, Sent, Sms, SmsResult, SmsSender
from relayd.sms.routing import Gateway, Gateways
from relayd.sms.secret import read_secret
from relayd.sms.smpp import SmppSender

_log = structlog.get_logger("relayd.sms")


class NoSender:
    """Stands where no gateway is configured: every code is refused, so the Viewer says that it can't send one."""

    async def open(self) -> None:
        return

    async def send(self, sms: Sms) -> Sent:
        _log.error("sms.not_configured", reference=sms.reference)
        return Sent(SmsResult.REFUSED)

    async def close(self) -> None:
        return


def make_sender(configuration: Configuration, ledger: Ledger, clock: Clock) -> SmsSender:
    """Raises ConfigurationError when the settings can't work together."""
    sms = configuration.sms
    gateways = [
        Gateway(name, _sender(name, one, configuration, ledger), one.per_day) for name, one in sms.named.items()
    ]
    return Gateways(gateways, sms.failover or tuple(sms.named), sms.by_prefix, ledger, clock)


def _sender(name: str, settings: GatewaySettings, configuration: Configuration, ledger: Ledger) -> SmsSender:
    key = f"sms.gateways.{name}" if configuration.sms.gateways else "sms"
    match settings.sender:
        case "none":
            return NoSender()
        case "file":
            if not configuration.demo:
                raise _problem(f"{key}.sender", "file writes codes in clear text: it needs demo: true; use http")
            if settings.file is None:
                raise _problem(f"{key}.file", "the file sender needs the path to write to")
            return FileSender(settings.file)
        case "http":
            if not keeps_secrets(settings.url):
                raise _problem(f"{key}.url", "expected an https:// address: codes and numbers travel in it")
            return HttpSender(settings, read_secret(settings.secret_file) if settings.secret_file else "")
        case "smpp":
            return _smpp(name, key, settings, ledger)


def _smpp(name: str, key: str, settings: GatewaySettings, ledger: Ledger) -> SmppSender:
    if settings.smpp is None or settings.secret_file is None:
        raise _problem(key, "smpp needs smpp: {address, system_id, source}, and the password in secret_file")
    if settings.smpp.plaintext and not on_this_machine(settings.smpp.address):
        raise _problem(f"{key}.smpp.plaintext", "only on this machine: codes and numbers travel there")
    password = read_secret(settings.secret_file)
    if len(password) > LONGEST_PASSWORD:
        raise _problem(f"{key}.secret_file", f"a password of SMPP has at most {LONGEST_PASSWORD} characters")

    async def heard(receipt: Receipt) -> None:
        await ledger.heard(name, receipt)

    return SmppSender(settings.smpp, password, heard)


def _problem(key: str, text: str) -> ConfigurationError:
    return ConfigurationError([Problem("relayd.yaml", None, key, text)])
