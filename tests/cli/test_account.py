"""`relayd account add` writes a login that both relayd and Dovecot can read, or nothing at all."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from relayd.cli.main import main
from relayd.directory.verifiers import check_password
from relayd.settings.accounts import parse_line, read_accounts
from tests.kit.configuration import write_configuration

PASSWORD = "correct horse"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return write_configuration(tmp_path)


def add(folder: Path, *words: str, source: str | None = None) -> int:
    password = ["--password-file", source or str(folder / "password")]
    return main(["account", "add", *words, "--config", str(folder), *password])


def test_a_person_gets_addresses_and_a_password_that_is_kept_as_argon2id(folder: Path) -> None:
    words = (
        "jan@hosted.example",
        "--organisation",
        "south",
        "--alias",
        "info@hosted.example",
        "--edi-number",
        "500000001",
    )
    assert add(folder, *words) == 0
    ((line,), problems) = read_accounts(folder / "accounts")
    assert problems == []
    assert (line.name.key, line.organisation, line.machine) == ("jan@hosted.example", "south", False)
    assert [alias.key for alias in line.aliases] == ["info@hosted.example"]
    assert line.edi_numbers == ("500000001",)
    assert line.verifier.startswith("{ARGON2ID}")
    assert check_password(line.verifier, PASSWORD)
    assert (folder / "accounts").stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in (folder / "accounts").read_text()


def test_the_line_is_dovecots_passwd_file_form(folder: Path) -> None:
    add(folder, "mx@north.example", "--organisation", "north", "--machine", "--scheme", "scram-sha-256")
    (text,) = (folder / "accounts").read_text().splitlines()
    name, verifier, uid, gid, gecos, home, shell, extra = text.split(":")
    assert (name, uid, gid, gecos, home, shell) == ("mx@north.example", "", "", "", "", "")
    assert verifier.startswith("{SCRAM-SHA-256}")
    assert extra == "userdb_relayd_organisation=north userdb_relayd_machine=yes"


def test_the_password_may_come_from_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe\n"))
    assert add(folder, "jan@hosted.example", "--organisation", "south", source="-") == 0
    ((line,), _) = read_accounts(folder / "accounts")
    assert check_password(line.verifier, "from a pipe")


def test_other_lines_remarks_and_a_wider_mode_stay_as_they_were(folder: Path) -> None:
    add(folder, "jan@hosted.example", "--organisation", "south")
    accounts = folder / "accounts"
    before = "# people\n" + accounts.read_text().replace("\n", " nologin=y userdb_mail=maildir:/x\n")
    accounts.write_text(before)
    accounts.chmod(0o640)
    add(folder, "piet@hosted.example", "--organisation", "south")
    assert accounts.read_text().startswith(before)
    assert accounts.stat().st_mode & 0o777 == 0o640
    assert list(folder.glob(".accounts*")) == []


def test_replace_changes_the_password_in_place(folder: Path) -> None:
    add(folder, "jan@hosted.example", "--organisation", "south")
    add(folder, "piet@hosted.example", "--organisation", "south")
    (folder / "password").write_text("another one\n")
    assert add(folder, "jan@hosted.example", "--organisation", "south", "--replace") == 0
    lines, _ = read_accounts(folder / "accounts")
    assert [line.name.local for line in lines] == ["jan", "piet"]
    assert check_password(lines[0].verifier, "another one")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("jan@hosted.example", "--organisation", "suoth"), 'there is no organisation suoth; did you mean "south"?'),
        (("jan@elsewhere.example", "--organisation", "south"), "elsewhere.example isn't a domain of south"),
        (("jan", "--organisation", "south"), "jan isn't a mail address"),
        (("JAN@hosted.example", "--organisation", "south"), "JAN@hosted.example: is taken by jan@hosted.example"),
        (
            ("x@hosted.example", "--organisation", "south", "--alias", "jan@hosted.example"),
            "jan@hosted.example: is taken by jan@hosted.example",
        ),
        (
            ("x@hosted.example", "--organisation", "south", "--alias", "y@hosted.example", "--machine"),
            "a machine has no aliases",
        ),
        (
            ("x@hosted.example", "--organisation", "south", "--edi-number", "5", "--machine"),
            "a machine has no mailbox for EDI",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    add(folder, "jan@hosted.example", "--organisation", "south")
    before = (folder / "accounts").read_text()
    assert add(folder, *words) == 1
    assert says in capsys.readouterr().err
    assert (folder / "accounts").read_text() == before


def test_a_short_password_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "password").write_text("short\n")
    assert add(folder, "jan@hosted.example", "--organisation", "south") == 1
    assert "at least 8 characters" in capsys.readouterr().err
    assert not (folder / "accounts").exists()


def test_a_line_reads_back_as_it_was_written() -> None:
    text = (
        "jan@hosted.example:{ARGON2ID}$argon2id$x:5000:5000::/srv/jan::userdb_relayd_organisation=south "
        "userdb_relayd_aliases=a@hosted.example,b@hosted.example userdb_mail=maildir:~/mail"
    )
    assert str(parse_line(text)) == text
