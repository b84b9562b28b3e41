"""``relayd``: the command line. Each command group is a module of this package with ``add_parser``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from relayd import __version__
from relayd.dumps import forbid_core_dumps
from relayd.errors import ConfigurationError, RelaydError

#: The modules of the command groups, in the order of ``relayd --help``.
GROUPS: Final = (
    *("serve", "check", "explain", "reload", "queue", "message", "reports", "verify", "doctor", "tls_profile", "keys"),
    *("edi", "account", "records", "dkim", "nta7516", "mta_sts", "dane", "dial", "spf", "dmarc"),
)

_EPILOG = """\
examples:
  relayd check --config /etc/relayd            is the configuration right?
  relayd serve --config /etc/relayd            run the daemon
  relayd explain mail.eml --from a@x.nl --to b@y.nl --config /etc/relayd
                                               what would happen to this message, and why?
  relayd queue list                            what waits, and why

The configuration folder may also be given in RELAYD_CONFIG; it is /etc/relayd when nothing is said.
exit status: 0 done, 1 the answer is no or something is wrong, 2 the call itself was wrong
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command group."""
    parser = argparse.ArgumentParser(
        prog="relayd",
        description="A secure mail relay: verified TLS to mail servers, an encrypted Viewer for everyone else.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"relayd {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in GROUPS:
        importlib.import_module(f"relayd.cli.{group}").add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    forbid_core_dumps()
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has seen enough. What is still buffered goes nowhere, without a word about it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigurationError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 1
    except RelaydError as error:
        print(f"relayd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
