"""`relayd explain` says what would happen to a message and why, for each recipient and policy."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relayd.cli.main import main
from tests.kit.configuration import write_configuration

ORGANISATIONS = """
    organisations:
      north:
        name: Hospital North
        domains: [north.example]
        recognised_by: {networks: [192.0.2.0/28]}
      south:
        name: Clinic South
        domains: [south.example, hosted.example]
        contacts_file: contacts.csv
"""
POLICIES = """
    - policy: sender
    - policy: domainbook
    - policy: viewer
"""
HASH = "{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"
MESSAGE = b"From: jan@hosted.example\nTo: b@north.example\nSubject: Private matters [sms:+31612345678]\n\nHello\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "contacts.csv").write_text("known@out.example,+31612345679\n")
    (tmp_path / "mail.eml").write_bytes(MESSAGE)
    accounts = f"jan@hosted.example:{HASH}::::::userdb_relayd_organisation=south\n"
    return write_configuration(tmp_path, organisations=ORGANISATIONS, policies=POLICIES, accounts=accounts)


def explain(folder: Path, *words: str, file: str = "mail.eml") -> int:
    path = file if file == "-" else str(folder / file)
    return main(["explain", path, "--config", str(folder), *words])


def facts(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    explain(folder, *words, "--json")
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


JAN = ("--from", "jan@hosted.example", "--account", "jan@hosted.example")


def test_each_recipient_has_its_way(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = facts(folder, capsys, *JAN, "--to", "b@north.example", "jan@hosted.example", "--to", "x@out.example")
    assert said["accepted"] is True
    assert said["origin"] == {
        "via": "account",
        "organisations": ["south"],
        "platform": "",
        "account": "jan@hosted.example",
    }
    ways = {one["recipient"]: (one["outcome"], one["target"], one["next_hops"]) for one in said["recipients"]}
    assert ways == {
        "b@north.example": ("relay", "north.example", ["mx.north.example:25"]),
        "jan@hosted.example": ("mailbox", "main", []),
        "x@out.example": ("viewer", "", []),
    }
    plans = {one["recipient"]: one.get("ways") for one in said["recipients"]}
    assert plans["jan@hosted.example"] is plans["x@out.example"] is None
    (plan,) = plans["b@north.example"]
    assert (plan["host"], plan["demand"], plan["proven"]) == ("mx.north.example", "verified", True)


def test_the_verdicts_say_which_policy_and_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = facts(folder, capsys, *JAN, "--to", "b@north.example")
    (route,) = (one for one in said["verdicts"] if one["verdict"] == "route")
    assert (route["policy"], route["stage"], route["recipients"]) == ("domainbook", "route", ["b@north.example"])


def test_the_text_reads_from_mail_to_reply(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(folder, *JAN, "--to", "b@north.example") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sender: south, recognised by account jan@hosted.example"
    assert [line.split()[0] for line in lines if line[:1].isupper()] == ["MAIL", "RCPT", "DATA", "ROUTE"]
    assert "b@north.example: relay north.example by mx.north.example:25 (confidential)" in lines
    assert any(
        line.startswith("    mx.north.example: verified: the domainbook names mx.north.example") for line in lines
    )
    assert "    header: subject replaced" in lines
    assert lines[-1] == "reply: 250 2.0.0 Accepted"


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (("--from", "me@out.example", "--to", "x@elsewhere.example"), "550 5.7.1"),
        (("--from", "a@north.example", "--to", "x@out.example", "--peer", "192.0.2.1", "--no-tls"), "530 5.7.0"),
        (("--from", "other@hosted.example", "--account", "jan@hosted.example", "--to", "x@out.example"), "550 5.7.1"),
        (("--from", "me@out.example", "--to", "nobody@hosted.example"), "550 5.1.1"),
    ],
)
def test_a_refusal_is_told_with_its_reply(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reply: str
) -> None:
    said = facts(folder, capsys, *words)
    assert said["accepted"] is False
    assert said["reply"].startswith(reply)
    assert {one["outcome"] for one in said["recipients"]} == {"refused"}
    assert explain(folder, *words) == 1


def test_one_refused_recipient_does_not_stop_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = facts(folder, capsys, *JAN, "--to", "nobody@hosted.example", "b@north.example")
    assert said["accepted"] is True
    assert [one["outcome"] for one in said["recipients"]] == ["refused", "relay"]


def test_no_subject_and_no_number_is_ever_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--json"]):
        explain(folder, *JAN, "--to", "known@out.example", *options)
        said = capsys.readouterr()
        assert "Private" not in said.out + said.err
        assert "61234567" not in said.out + said.err
        assert "subject" in said.out  # that it is rewritten may be known


def test_the_message_may_come_from_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(MESSAGE)))
    assert explain(folder, *JAN, "--to", "b@north.example", file="-") == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--from", "jan", "--to", "b@north.example"), "jan isn't a mail address"),
        (("--from", "", "--to", "b@north.example", "--peer", "here"), "here isn't an IP address"),
        (("--from", "", "--to", "b@north.example", "--no-tls", "--account", "a@b.example"), "inside TLS only"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert explain(folder, *words) == 1
    assert says in capsys.readouterr().err


def test_a_missing_file_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(folder, *JAN, "--to", "b@north.example", file="absent.eml") == 1
    assert "absent.eml can't be read: No such file or directory" in capsys.readouterr().err


def test_an_account_that_does_not_exist_is_a_mistake_in_the_call(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["explain", str(folder / "mail.eml"), "--from", "jan@hosted.example", "--to", "b@north.example"]
    assert main([*call, "--account", "nobody@hosted.example", "--config", str(folder)]) == 1
    assert "there is no account nobody@hosted.example" in capsys.readouterr().err
