"""What several commands share: where the configuration is, and how answers are printed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from relayd.tls.contexts import use_shipped_openssl_conf

DEFAULT_CONFIG = "/etc/relayd"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config DIR``."""
    parser.add_argument(
        "--config",
        metavar="DIR",
        default=os.environ.get("RELAYD_CONFIG", DEFAULT_CONFIG),
        help="the configuration folder (default: $RELAYD_CONFIG or %(default)s)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def port_number(text: str) -> int:
    """An argument that is a TCP port."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError("expected a port between 1 and 65535")
    return int(text)


def with_shipped_openssl_conf() -> None:
    """Start this command over with our OpenSSL configuration, unless one is named already.

    OpenSSL reads its groups and signature algorithms from a file, once, when it loads.
    """
    if "OPENSSL_CONF" not in os.environ:
        os.environ.update(use_shipped_openssl_conf(dict(os.environ)))
        os.execv(sys.executable, [sys.executable, "-m", "relayd.cli.main", *sys.argv[1:]])  # noqa: S606 ourselves


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON on standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=str)
    print()
