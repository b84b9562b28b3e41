"""EDI in the configuration: rules that lead somewhere, numbers that are one mailbox's, a gateway that is nobody else's."""
# ruff: noqa: E501  (a row of the table stays one line)

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from relayd.directory.load import build
from relayd.errors import ConfigurationError
from relayd.mail.address import Domain
from relayd.settings.accounts import parse_line
from relayd.settings.load import load
from tests.kit.configuration import FILES, write_configuration

ALPHA = "{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"
JAN = f"jan@hosted.example:{ALPHA}::::::userdb_relayd_organisation=south"
NORTH = "organisations:\n  north:\n    name: North\n    domains: [north.example]\n"
SOUTH = "  south:\n    name: South\n    domains: [south.example, hosted.example]\n"
POLICIES = "- policy: sender\n- policy: edi\n- policy: domainbook\n"
RELAYD = dedent(FILES["relayd.yaml"]).lstrip("\n")
FOLDER = "folders:\n  lab: {path: lab, plaintext_at_rest: accepted, reason: x%s}\n"


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def rules(text: str) -> str:
    return f"{NORTH}    settings: {{edi_rules: [{text}]}}\n{SOUTH}"


MISTAKES: list[tuple[dict[str, str], str]] = [
    ({"organisations": rules("{form: htm}")}, 'organisations.north.settings.edi_rules.0.form: expected untouched, html, pdf'),
    ({"organisations": rules("{type: MEDLAB}")}, "organisations.north.settings.edi_rules.0.form: is missing"),
    ({"organisations": rules("{form: html, typ: x}")}, 'unknown key; did you mean "type"?'),
    ({"organisations": rules("{form: html, type: ''}")}, "edi_rules.0.type: expected text, in which * stands for anything"),
    ({"organisations": rules("{form: html, version: 1}")}, "edi_rules.0.version: expected text; put it between quotes"),
    ({"organisations": rules("{form: folder}")}, "form: folder needs folder, a name under folders in relayd.yaml"),
    ({"organisations": rules("{form: html, folder: lab}")}, "folder, content and receipt are for form: folder"),
    ({"organisations": rules("{form: html, receipt: true}")}, "folder, content and receipt are for form: folder"),
    ({"organisations": rules("{form: folder, folder: lba}"), "relayd": RELAYD + FOLDER % ""}, 'edi_rules.0.folder: there is no folder called lba; did you mean "lab"?'),
    ({"organisations": rules("{form: html}"), "policies": "- policy: sender\n- policy: domainbook\n- policy: edi\n"}, "edi_rules: needs the policy edi, in front of domainbook"),
    ({"organisations": f"settings: {{edi_outside: html}}\n{NORTH}{SOUTH}", "policies": "- policy: sender\n"}, "settings.edi_outside: needs the policy edi"),
    ({"relayd": RELAYD + FOLDER % ", names: '{type}.edi'"}, "folders.lab.names: expected a file name such as"),
    ({"relayd": RELAYD + FOLDER % ", names: '../{message}{number}'"}, "folders.lab.names: expected a file name"),
    ({"relayd": RELAYD + FOLDER % ", names: '{patient}{message}{number}'"}, "folders.lab.names: expected a file name"),
    ({"relayd": RELAYD + "edi: {gateway: north.example}"}, "edi.gateway: north.example is somebody's mail domain already"),
    ({"relayd": RELAYD + "edi: {gateway: gw.example}", "policies": "- policy: sender"}, "relayd.yaml:9: edi.gateway: needs the policy edi"),
    ({"organisations": NORTH + "    edi_numbers: {'5': a@south.example}\n" + SOUTH}, "organisations.north.edi_numbers.5: expected an address at a domain of north that is in domainbook.yaml"),
    ({"organisations": NORTH + "    edi_numbers: {'5': a@north.example, '6': b@north.example}\n" + SOUTH + "    edi_numbers: {'5': jan@hosted.example}\n", "accounts": JAN}, "organisations.south.edi_numbers.5: is the number of a@north.example already"),
    ({"organisations": NORTH + SOUTH + "    edi_numbers: {'5': nobody@hosted.example}\n"}, "there is no mailbox nobody@hosted.example; relayd account add makes one"),
    ({"organisations": NORTH + "    edi_numbers: {'5': a@north.example}\n" + SOUTH, "accounts": f"{JAN} userdb_relayd_edi_numbers=7,5"}, "accounts:1: jan@hosted.example: 5 is the number of a@north.example already"),
    ({"organisations": rules("{form: system}")}, "form: system goes with system, a name under systems in relayd.yaml"),
    ({"organisations": rules("{form: html, system: his}")}, "form: system goes with system"),
    ({"organisations": rules("{form: system, system: hsi}"), "relayd": RELAYD + "systems: {his: {address: 'his.example:2575'}}\n"}, 'edi_rules.0.system: there is no system called hsi; did you mean "his"?'),
    ({"organisations": NORTH + "    settings: {edi_sender: a@south.example}\n" + SOUTH}, "organisations.north.settings.edi_sender: expected an address at a domain that north may send from"),
    ({"relayd": RELAYD.replace("kind: relay}", "kind: mllp}")}, "listeners.0.kind: mllp has no STARTTLS; write tls: implicit"),
    ({"accounts": f"{JAN} userdb_relayd_machine=yes userdb_relayd_edi_numbers=7"}, "a machine has no mailbox for EDI"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "message"), MISTAKES)
def test_every_mistake_says_where_and_what_to_write_instead(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    found = problems(write_configuration(tmp_path, **{"policies": POLICIES} | files))
    assert any(message in line for line in found), found


def test_the_narrowest_rules_hold_and_numbers_find_their_mailbox(tmp_path: Path) -> None:
    organisations = (
        "settings: {edi_rules: [{form: pdf}], edi_outside: html}\n"
        + NORTH
        + "    edi_numbers: {LabNoord: lims@north.example, 01234567: zero@north.example}\n"
        + SOUTH
        + "    settings: {edi_rules: [{type: MEDLAB, form: html}, {form: untouched}]}\n"
        + "    domain_settings: {south.example: {edi_rules: []}}\n"
    )
    folder = write_configuration(
        tmp_path,
        organisations=organisations,
        policies=POLICIES,
        relayd=RELAYD + "edi: {gateway: gw.example}\n" + FOLDER % ", names: '{message}-{number}.x'",
        accounts=f"{JAN} userdb_relayd_edi_numbers=500000001,500000002",
    )
    directory = build(load(folder))
    north, south = directory.organisations["north"], directory.organisations["south"]
    assert [rule.form for rule in north.settings.edi_rules] == ["pdf"]
    assert [rule.form for rule in south.settings_of(Domain("hosted.example")).edi_rules] == ["html", "untouched"]
    assert south.settings_of(Domain("south.example")).edi_rules == ()
    assert directory.is_the_gateways(Domain("gw.example"))
    assert directory.folder_names == {"lab": "{message}-{number}.x"}
    found = [str(directory.edi_mailbox(number)) for number in ("labnoord", "01234567", " 500000002 ", "500000003")]
    assert found == ["lims@north.example", "zero@north.example", "jan@hosted.example", "None"]


def test_an_accounts_numbers_are_written_as_they_were_read() -> None:
    line = f"{JAN} userdb_relayd_edi_numbers=500000001,LAB"
    assert parse_line(line).edi_numbers == ("500000001", "LAB")
    assert parse_line(str(parse_line(line))) == parse_line(line)
