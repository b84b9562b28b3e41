"""``relayd queue``, ``message``, ``verify`` and ``keys`` on a real store, with and without a running store process."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relayd.cli import connect, keys, message, queue, verify
from relayd.cli.main import main
from relayd.cli.times import duration, moment, relative, span
from relayd.errors import StoreUnavailable
from relayd.store.records import NewMessage, Settlement, State
from relayd.store.sqlite import SqliteStore
from tests.kit.configuration import write_configuration
from tests.store.rig import SETTINGS, Rig

Run = Callable[..., int]


@pytest.fixture
def relayd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line on the rig in ``tmp_path``."""
    configuration = SimpleNamespace(state=tmp_path / "state", keys=tmp_path / "keys", store=SETTINGS)
    for module in (queue, message, verify, keys):
        monkeypatch.setattr(module, "configuration_of", lambda _: configuration)

    def run(*argv: str) -> int:
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers(required=True)
        for module in (queue, message, verify, keys):
            module.add_parser(commands)
        arguments = parser.parse_args(argv)
        return int(arguments.run(arguments))

    return run


def filled(folder: Path, work: Callable[[Rig, SqliteStore], Awaitable[Any]]) -> Any:
    """What ``work`` made in a store that is closed again."""

    async def main() -> Any:
        rig = Rig(folder)
        store = await rig.open()
        try:
            return await work(rig, store)
        finally:
            await store.close()
            await rig.blobs.close()

    return asyncio.run(main())


@pytest.fixture
def sent(tmp_path: Path) -> NewMessage:
    """A message of which one recipient waits with a reply and the other was delivered to."""

    async def work(rig: Rig, store: SqliteStore) -> NewMessage:
        new = await rig.message("a@clinic.example", "b@\x1b[31mevil.example", owner="w1")
        await store.accept(new)
        later = Settlement(
            message_id=new.id,
            number=0,
            generation=1,
            state=State.QUEUED,
            next_attempt=rig.clock.now() + 10**9,
            last_reply="450 4.2.0 mailbox busy",
        )
        await store.settle([later, Settlement(message_id=new.id, number=1, generation=1, state=State.DELIVERED)])
        return new

    made: NewMessage = filled(tmp_path, work)
    return made


def test_the_list_says_why_something_waits(relayd: Run, sent: NewMessage, capsys: pytest.CaptureFixture[str]) -> None:
    assert relayd("queue", "list") == 0
    printed = capsys.readouterr().out
    assert f"{sent.id}/0" in printed
    assert "450 4.2.0 mailbox busy" in printed
    assert " in " in printed
    assert relayd("queue", "list", "--domain", "nowhere.example") == 0
    assert capsys.readouterr().out == "nothing waits\n"


def test_the_list_as_json(relayd: Run, sent: NewMessage, capsys: pytest.CaptureFixture[str]) -> None:
    assert relayd("queue", "list", "--json") == 0
    [one] = json.loads(capsys.readouterr().out)
    assert (one["message"], one["state"], one["why"]) == (sent.id, "queued", "450 4.2.0 mailbox busy")


def test_show_has_every_recipient_and_no_escape_codes(
    relayd: Run, sent: NewMessage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert relayd("queue", "show", sent.id) == 0
    printed = capsys.readouterr().out
    assert "a@clinic.example   queued" in printed
    assert "delivered" in printed
    assert "\x1b" not in printed


def test_hold_release_and_cancel(relayd: Run, sent: NewMessage, capsys: pytest.CaptureFixture[str]) -> None:
    assert relayd("queue", "hold", sent.id, "--reason", "a loop") == 0
    assert relayd("queue", "release", "--id", sent.id) == 0
    assert relayd("queue", "cancel", "--recipient", "a@*", "--reason", "asked for", "--json") == 0
    capsys.readouterr()
    assert relayd("queue", "retry", "--all") == 1
    assert "nothing that waits matches" in capsys.readouterr().out
    assert relayd("message", "show", sent.id) == 0
    printed = capsys.readouterr().out
    assert printed.index("received") < printed.index("held (reason a loop)") < printed.index("released by an operator")
    assert "cancelled by an operator (reason asked for)" in printed


def test_a_change_without_any_choice_is_refused(relayd: Run, sent: NewMessage) -> None:
    assert relayd("queue", "retry") == 2
    with pytest.raises(SystemExit):
        relayd("queue", "cancel", sent.id)


def test_find_and_show_as_json(relayd: Run, sent: NewMessage, capsys: pytest.CaptureFixture[str]) -> None:
    assert relayd("message", "find", "--recipient", "A@clinic.example", "--json") == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["id"] == sent.id
    assert relayd("message", "find", "--message", sent.id) == 0
    assert "1 delivered, 1 queued" in capsys.readouterr().out
    assert relayd("message", "find", "--sender", "nobody@nowhere.example") == 1
    capsys.readouterr()
    assert relayd("message", "show", sent.id, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [event["kind"] for event in shown["journal"]] == ["received"]
    assert "wrapped_key" not in shown


def test_verify_answers_by_its_exit_status(
    relayd: Run, sent: NewMessage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert relayd("verify", "--deep") == 0
    assert capsys.readouterr().out == "1 messages, all invariants hold\n"
    (tmp_path / "state" / "blobs" / sent.body.file).unlink()
    assert relayd("verify", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["messages"], [one["rule"] for one in answer["violations"]]) == (1, ["body"])


def test_without_a_database_commands_say_so(relayd: Run) -> None:
    for command in (("queue", "list"), ("verify",)):
        with pytest.raises(StoreUnavailable, match="no database"):
            relayd(*command)


def test_keys_are_generated_once(relayd: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert relayd("keys", "generate", "--json") == 0
    before = (tmp_path / "keys" / "root.json").read_bytes()
    assert json.loads(capsys.readouterr().out)["file"] == str(tmp_path / "keys" / "root.json")
    assert relayd("keys", "generate") == 1
    assert (tmp_path / "keys" / "root.json").read_bytes() == before
    assert "left alone" in capsys.readouterr().err


async def test_commands_go_through_the_store_process_when_there_is_one(tmp_path: Path) -> None:
    from relayd.store.client import StoreClient
    from relayd.store.server import SOCKET, serve

    rig = Rig(tmp_path)
    store = await rig.open()
    server = await serve(store, rig.state / SOCKET)
    configuration: Any = SimpleNamespace(state=rig.state, keys=rig.keys, store=SETTINGS)
    reached = await connect.open_store(configuration)
    assert isinstance(reached, StoreClient)
    await reached.close()
    await server.close()
    with pytest.raises(StoreUnavailable, match="in use by"):
        await connect.open_store(configuration)
    await store.close()
    await rig.blobs.close()
    direct = await connect.open_store(configuration)
    assert isinstance(direct, SqliteStore)
    await direct.close()


def test_times_as_people_say_them() -> None:
    assert [duration(text) for text in ("90s", "20m", "2h", "3d")] == [90, 1200, 7200, 259200]
    for wrong in ("", "2", "h", "-1h", "1w"):
        with pytest.raises(argparse.ArgumentTypeError):
            duration(wrong)
    assert moment("2026-11-23T14:30+00:00") == 1795444200.0
    with pytest.raises(argparse.ArgumentTypeError):
        moment("yesterday")
    assert [span(seconds) for seconds in (0, 59, 61, 7500, 90000)] == ["0s", "59s", "1min 1s", "2h 5min", "1d 1h"]
    assert [relative(at, 1000.0) for at in (1000, 1300, 400)] == ["now", "in 5min", "10min ago"]


def test_a_delivered_message_is_delivered_once_more_and_a_waiting_one_is_not(
    relayd: Run, sent: NewMessage, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered, waiting = sent.deliveries[1].recipient, sent.deliveries[0].recipient
    assert relayd("message", "resend", sent.id, "--recipient", delivered, "--reason", "lost", "--json") == 0
    assert json.loads(capsys.readouterr().out)["recipients"] == [delivered]
    assert relayd("queue", "list", "--json") == 0
    assert sorted(one["recipient"] for one in json.loads(capsys.readouterr().out)) == sorted([delivered, waiting])
    assert relayd("message", "resend", sent.id, "--recipient", waiting, "--reason", "lost") == 1
    assert "relayd queue retry" in capsys.readouterr().out
    assert relayd("message", "show", sent.id, "--json") == 0
    assert "resent" in [event["kind"] for event in json.loads(capsys.readouterr().out)["journal"]]


def test_what_is_forgotten_or_unknown_is_not_sent_again(
    relayd: Run, sent: NewMessage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert relayd("message", "resend", "0000000000000000", "--reason", "lost") == 1
    assert "no such message" in capsys.readouterr().out
    assert relayd("message", "resend", sent.id, "--recipient", "x@y.example", "--reason", "lost") == 1
    assert "is no recipient" in capsys.readouterr().out
    assert relayd("message", "unlock", sent.id, "x@y.example") == 1


@pytest.mark.parametrize("command", [("queue", "list"), ("message", "revoke", "1m8c3xfq9sgp9ysp", "p@outside.example")])
def test_a_mistake_in_another_file_stops_nobody_from_acting_on_mail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """relayd goes on with the old configuration meanwhile, and a message may have to be withdrawn now."""
    write_configuration(tmp_path, organisations="organisations: {north: {nmae: North}}")
    assert main([*command, "--config", str(tmp_path)]) == 1
    assert "there is no database" in capsys.readouterr().err
