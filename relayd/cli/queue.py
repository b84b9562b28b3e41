"""``relayd queue``: what waits and why, and what to do about it."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.connect import configuration_of, with_store
from relayd.cli.table import printable, table
from relayd.cli.times import duration, iso, local, relative, span
from relayd.clock import SystemClock
from relayd.store.interface import Store
from relayd.store.queue_commands import Changed, Chosen, Waiting
from relayd.store.records import OPEN_STATES, Delivery, State

_EPILOG: Final = """\
examples:
  relayd queue list                                    everything that waits, the next to be tried first
  relayd queue list --domain hospital.example --older-than 1h
  relayd queue show 0k7mabcd12345678
  relayd queue retry --domain hospital.example         try these now
  relayd queue hold --sender '*@shop.example' --reason 'looks like a loop'
  relayd queue release 0k7mabcd12345678
  relayd queue cancel 0k7mabcd12345678 --reason 'asked by the sender'

Addresses and domains may hold * for anything. Filters that are given must all match.
"""
_DOES: Final = {
    "retry": "try deliveries now instead of at their next attempt",
    "hold": "stop trying until they are released",
    "release": "let held deliveries go",
    "cancel": "give up on deliveries for good; the sender is not told",
}
_DONE: Final = {"retry": "will be tried now", "hold": "held", "release": "released", "cancel": "cancelled"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``queue`` and what it does."""
    parser = commands.add_parser(
        "queue",
        help="what waits to be delivered: list, show, retry, hold, release, cancel",
        description="What waits to be delivered and why, and what to do about it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = _add_action(actions, "list", "deliveries that wait, and why")
    _add_common(listing, run_list)
    _add_filters(listing, positional=False)
    listing.add_argument("--limit", type=int, default=1000, help="at most so many (1000)")
    show = _add_action(actions, "show", "one message and all its deliveries")
    _add_common(show, run_show)
    show.add_argument("id", metavar="ID")
    for action, help_text in _DOES.items():
        change = _add_action(actions, action, help_text)
        _add_common(change, run_change)
        _add_filters(change, positional=True)
        change.add_argument("--all", action="store_true", help="everything that waits, when no filter is given")
        change.set_defaults(action=action, reason=None)
        if action in ("hold", "cancel"):
            change.add_argument("--reason", required=True, help="why; it stands in the journal")


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    examples = [line for line in _EPILOG.splitlines() if f"relayd queue {name}" in line]
    return actions.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="\n".join(["examples:", *examples, "", _EPILOG.splitlines()[-1]]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_common(parser: argparse.ArgumentParser, run: Any) -> None:
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _add_filters(parser: argparse.ArgumentParser, *, positional: bool) -> None:
    if positional:
        parser.add_argument("ids", metavar="ID", nargs="*", default=[], help="message ids")
    parser.add_argument("--id", action="append", default=[], help="a message id; may be given more than once")
    parser.add_argument("--domain", help="of the recipient")
    parser.add_argument("--recipient")
    parser.add_argument("--sender")
    parser.add_argument("--organisation")
    parser.add_argument("--state", choices=sorted(OPEN_STATES))
    parser.add_argument("--older-than", type=duration, metavar="AGE", help="received longer ago than 90s, 20m, 2h, 3d")


def _chosen(arguments: argparse.Namespace) -> Chosen:
    return Chosen(
        ids=(*getattr(arguments, "ids", ()), *arguments.id),
        domain=arguments.domain,
        recipient=arguments.recipient,
        sender=arguments.sender,
        organisation=arguments.organisation,
        state=State(arguments.state) if arguments.state else None,
        before=SystemClock().now() - arguments.older_than if arguments.older_than is not None else None,
    )


def run_list(arguments: argparse.Namespace) -> int:
    """Print what waits."""

    async def work(store: Store) -> list[Waiting]:
        found: list[Waiting] = await store.call("queue_list", chosen=_chosen(arguments), limit=arguments.limit)
        return found

    found, now = with_store(configuration_of(arguments.config), work), SystemClock().now()
    if arguments.json:
        print_json([_waiting_json(waiting) for waiting in found])
    elif not found:
        print("nothing waits")
    else:
        head = ("ID", "RECIPIENT", "SENDER", "AGE", "STATE", "NEXT TRY", "WHY")
        print(table(head, [_row(waiting, now) for waiting in found]))
    return 0


def _row(waiting: Waiting, now: float) -> tuple[str, ...]:
    one = waiting.delivery
    return (
        f"{one.message_id}/{one.number}",
        one.recipient,
        waiting.sender or "<>",
        span(now - waiting.received_at),
        one.state,
        _next_try(one, now),
        why(one),
    )


def _next_try(one: Delivery, now: float) -> str:
    if one.owner is not None:
        return "at it now"
    if one.state is State.HELD:
        return "-"
    return "due" if one.next_attempt <= now else relative(one.next_attempt, now)


def why(one: Delivery) -> str:
    """Why this delivery waits, in words."""
    if one.state is State.HELD:
        return "held" + (f"; before that: {one.last_reply}" if one.last_reply else "")
    if one.owner is not None:
        return f"worker {one.owner} is delivering it"
    if one.state is State.UNDECIDED:
        return one.last_reply or "its route could not be decided yet"
    return one.last_reply or ("not tried yet" if one.attempts == 0 else f"{one.attempts} tries, no reply")


def run_show(arguments: argparse.Namespace) -> int:
    """Print one message with its deliveries."""

    async def work(store: Store) -> tuple[Any, list[Delivery]]:
        return await store.message(arguments.id), await store.deliveries(arguments.id)

    message, deliveries = with_store(configuration_of(arguments.config), work)
    now = SystemClock().now()
    if arguments.json:
        print_json(message_json(message) | {"deliveries": [delivery_json(one) for one in deliveries]})
        return 0
    print(f"message       {message.id}")
    print(f"from          {printable(message.sender) or '<>'}   organisation {message.organisation or '-'}")
    print(f"received      {local(message.received_at)} ({relative(message.received_at, now)})   by {message.origin}")
    print(f"size          {message.size} octets")
    print(f"kept until    {local(message.expires_at)}")
    for one in deliveries:
        print(f"\n{one.number}: {printable(one.recipient)}   {one.state}")
        print(f"   route      {one.route or 'undecided'} {one.target}   class {one.message_class}")
        print(f"   tries      {one.attempts}   last change {relative(one.updated_at, now)}")
        if one.state in OPEN_STATES:
            print(f"   next try   {_next_try(one, now)}: {printable(why(one))}")
        elif one.last_reply:
            print(f"   reply      {printable(one.last_reply)}")
    return 0


def run_change(arguments: argparse.Namespace) -> int:
    """Retry, hold, release or cancel; exit status 1 when nothing was changed."""
    chosen = _chosen(arguments)
    if chosen == Chosen() and not arguments.all:
        print("relayd queue: say which: a message id, a filter, or --all", file=sys.stderr)
        return 2
    reason = {} if arguments.reason is None else {"reason": arguments.reason}

    async def work(store: Store) -> Changed:
        changed: Changed = await store.call(f"queue_{arguments.action}", chosen=chosen, **reason)
        return changed

    done = with_store(configuration_of(arguments.config), work)
    if arguments.json:
        print_json({name: [list(place) for place in getattr(done, name)] for name in ("changed", "busy", "unfit")})
    else:
        for places, text in (
            (done.changed, _DONE[arguments.action]),
            (done.busy, "left alone: being delivered at this moment; try again"),
            (done.unfit, "left alone: in another state"),
        ):
            for message_id, number in places:
                print(f"{message_id}/{number}: {text}")
        if done == Changed():
            print("nothing that waits matches")
    return 0 if done.changed else 1


def _waiting_json(waiting: Waiting) -> dict[str, Any]:
    return delivery_json(waiting.delivery) | {
        "sender": waiting.sender,
        "organisation": waiting.organisation,
        "received_at": iso(waiting.received_at),
        "expires_at": iso(waiting.expires_at),
        "size": waiting.size,
        "why": why(waiting.delivery),
    }


def delivery_json(one: Delivery) -> dict[str, Any]:
    """A delivery for ``--json``."""
    return {
        "message": one.message_id,
        "number": one.number,
        "recipient": one.recipient,
        "domain": one.domain,
        "state": one.state.value,
        "route": one.route,
        "target": one.target,
        "class": one.message_class,
        "attempts": one.attempts,
        "next_attempt": iso(one.next_attempt) if one.state in OPEN_STATES else None,
        "owner": one.owner,
        "last_reply": one.last_reply,
        "updated_at": iso(one.updated_at),
    }


def message_json(message: Any) -> dict[str, Any]:
    """A message for ``--json``: no keys, nothing sealed."""
    return {
        "id": message.id,
        "organisation": message.organisation,
        "epoch": message.epoch,
        "sender": message.sender,
        "received_at": iso(message.received_at),
        "expires_at": iso(message.expires_at),
        "size": message.size,
        "origin": message.origin,
        "account": message.account,
        "parent": message.parent,
        "require_tls": message.require_tls,
    }
