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

_EPILOG: Final = """\
examples:
  relayd message find --recipient 'jansen@*' --since 2026-11-01
  relayd message find --sender info@hospital.example --limit 5 --json
  relayd message show 0k7mabcd12345678          everything that happened to it, in order
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``message``."""
    parser = commands.add_parser(
        "message",
        help="find messages and read what happened to them",
        description="Find messages of the retention time, and read their journal.",
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
    for action in (find, show):
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
