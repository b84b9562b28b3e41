"""The configuration folder: what loads, and how each mistake is told."""
# ruff: noqa: E501  (a row of the table stays one line)

from __future__ import annotations

import pickle
from pathlib import Path
from textwrap import dedent

import pytest

from relayd.errors import ConfigurationError
from relayd.settings.load import load
from relayd.settings.registers import NtaRegister
from tests.kit.configuration import FILES, write_configuration

RELAYD = dedent(FILES["relayd.yaml"])
ALPHA = "{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_valid_folder_loads_with_absolute_paths(tmp_path: Path) -> None:
    loaded = load(write_configuration(tmp_path))
    assert loaded.configuration.state == tmp_path / "state"
    assert loaded.configuration.accounts == tmp_path / "accounts"
    assert list(loaded.organisations.organisations) == ["north", "south"]
    assert loaded.nta == NtaRegister()


def test_what_is_loaded_can_be_sent_to_another_process(tmp_path: Path) -> None:
    loaded = load(write_configuration(tmp_path))
    copy = pickle.loads(pickle.dumps(loaded))  # noqa: S301
    assert copy.domainbook == loaded.domainbook
    assert copy.sources["domainbook.yaml"].line(["hosted.example", "store"]) == 2


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = """
        a.example: &base {organisation: north, delivers: relay, next_hops: ["mx.north.example:25"]}
        north.example:
          <<: *base
          next_hops: ["other.north.example:26"]
    """
    write_configuration(
        tmp_path, domainbook=text, organisations=NORTH.replace("[north.example]", "[north.example, a.example]")
    )
    assert load(tmp_path).domainbook["north.example"].next_hops == ("other.north.example:26",)


def test_all_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    folder = write_configuration(
        tmp_path,
        relayd=FILES["relayd.yaml"].replace("hostname", "hostnaam"),
        policies="- polcy: sender",
        domainbook="north.example: {organisation: north, delivers: relay}",
    )
    found = problems(folder)
    assert {line.split(":")[0] for line in found} == {"relayd.yaml", "policies.yaml", "domainbook.yaml"}


NORTH = "organisations:\n  north:\n    name: North\n    domains: [north.example]\n"
SOUTH = "  south:\n    name: South\n    domains: [south.example, hosted.example]\n"
BOTH = NORTH + SOUTH

SHARED_NETWORK = (
    NORTH + "    recognised_by: {networks: [192.0.2.0/24]}\n" + SOUTH + "    recognised_by: {networks: [192.0.2.7]}\n"
)
PLATFORM = "platforms:\n  cloud: {name: Cloud, networks: [198.51.100.0/24]}\n"
RELAYD = dedent(FILES["relayd.yaml"]).lstrip("\n")

MISTAKES: list[tuple[str, str, str]] = [
    # file, its text, the message
    ("relayd", "hostname: [", "relayd.yaml:1: is not YAML: "),
    ("relayd", "a: b\n\tc: d", "relayd.yaml:2: is not YAML: a tab can't indent; use spaces"),
    ("relayd", "", "relayd.yaml: expected a mapping: indented lines of 'key: value'"),
    ("relayd", RELAYD.replace("hostname", "hostnam"), 'relayd.yaml:1: hostnam: unknown key; did you mean "hostname"?'),
    ("relayd", RELAYD + "state: other", "relayd.yaml:9: state: stands here a second time (first on line 2); keep one of them"),
    ("relayd", RELAYD.replace("kind: relay", "kind: relais"), 'relayd.yaml:5: listeners.0.kind: expected relay, submission or mllp; did you mean "relay"?'),
    ("relayd", RELAYD + "workers: many", "relayd.yaml:9: workers: expected a whole number"),
    ("relayd", RELAYD + "workers: -1", "relayd.yaml:9: workers: expected at least 0"),
    ("relayd", RELAYD + "demo: perhaps", "relayd.yaml:9: demo: expected true or false"),
    ("relayd", RELAYD + "limits: {message_size: big}", "relayd.yaml:9: limits.message_size: expected a size such as 256KiB or 36MB"),
    ("relayd", RELAYD + "queue: {lifetime: 2}", "relayd.yaml:9: queue.lifetime: expected a duration such as 90s, 20m, 2h or 90d"),
    ("relayd", RELAYD + "queue: 3", "relayd.yaml:9: queue: expected a mapping: indented lines of 'key: value'"),
    ("relayd", RELAYD + 'metrics: {address: "192.0.2.1:9464"}', 'metrics.address: expected an address of this machine alone, such as "127.0.0.1:9464"'),
    ("relayd", RELAYD.replace("127.0.0.1:2525", "smtp"), 'relayd.yaml:5: listeners.0.address: expected an address and a port in quotes, such as "0.0.0.0:25" or "[::]:25"'),
    ("relayd", RELAYD.replace("keys: keys", "keys: state/keys"), "relayd.yaml:3: keys: must not lie inside state; keys have a backup of their own"),
    ("relayd", RELAYD + "sms: {sender: file, file: x}", "relayd.yaml:9: sms.sender: file writes access codes to disk; it needs demo: true"),
    ("relayd", RELAYD + "sms: {sender: http, url: 'http://127.0.0.1.evil.example/'}", "relayd.yaml:9: sms.url: expected the gateway's address, https://…"),
    ("relayd", RELAYD + "sms: {sender: smpp, secret_file: s}", "relayd.yaml:9: sms: sender: smpp needs smpp: {address, system_id, source}"),
    ("relayd", RELAYD + "sms: {sender: smpp, smpp: {address: 'a:1', system_id: s, source: S}}", "relayd.yaml:9: sms: sender: smpp needs secret_file, with the password"),
    ("relayd", RELAYD + "sms: {sender: smpp, secret_file: s, smpp: {address: 'a:1', system_id: s, source: S, plaintext: true}}", "sms.smpp.plaintext: only on this machine: codes and numbers travel there"),
    ("relayd", RELAYD + "sms: {sender: smpp, secret_file: s, smpp: {address: 'a:1', system_id: s, source: Twelve-letters}}", "relayd.yaml:9: sms.smpp.source: doesn't fit: Sender of the messages: a number, or up to 11 letters"),
    ("relayd", RELAYD + "sms:\n  gateways:\n    a: {per_day: 5}", "relayd.yaml:11: sms.gateways.a: needs sender: http, smpp or file"),
    ("relayd", RELAYD + "sms:\n  sender: http\n  url: https://a.example\n  gateways:\n    a: {sender: http, url: https://a.example}", "relayd.yaml:10: sms.sender: there are gateways too; move this one there"),
    ("relayd", RELAYD + "sms:\n  gateways:\n    first: {sender: http, url: https://a.example}\n  failover: [frist]", 'relayd.yaml:12: sms.failover.0: there is no gateway called frist; did you mean "first"?'),
    ("relayd", RELAYD + "sms:\n  by_prefix: {'+32': [a]}", "relayd.yaml:10: sms.by_prefix.+32.0: there is no gateway called a; add it under sms.gateways"),
    ("relayd", RELAYD + "sms:\n  by_prefix: {'+32': []}", "relayd.yaml:10: sms.by_prefix.+32: names no gateway"),
    ("relayd", RELAYD + "sms:\n  by_prefix: {'0032': []}", 'relayd.yaml:10: sms.by_prefix.0032: expected the beginning of numbers in quotes, such as "+32"'),
    ("relayd", RELAYD + "sms: {countries: [NL, NLD]}", "relayd.yaml:9: sms.countries.1: expected a country's two letters (ISO 3166) in capitals, such as NL"),
    ("relayd", RELAYD + "sms: {sender: http, url: https://a.example, body: '{text}'}", "relayd.yaml:9: sms: sends no {number}: put it into url, headers or body"),
    ("relayd", RELAYD + "sms: {sender: http, method: GET, url: 'https://a.example/{number}', body: '{text}'}", "relayd.yaml:9: sms: sends no {text}: put it into url, headers or body"),
    ("relayd", RELAYD + "sms: {sender: http, url: https://a.example, body: '{number} {text} {secret}'}", "relayd.yaml:9: sms: sends {secret}, but there is no secret_file"),
    ("relayd", RELAYD + "sms:\n  gateways:\n    a: {sender: http, url: https://a.example, body: '{\"to\": \"{numer}\"} {text}'}", 'relayd.yaml:11: sms.gateways.a: there is no {numer}; did you mean "number"?'),
    ("relayd", RELAYD + "viewer: {code_lifetime: 1h}", "relayd.yaml:9: viewer.code_lifetime: expected at most 10m"),
    ("relayd", RELAYD + "viewer: {mail_domain: a b}", "relayd.yaml:9: viewer.mail_domain: expected a domain such as clinic.example"),
    ("policies", "- policy: viewer\n  countries: [NL, FR]", "policies.yaml:2: 0.countries: FR isn't under sms.countries in relayd.yaml: mail would be taken that no code opens"),
    ("relayd", RELAYD + "sms: {sender: http, url: https://a.example, body: '{id}', receipts: {secret_file: s}}", "sms.receipts: expected either secret_header or signature_header: a receipt must be proven"),
    ("relayd", RELAYD + "sms: {sender: http, url: https://a.example, receipts: {secret_file: s, secret_header: X}}", "sms.receipts: can't be told apart: send {id} along, or name answer_id"),
    ("relayd", RELAYD + "sms: {sender: none, receipts: {secret_file: s, secret_header: X}}", "sms.receipts: is for sender: http"),
    ("relayd", RELAYD + "sms: {sender: http, url: https://a.example, body: '{id}', receipts: {secret_file: s, secret_header: X, delivered: [a], failed: [a]}}", "sms.receipts.failed: a stands under delivered too"),
    ("relayd", RELAYD + "folders: {edi: {path: x}}", "relayd.yaml:9: folders.edi: writes clear text to disk: say plaintext_at_rest: accepted and give a reason"),
    ("relayd", RELAYD.replace('lmtp: "unix:lmtp"', "maildir: x"), "relayd.yaml:8: mailboxes.main: maildir writes clear text to disk"),
    ("organisations", BOTH + "    domain_settings: {south.example: {language: en}}\n", "organisations.south.domain_settings.south.example.language: holds for a whole organisation, not for one domain; put it under the settings of south"),
    ("organisations", NORTH.replace("name: North", "nmae: North") + SOUTH, 'organisations.yaml:3: organisations.north.nmae: unknown key; did you mean "name"?'),
    ("organisations", NORTH.replace("    name: North\n", "") + SOUTH, "organisations.yaml:2: organisations.north.name: is missing; Its name"),
    ("organisations", NORTH + SOUTH.replace("south.example,", "north.example,"), "organisations.yaml:7: organisations.south.domains.0: north.example is north's already"),
    ("organisations", SHARED_NETWORK, "organisations.yaml:9: organisations.south.recognised_by.networks.0: lies inside 192.0.2.0/24, listed for organisation north too (line 5)"),
    ("organisations", SHARED_NETWORK.replace("192.0.2.7", "192.0.2.0/24"), "organisations.yaml:9: organisations.south.recognised_by.networks.0: is listed for organisation north too (line 5)"),
    ("organisations", PLATFORM + NORTH + "    recognised_by: {networks: [198.51.100.64/26]}\n" + SOUTH, "organisations.north.recognised_by.networks.0: lies inside 198.51.100.0/24, listed for platform cloud too"),
    ("organisations", NORTH + "    recognised_by: {networks: [0.0.0.0/0]}\n" + SOUTH, "is too much of the internet; list networks of /8 or smaller"),
    ("organisations", NORTH + "    recognised_by: {networks: [192.0.2.1/24]}\n" + SOUTH, "has bits set behind its prefix; write 192.0.2.0/24"),
    ("organisations", NORTH + "    recognised_by: {networks: [hospital]}\n" + SOUTH, "expected a network such as 192.0.2.0/24"),
    ("organisations", NORTH + "    recognised_by: {certificates: [{}]}\n" + SOUTH, "organisations.north.recognised_by.certificates.0: expected either spki_sha256 or name"),
    ("organisations", NORTH + "    recognised_by: {certificates: [{spki_sha256: abc}]}\n" + SOUTH, "64 hexadecimal digits"),
    ("organisations", NORTH + "    recognised_by: {accounts: [mx@north.example]}\n" + SOUTH, "isn't a machine account of north; make it with: relayd account add mx@north.example --organisation north --machine"),
    ("organisations", NORTH + "    platform: {id: clod, proof: {dkim: true}}\n" + SOUTH + PLATFORM, 'there is no platform clod; did you mean "cloud"?'),
    ("organisations", NORTH + "    platform: {id: cloud, proof: {header: X-Tenant}}\n" + SOUTH + PLATFORM, "organisations.north.platform.proof: expected header and value, or dkim: true"),
    ("organisations", NORTH + "    platform: {id: cloud, proof: {header: X-T, value: '1'}}\n" + SOUTH + "    platform: {id: cloud, proof: {header: x-t, value: '1'}}\n" + PLATFORM, "organisations.south.platform.proof: is north's proof too"),
    ("organisations", NORTH + "    domain_settings: {nort.example: {language: en}}\n" + SOUTH, 'isn\'t a domain of north; did you mean "north.example"?'),
    ("domainbook", "north.example: {organisation: nort, delivers: relay, next_hops: ['a:25']}", 'there is no organisation nort; did you mean "north"?'),
    ("domainbook", "other.example: {organisation: north, delivers: relay, next_hops: ['a:25']}", "other.example isn't among the domains of north"),
    ("domainbook", "north.example: {organisation: north, network: x, delivers: relay, next_hops: ['a:25']}", "domainbook.yaml:1: north.example: expected either organisation or network"),
    ("domainbook", "north.example: {organisation: north, delivers: relay}", "delivers: relay needs next_hops"),
    ("domainbook", "north.example: {organisation: north, delivers: relay, next_hops: [mx]}", "domainbook.yaml:1: north.example.next_hops.0: expected host:port"),
    ("domainbook", "hosted.example: {organisation: south, delivers: mailbox, store: mian}", 'domainbook.yaml:1: hosted.example.store: there is no mailbox called mian; did you mean "main"?'),
    ("domainbook", "A.example: {network: x, delivers: relay, next_hops: ['a:25']}\na.example: {network: x, delivers: relay, next_hops: ['a:25']}", "domainbook.yaml:2: a.example: is the same domain as an earlier line"),
    ("domainbook", "-a b.example: {network: x, delivers: relay, next_hops: ['a:25']}", "expected a domain such as clinic.example"),
    ("nta7516", "others: {a.example: {allow: true}}", "nta7516.yaml:1: others.a.example.reason: is missing; Why, for whoever reads this later."),
    ("nta7516", "others: {a.example: {allow: false, reason: x, until: soon}}", "nta7516.yaml:1: others.a.example.until: expected a date such as 2027-12-31"),
    ("nta7516", "others: {a.example: {allow: false, reason: x, hosts: ['a:25']}}", "hosts, tls_names and ca_file are for allow: true"),
    ("nta7516", "others: {a.example: {allow: true, reason: x}}", "others.a.example: allow: true needs hosts; without an entry the domain's own DNS record decides"),
    ("nta7516", "others:\n  a.example: {allow: false, reason: x}\n  A.example: {allow: false, reason: x}", "nta7516.yaml:3: others.A.example: is the same domain as an earlier line; keep one of them"),
    ("nta7516", "own: {nort: {provider: x, start: 2026-01, end: 2026-12}}", 'nta7516.yaml:1: own.nort: there is no organisation nort; did you mean "north"?'),
    ("nta7516", "own: {north: {provider: x, start: 2026-12, end: 2026-01}}", "own.north: end lies before start"),
    ("nta7516", "own: {north: {provider: x, start: 2026-13, end: 2027-01}}", "own.north.start: "),
    ("nta7516", "own: {north: {provider: 'a;b', start: 2026-01, end: 2027-01}}", "own.north.provider: "),
    ("nta7516", "own: {north: {provider: x, start: 2026-01, end: 2027-01, ntamx: [mx]}}", "ntamx needs full host names, such as nta.clinic.example"),
    ("nta7516", "own: {north: {provider: x, start: 2026-01, end: 2027-01, ntamx: [192.0.2.1]}}", "own.north.ntamx.0: expected a domain such as clinic.example"),
    ("nta7516", "header: {name: Subject, value: x}", "Subject has a meaning already; use the name that the providers agreed on"),
    ("nta7516", "header: {name: 'X Y', value: x}", "header.name: "),
    ("nta7516", 'header: {name: X-Y, value: "a\\r\\nb"}', "header.value: "),
    ("nta7516", "peer_networks: [192.0.2.1/24]", "peer_networks.0: has bits set behind its prefix; write 192.0.2.0/24"),
    ("policies", "- policy: Sender!", "policies.yaml:1: 0.policy: "),
    ("policies", "- {policy: sender, on_error: ignore}", "policies.yaml:1: 0.on_error: expected defer, refuse or skip"),
    ("accounts", "jan@hosted.example:secret", "accounts:1: expected name:{SCHEME}hash:uid:gid::home::extra_fields"),
    ("accounts", "jan@hosted.example:{PLAIN}secret::::::userdb_relayd_organisation=south", "accounts:1: expected {ARGON2ID} or {SCRAM-SHA-256} and a hash; use relayd account add"),
    ("accounts", f"jan@hosted.example:{ALPHA}::::::", "accounts:1: the extra fields need userdb_relayd_organisation=ID"),
    ("accounts", f"jan@hosted.example:{ALPHA}::::::userdb_relayd_organisation=suoth", 'there is no organisation suoth; did you mean "south"?'),
    ("accounts", f"jan@north.example:{ALPHA}::::::userdb_relayd_organisation=south", "accounts:1: jan@north.example: north.example isn't a domain of south"),
    ("accounts", f"jan:{ALPHA}::::::userdb_relayd_organisation=south", "accounts:1: the name must be a mail address"),
    ("accounts", f"a@hosted.example:{ALPHA}::::::userdb_relayd_organisation=south\nA@hosted.example:{ALPHA}::::::userdb_relayd_organisation=south", "accounts:2: A@hosted.example: is an address of the account on line 1 already"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "message"), MISTAKES)
def test_every_mistake_says_where_and_what_to_write_instead(tmp_path: Path, file: str, text: str, message: str) -> None:
    found = problems(write_configuration(tmp_path, **{file: text}))
    assert any(message in line for line in found), found


def test_the_policys_usual_countries_count_when_it_lists_none(tmp_path: Path) -> None:
    folder = write_configuration(
        tmp_path, relayd=RELAYD + "sms: {countries: [NL, DE, LU]}", policies="- policy: viewer"
    )
    assert [line for line in problems(folder) if "BE isn't under sms.countries" in line]


def test_a_password_hash_is_never_quoted(tmp_path: Path) -> None:
    text = f"jan@hosted.example:{ALPHA.replace('ARGON2ID', 'ARGON3')}::::::userdb_relayd_organisation=south"
    assert "aGFzaA" not in "".join(problems(write_configuration(tmp_path, accounts=text)))


def test_a_mobile_number_is_never_quoted(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("address,mobile\njan@out.example,+31612345678\npiet@out.example,0612345678\n")
    folder = write_configuration(tmp_path, organisations=NORTH + "    contacts_file: people.csv\n" + SOUTH)
    (problem,) = problems(folder)
    assert problem.startswith("people.csv:3: the second field must be a mobile number in international form")
    assert "612345678" not in problem


def test_missing_files_are_told(tmp_path: Path) -> None:
    found = problems(tmp_path)
    assert [line.split(":")[0] for line in found] == ["relayd.yaml", "policies.yaml", "organisations.yaml"]
    assert all("can't be read: No such file or directory" in line for line in found)


def test_a_file_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    (tmp_path / "domainbook.yaml").write_bytes(b"# caf\xc3\xa9\n# caf\xe9\n")
    assert problems(tmp_path) == ["domainbook.yaml:2: is not UTF-8; save the file as UTF-8"]


@pytest.mark.parametrize(("listed", "count"), [("nta7516", 1), ("nta7516_received", 0)])
def test_a_header_between_providers_needs_the_policy_that_checks_it(tmp_path: Path, listed: str, count: int) -> None:
    write_configuration(tmp_path, nta7516="header: {name: X-Way, value: x}", policies=f"- policy: {listed}")
    try:
        load(tmp_path)
        found = []
    except ConfigurationError as error:
        found = [str(problem) for problem in error.problems]
    assert sum("header: needs the policy nta7516_received" in line for line in found) == count


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://Viewer.Example.NL/", "https://viewer.example.nl"),
        ("https://viewer.example.nl:443", "https://viewer.example.nl"),
        ("https://viewer.example.nl:8443", "https://viewer.example.nl:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_the_viewers_address_is_kept_as_browsers_write_it(tmp_path: Path, written: str, meant: str) -> None:
    loaded = load(write_configuration(tmp_path, relayd=RELAYD + f"viewer: {{url: {written!r}}}\n"))
    assert loaded.configuration.viewer.url == meant


@pytest.mark.parametrize(
    "written",
    ["viewer.example.nl", "https://", "https://a.example/viewer", "https://x@a.example", "ftp://a.example",
     "https://a.example?x", "https://a.example:x", "https://a b.example"],
)  # fmt: skip
def test_the_viewers_address_is_a_host_alone(tmp_path: Path, written: str) -> None:
    folder = write_configuration(tmp_path, relayd=RELAYD + f"viewer: {{url: {written!r}}}\n")
    assert "expected a scheme and a host alone" in problems(folder)[0]


@pytest.mark.parametrize(
    "written", ["http://viewer.example.nl", "http://127.0.0.1.evil.example", "http://localhost.example"]
)
def test_links_lead_over_plain_http_to_this_machine_alone(tmp_path: Path, written: str) -> None:
    organisations = "organisations:\n  a:\n    name: A\n    domains: [a.example]\n    settings: {viewer_url: '%s'}\n"
    for files in (
        {"relayd": RELAYD + f"viewer: {{url: {written!r}}}\n"},
        {"organisations": organisations % written, "domainbook": "{}"},
    ):
        assert "expected https://" in " ".join(problems(write_configuration(tmp_path, **files)))
