"""``relayd account``: the logins of people and mail servers."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import Final

from relayd.cli.common import add_config, add_json, print_json
from relayd.directory.verifiers import Scheme, hash_password
from relayd.errors import RelaydError, SyntaxInvalid
from relayd.mail.address import Address, parse_address
from relayd.settings.accounts import AccountLine
from relayd.settings.accounts_file import add_account
from relayd.settings.explain import suggest
from relayd.settings.load import load_configuration, load_organisations

_SCHEMES: Final[dict[str, Scheme]] = {"argon2id": "ARGON2ID", "scram-sha-256": "SCRAM-SHA-256"}
_SHORTEST: Final = 8


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``account add``."""
    parser = commands.add_parser("account", help="add a login", description="The logins in the accounts file.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    add = actions.add_parser(
        "add",
        help="add a login to the accounts file",
        description="Add a login. The password is asked twice, or read from a file or standard input; it is never an "
        "argument. `relayd reload` then puts the account in force.",
        epilog="examples:\n"
        "  relayd account add jan@clinic.example --organisation clinic --alias info@clinic.example\n"
        "  relayd account add mx@clinic.example --organisation clinic --machine --password-file mx.password\n"
        "  pwgen 20 1 | tee mx.password | relayd account add mx@clinic.example --organisation clinic --password-file -",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("address", metavar="ADDRESS", help="the login name, which is also its first address")
    add.add_argument("--organisation", required=True, metavar="ID", help="whose account it is")
    add.add_argument("--alias", action="append", default=[], metavar="ADDRESS", help="a further address; repeatable")
    add.add_argument("--edi-number", action="append", default=[], metavar="N", help="its number in EDI; repeatable")
    add.add_argument(
        "--machine", action="store_true", help="a mail server's login: may send from all domains of its organisation"
    )
    add.add_argument(
        "--scheme", choices=list(_SCHEMES), default="argon2id", help="how the password is kept (%(default)s)"
    )
    add.add_argument(
        "--password-file", metavar="FILE", help="read the password from the first line; - is standard input"
    )
    add.add_argument("--replace", action="store_true", help="replace the account of this name, and its password")
    add_config(add)
    add_json(add)
    add.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Add the account."""
    folder = Path(arguments.config)
    configuration, organisations = load_configuration(folder), load_organisations(folder)
    entry = organisations.organisations.get(arguments.organisation)
    if entry is None:
        hint = suggest(arguments.organisation, organisations.organisations)
        raise RelaydError(f"there is no organisation {arguments.organisation}; {hint}")
    addresses = [_address(text) for text in (arguments.address, *arguments.alias)]
    for address in addresses:
        if address.domain not in entry.domains:
            raise RelaydError(
                f"{address.domain} isn't a domain of {arguments.organisation}; {suggest(address.domain, entry.domains)}"
            )
    if arguments.machine and len(addresses) > 1:
        raise RelaydError("a machine has no aliases: it may send from all domains of its organisation")
    if arguments.machine and arguments.edi_number:
        raise RelaydError("a machine has no mailbox for EDI; give the number to the organisation")
    account = AccountLine(
        name=addresses[0],
        verifier=hash_password(_password(arguments.password_file), _SCHEMES[arguments.scheme]),
        organisation=arguments.organisation,
        aliases=tuple(addresses[1:]),
        machine=arguments.machine,
        edi_numbers=tuple(arguments.edi_number),
    )
    add_account(configuration.accounts, account, replace=arguments.replace)
    if arguments.json:
        print_json({"account": account.name.key, "file": str(configuration.accounts)})
    else:
        print(f"{account.name.key} is in {configuration.accounts}; relayd reload puts it in force")
    return 0


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except SyntaxInvalid as error:
        raise RelaydError(f"{text} isn't a mail address: {error}") from error


def _password(file: str | None) -> str:
    password = _ask() if file is None else _read(file)
    if len(password) < _SHORTEST:
        raise RelaydError(f"the password needs at least {_SHORTEST} characters")
    return password


def _ask() -> str:
    if not sys.stdin.isatty():
        raise RelaydError("there is no terminal to ask the password on; use --password-file FILE, or - for stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise RelaydError("the two passwords differ")
    return password


def _read(file: str) -> str:
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text("utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise RelaydError(f"{file} can't be read: {getattr(error, 'strerror', 'it is not UTF-8')}") from error
    return text.rstrip("\r\n")
