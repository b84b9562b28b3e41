"""Secrets that we share with gateways, one to a file."""

from __future__ import annotations

from pathlib import Path

from relayd.errors import ConfigurationError, Problem


def read_secret(path: Path) -> str:
    """The gateway's secret, without its line end. Only the owner (and group, as systemd credentials) may read it."""
    try:
        mode = path.stat().st_mode
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([Problem(path, None, "sms.secret_file", "can't be read")]) from error
    if mode & 0o007:
        raise ConfigurationError([Problem(path, None, "sms.secret_file", "anyone may read it: chmod 600")])
    if not secret.isprintable() or not secret:
        raise ConfigurationError([Problem(path, None, "sms.secret_file", "expected one line of printable text")])
    return secret
