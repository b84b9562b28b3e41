"""``relayd verify``: is everything that was accepted still there and whole?"""

from __future__ import annotations

import argparse
import sqlite3
from dataclasses import asdict
from typing import Final

from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.connect import configuration_of, existing_database
from relayd.cli.table import printable
from relayd.clock import SystemClock
from relayd.settings.models import Configuration
from relayd.store.blobs import Blobs
from relayd.store.database import connect_reader, unavailable
from relayd.store.verify import Verifier, Violation
from relayd.vault.epochs import EpochKeys
from relayd.vault.keyring import Keyring
from relayd.vault.vault import Vault

_EPILOG: Final = """\
examples:
  relayd verify            rows, files, keys and leases; seconds
  relayd verify --deep     also opens every message; reads all that is stored
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``verify``."""
    parser = commands.add_parser(
        "verify",
        help="check the store's invariants: bodies, rows, keys, leases",
        description="Check that every message has its body and its key, that nothing lies about without a message, "
        "and that no delivery is stuck with a dead worker. Changes nothing; relayd may run. Exit status 1 when "
        "something is wrong.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    add_json(parser)
    parser.add_argument("--deep", action="store_true", help="open and authenticate every body")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong."""
    configuration = configuration_of(arguments.config)
    violations, messages = examine(configuration, deep=arguments.deep)
    if arguments.json:
        print_json({"messages": messages, "violations": [asdict(violation) for violation in violations]})
    else:
        for violation in violations:
            print(f"{violation.rule:9} {printable(violation.subject)}: {printable(violation.text)}")
        found = f"{len(violations)} violations" if violations else "all invariants hold"
        print(f"{messages} messages, {found}")
    return 1 if violations else 0


def examine(configuration: Configuration, *, deep: bool) -> tuple[list[Violation], int]:
    """All violations, and how many messages there are."""
    path = existing_database(configuration)
    clock = SystemClock()
    keyring = Keyring.load(configuration.keys)
    epochs = EpochKeys(configuration.keys / "epochs", keyring)
    blobs = Blobs(configuration.state / "blobs", "verify", settings=configuration.store, clock=clock)
    verifier = Verifier(configuration.state, blobs, epochs, Vault(keyring, epochs), clock)
    try:
        db = connect_reader(path)
        try:
            violations = list(verifier.run(db, deep=deep))
            return violations, int(db.execute("SELECT count(*) FROM message").fetchone()[0])
        finally:
            db.close()
    except sqlite3.Error as error:  # Not only a sick disk's: a database without our tables is none of ours.
        raise unavailable(error) from error
