"""``relayd message``: find a message, and read its journal."""

from __future__ import annotations

import argparse
from typing import Any, Final

import msgspec

from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.connect import configuration_of, with_store
from relayd.cli.queue import delivery_json, message_json
from relayd.cli.table import printable, table
from relayd.cli.times import iso, local, moment
from relayd.journal.event import Event
from relayd.journal.words import in_words
from relayd.store.interface import Store
from relayd.store.queue_commands import Found, Search
from relayd.store.records import Delivery, Message
from relayd.store.resend import Resent

_EPILOG: Final = """\
examples:
  relayd message find --recipient 'jansen@*' --since 2026-11-01
  relayd message find --sender info@hospital.example --limit 5 --json
  relayd message show 0k7mabcd12345678          everything that happened to it, in order
  relayd message resend 0k7mabcd12345678 --recipient jansen@clinic.example --reason 'mailbox was restored'
  relayd message unlock 0k7mabcd12345678 patient@home.example     after too many wrong access codes
  relayd message revoke 0k7mabcd12345678 patient@home.example     withdrawn: open sessions end too
  relayd message restore 0k7mabcd12345678 patient@home.example    the same, taken back
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``message``."""
    parser = commands.add_parser(
        "message",
        help="find messages and read what happened to them",
        description="Find messages of the retention time, read their journal, deliver them again.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    find = actions.add_parser("find", help="by sender, recipient and time; newest first")
    find.add_argument("--sender", help="address; * stands for anything")
    find.add_argument("--recipient", help="address; * stands for anything")
    find.add_argument("--organisation")
    find.add_argument("--since", type=moment, help="2026-11-23 or 2026-11-23T14:30, local time")
    find.add_argument("--until", type=moment)
    find.add_argument("--message", metavar="ID", help="this one")
    find.add_argument("--limit", type=int, default=100, help="at most so many (100)")
    find.set_defaults(run=run_find)
    show = actions.add_parser("show", help="its journal in the order of time")
    show.add_argument("id", metavar="ID")
    show.set_defaults(run=run_show)
    resend = actions.add_parser("resend", help="deliver a kept message once more")
    resend.add_argument("id", metavar="ID")
    resend.add_argument("--recipient", action="append", default=[], help="only to this one; may be given often")
    resend.add_argument("--reason", required=True, help="for the journal")
    resend.set_defaults(run=run_resend)
    unlock = actions.add_parser("unlock", help="let a recipient of the Viewer try access codes again")
    revoke = actions.add_parser("revoke", help="withdraw a message from a recipient of the Viewer")
    restore = actions.add_parser("restore", help="take a withdrawal back")
    for action, run in ((unlock, run_unlock), (revoke, run_revoke), (restore, run_restore)):
        action.add_argument("id", metavar="ID")
        action.add_argument("recipient", metavar="ADDRESS")
        action.set_defaults(run=run)
    for action in (find, show, resend, unlock, revoke, restore):
        add_config(action)
        add_json(action)


def run_find(arguments: argparse.Namespace) -> int:
    """Print what matches; exit status 1 when nothing does."""
    search = Search(
        id=arguments.message,
        sender=arguments.sender,
        recipient=arguments.recipient,
        organisation=arguments.organisation,
        since=arguments.since,
        until=arguments.until,
        limit=arguments.limit,
    )

    async def work(store: Store) -> list[Found]:
        found: list[Found] = await store.call("message_find", search=search)
        return found

    found = with_store(configuration_of(arguments.config), work)
    if arguments.json:
        print_json([msgspec.to_builtins(one) | {"received_at": iso(one.received_at)} for one in found])
    elif not found:
        print("no message matches")
    else:
        head = ("ID", "RECEIVED", "FROM", "TO", "SIZE", "STATES")
        print(table(head, [_row(one) for one in found]))
    return 0 if found else 1


def _row(found: Found) -> tuple[str, ...]:
    more = f" and {len(found.recipients) - 1} more" if len(found.recipients) > 1 else ""
    return (
        found.id,
        local(found.received_at),
        found.sender or "<>",
        "".join(found.recipients[:1]) + more,
        str(found.size),
        ", ".join(f"{count} {state}" for state, count in sorted(found.states.items())),
    )


def run_show(arguments: argparse.Namespace) -> int:
    """Print a message's journal."""

    async def work(store: Store) -> tuple[Message, list[Delivery], list[Event]]:
        return (
            await store.message(arguments.id),
            await store.deliveries(arguments.id),
            await store.journal(arguments.id),
        )

    message, deliveries, events = with_store(configuration_of(arguments.config), work)
    if arguments.json:
        parts = {
            "deliveries": [delivery_json(one) for one in deliveries],
            "journal": [_event_json(one) for one in events],
        }
        print_json(message_json(message) | parts)
        return 0
    print(f"{message.id}  from {printable(message.sender) or '<>'}  {message.size} octets  by {message.origin}")
    for one in deliveries:
        print(f"  to {printable(one.recipient)}: {one.state}")
    print()
    for event in events:
        first, *more = in_words(event).split("\n")
        print(f"{local(event.at)}  {printable(first)}")
        for line in more:
            print(f"{'':21}{printable(line)}")
    return 0


def _event_json(event: Event) -> dict[str, Any]:
    return {"at": iso(event.at), "kind": event.kind, "recipient": event.recipient, "facts": event.facts}


def run_resend(arguments: argparse.Namespace) -> int:
    """Deliver again; exit status 1 when that isn't possible for everyone named."""

    async def work(store: Store) -> Resent:
        resent: Resent = await store.call(
            "message_resend", message_id=arguments.id, recipients=arguments.recipient, reason=arguments.reason
        )
        return resent

    resent = with_store(configuration_of(arguments.config), work)
    if arguments.json:
        print_json(msgspec.to_builtins(resent))
    elif resent.forgotten:
        print(f"{arguments.id} can't be sent again: there is no such message, or its retention has ended")
    else:
        for words, recipients in (
            ("is delivered once more", resent.recipients),
            ("has a delivery that still waits: use relayd queue retry", resent.waiting),
            ("is no recipient of this message", resent.unknown),
        ):
            for recipient in recipients:
                print(f"{printable(recipient)} {words}")
    return 0 if resent.recipients and not resent.waiting and not resent.unknown else 1


def run_unlock(arguments: argparse.Namespace) -> int:
    """Let a locked recipient try again."""
    return _on_grants(arguments, "viewer_unlock", "may try again", "is not locked")


def run_revoke(arguments: argparse.Namespace) -> int:
    """Withdraw a message, from open sessions too."""
    return _on_grants(arguments, "viewer_revoke", "can't read it any more", "has no link to withdraw")


def run_restore(arguments: argparse.Namespace) -> int:
    """Take a withdrawal back while the message's time runs: the same link works again, after a new code."""
    return _on_grants(arguments, "viewer_restore", "can read it again", "has no withdrawn link whose time still runs")


def _on_grants(arguments: argparse.Namespace, operation: str, done: str, nothing: str) -> int:
    async def work(store: Store) -> int:
        count: int = await store.call(operation, message_id=arguments.id, recipient=arguments.recipient)
        return count

    count = with_store(configuration_of(arguments.config), work)
    if arguments.json:
        print_json({"changed": count})
    else:
        print(f"{printable(arguments.recipient)} {done if count else nothing}")
    return 0 if count else 1
