"""``relayd keys``: the keys that protect stored mail."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.connect import configuration_of
from relayd.vault.keyring import FILE, generate

_EPILOG: Final = """\
example:
  relayd keys generate --config /etc/relayd

Back up the keys folder apart from the state folder, and keep only the latest backup: what a destroyed week's key
protected is gone only when no copy of the key is left. Without the keys nobody can read the stored mail.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``keys``."""
    parser = commands.add_parser(
        "keys",
        help="the keys that protect stored mail: generate",
        description="The keys that protect stored mail.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    making = actions.add_parser("generate", help="make the keys folder with a fresh root key; never replaces one")
    add_config(making)
    add_json(making)
    making.set_defaults(run=run_generate)


def run_generate(arguments: argparse.Namespace) -> int:
    """Make the root key; exit status 1 when there is one."""
    folder = configuration_of(arguments.config).keys
    try:
        keyring = generate(folder)
    except FileExistsError:
        print(f"relayd keys: {folder / FILE} exists and is left alone: it protects mail", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"relayd keys: {folder}: {error.strerror}", file=sys.stderr)
        return 1
    if arguments.json:
        print_json({"file": str(folder / FILE), "root": keyring.primary})
    else:
        print(f"made {folder / FILE} with root key {keyring.primary}; back up {folder}, apart from the state folder")
    return 0
