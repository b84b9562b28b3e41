"""The SMS sender that a configuration names."""

from __future__ import annotations

import structlog

from relayd.errors import ConfigurationError, Problem
from relayd.settings.models import Configuration
from relayd.sms.file import FileSender
from relayd.sms.http import HttpSender, read_secret
from relayd.sms.message import Sms, SmsResult, SmsSender

_log = structlog.get_logger("relayd.sms")


class NoSender:
    """Stands where no gateway is configured: every code is refused, so the Viewer says that it can't send one."""

    async def send(self, sms: Sms) -> SmsResult:
        _log.error("sms.not_configured", reference=sms.reference)
        return SmsResult.REFUSED

    async def close(self) -> None:
        return


def make_sender(configuration: Configuration) -> SmsSender:
    """Raises ConfigurationError when the settings can't work together."""
    settings = configuration.sms
    if settings.sender == "none":
        return NoSender()
    if settings.sender == "file":
        if not configuration.demo:
            raise _problem("sms.sender", "file writes codes in clear text: it needs demo: true; use http instead")
        if settings.file is None:
            raise _problem("sms.file", "the file sender needs the path to write to")
        return FileSender(settings.file)
    if not settings.url.startswith(("https://", "http://127.0.0.1", "http://[::1]", "http://localhost")):
        raise _problem("sms.url", "expected an https:// address: codes and numbers travel in it")
    secret = read_secret(settings.secret_file) if settings.secret_file else ""
    return HttpSender(settings, secret)


def _problem(key: str, text: str) -> ConfigurationError:
    return ConfigurationError([Problem("relayd.yaml", None, key, text)])
