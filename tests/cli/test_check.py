"""`relayd check` says everything that is wrong, on files and on the machine."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from relayd.cli.main import main
from tests.kit.ca import Authority
from tests.kit.configuration import FILES, write_configuration

POLICIES = "- policy: sender\n- policy: domainbook\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_configuration(tmp_path, policies=POLICIES)
    authority = Authority(tmp_path / "ca")
    issued = authority.issue("relay.example")
    (tmp_path / "tls.pem").write_bytes(issued.certificate.read_bytes())
    (tmp_path / "tls.key").write_bytes(issued.key.read_bytes())
    (tmp_path / "tls.key").chmod(0o600)
    (tmp_path / "clients.pem").write_bytes(issued.certificate.read_bytes())
    return tmp_path


def check(folder: Path, *options: str) -> int:
    return main(["check", "--config", str(folder), *options])


def test_a_sound_configuration_is_summed_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder) == 0
    note = "notifications and reports come from relay.example, which no key signs for; relayd dkim create relay.example"
    expected = "no mistakes: 1 listeners, 2 policies, 2 organisations, 2 domains, 0 accounts"
    assert capsys.readouterr().out == f"note: {note}\n{folder}: {expected}\n"


def test_json_has_every_problem_in_parts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "domainbook.yaml").write_text(
        "north.example: {organisation: nort, delivers: relay, next_hops: ['a:25']}\n"
    )
    assert check(folder, "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    (problem,) = answer["problems"]
    assert (problem["file"], problem["line"]) == (str(folder / "domainbook.yaml"), 1)
    assert problem["key"] == "north.example.organisation"


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_a_key_and_a_secret_may_be_credentials_of_systemd(folder: Path, mode: int) -> None:
    (folder / "tls.key").chmod(mode)
    (folder / "secret").write_text("s\n")
    (folder / "secret").chmod(mode)
    (folder / "relayd.yaml").write_text(dedent(FILES["relayd.yaml"]) + "sms: {secret_file: secret}\n")
    assert check(folder) == 0


@pytest.mark.parametrize(("password", "status"), [("geheim12\n", 0), ("geheim123\n", 1), ("\n", 1)])
def test_a_password_of_smpp_must_fit_into_it(folder: Path, password: str, status: int) -> None:
    (folder / "secret").write_text(password)
    (folder / "secret").chmod(0o600)
    smpp = "smpp: {address: 'smsc.example:3550', system_id: s, source: S}"
    (folder / "relayd.yaml").write_text(
        dedent(FILES["relayd.yaml"]) + f"sms: {{sender: smpp, secret_file: secret, {smpp}}}\n"
    )
    assert check(folder) == status


def _open_key(folder: Path) -> None:
    (folder / "tls.key").chmod(0o644)


def _other_key(folder: Path) -> None:
    other = Authority(folder / "ca2").issue("other.example")
    (folder / "tls.key").write_bytes(other.key.read_bytes())


def _no_key(folder: Path) -> None:
    (folder / "tls.key").unlink()


def _no_pem(folder: Path) -> None:
    (folder / "tls.pem").write_text("hello")


def _no_authority(folder: Path) -> None:
    (folder / "clients.pem").unlink()


def _open_keys(folder: Path) -> None:
    (folder / "keys").mkdir(mode=0o755)


def _unknown_policy(folder: Path) -> None:
    (folder / "policies.yaml").write_text(POLICIES + "- policy: vewer\n")


def _logo(folder: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (folder / name).write_bytes(content)
    organisations = folder / "organisations.yaml"
    organisations.write_text(organisations.read_text() + f"settings: {{logo: {name}}}\n")


def _no_logo(folder: Path) -> None:
    _logo(folder, "logo.png", None)


def _large_logo(folder: Path) -> None:
    _logo(folder, "logo.png", b"\x89PNG\r\n\x1a\n" + bytes(256 * 1024))


def _other_logo(folder: Path) -> None:
    _logo(folder, "logo.gif", b"GIF89a")


def _writable_policy(folder: Path) -> None:
    (folder / "relayd.yaml").write_text(dedent(FILES["relayd.yaml"]) + "policy_folders: [own]\n")
    (folder / "own").mkdir()
    (folder / "own" / "mine.py").touch()
    (folder / "own" / "mine.py").chmod(0o666)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            _open_key,
            "relayd.yaml:6: tls.key: {folder}/tls.key is open to others (mode 0644); chmod 0600 {folder}/tls.key",
        ),
        (_other_key, "tls.key: {folder}/tls.key isn't the key of the first certificate in {folder}/tls.pem"),
        (_no_key, "tls.key: {folder}/tls.key can't be read: No such file or directory"),
        (_no_pem, "tls.certificate: {folder}/tls.pem isn't a PEM certificate chain"),
        (_no_authority, "tls.client_ca: {folder}/clients.pem can't be read: No such file or directory"),
        (_open_keys, "relayd.yaml:3: keys: {folder}/keys is open to others (mode 0755); chmod 0700 {folder}/keys"),
        (_unknown_policy, 'policies.yaml:3: 2.policy: there is no policy vewer; did you mean "viewer"?'),
        (_no_logo, "settings.logo: {folder}/logo.png can't be read: No such file or directory"),
        (_large_logo, "settings.logo: {folder}/logo.png is larger than 256 KiB, so it isn't shown"),
        (_other_logo, "settings.logo: {folder}/logo.gif is neither PNG nor SVG, so it isn't shown"),
        (_writable_policy, "policy_folders.0: {folder}/own/mine.py is open to others (mode 0666)"),
    ],
)
def test_what_the_machine_lacks_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], spoil: object, says: str
) -> None:
    assert callable(spoil)
    spoil(folder)
    assert check(folder) == 1
    assert says.format(folder=folder) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bits", "status", "says"),
    [
        (3072, 0, ""),
        (2048, 0, "note: {folder}/tls.pem: the certificate's RSA key of 2048 bits is to be phased out"),
        (1024, 1, "relayd.yaml:6: tls.certificate: the certificate's RSA key of 1024 bits is insufficient by NCSC-NL"),
    ],
)
def test_a_weak_certificate_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], bits: int, status: int, says: str
) -> None:
    issued = Authority(folder / "other").issue("relay.example", rsa_bits=bits)
    (folder / "tls.pem").write_bytes(issued.certificate.read_bytes())
    (folder / "tls.key").write_bytes(issued.key.read_bytes())
    assert check(folder) == status
    said = capsys.readouterr().out
    assert says.format(folder=folder) in said
    assert ("guideline" in said) is bool(says)


def test_an_expired_certificate_is_told(folder: Path) -> None:
    from relayd.cli.check import examine

    class Later:
        def now(self) -> float:
            return 32_503_680_000.0

        def boot(self) -> float:
            return 0.0

    _, problems = examine(folder, Later())
    assert any("tls.pem expired on" in str(problem) for problem in problems)


def test_a_viewer_that_can_send_no_code_by_sms_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "policies.yaml").write_text(POLICIES + "- policy: viewer\n")
    assert check(folder) == 0
    assert (
        "note: no SMS gateway is set under sms, so no reader of the Viewer gets a code by SMS"
        in capsys.readouterr().out
    )


def test_an_override_that_has_ended_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = """
        tls_overrides:
          - {domain: old.example, ignore: [dane], reason: their signer is broken, until: 2020-02-29}
          - {domain: new.example, ignore: [mta_sts, dane], reason: their web server is away, until: 2999-12-31}
    """
    (folder / "relayd.yaml").write_text(dedent(FILES["relayd.yaml"]).lstrip("\n") + dedent(overrides))
    assert check(folder) == 0
    said = capsys.readouterr().out
    assert "note: the TLS override for old.example ended on 2020-02-29" in said
    assert "new.example" not in said


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("{domain: a.example, ignore: [dane], reason: x}", "tls_overrides.0.until"),
        ("{domain: a.example, ignore: [dane], until: 2999-12-31}", "tls_overrides.0.reason"),
        ("{domain: a.example, ignore: [], reason: x, until: 2999-12-31}", "tls_overrides.0.ignore"),
        ("{domain: a.example, ignore: [tls], reason: x, until: 2999-12-31}", "tls_overrides.0.ignore"),
        (
            "{domain: a.example, ignore: [dane], reason: x, until: 2999-12-31}\n"
            "  - {domain: A.example, ignore: [mta_sts], reason: y, until: 2999-12-31}",
            "tls_overrides.1.domain",
        ),
    ],
)
def test_an_override_needs_domain_reason_and_end(
    folder: Path, capsys: pytest.CaptureFixture[str], override: str, key: str
) -> None:
    settings = dedent(FILES["relayd.yaml"]).lstrip("\n") + f"tls_overrides:\n  - {override}\n"
    (folder / "relayd.yaml").write_text(settings)
    assert check(folder, "--json") == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["key"].startswith(key)


@pytest.mark.parametrize("beside", ["tls_names: [a.example]", f"pins: ['{'ab' * 32}']", "insecure_plaintext: true"])
def test_dane_stands_alone_in_the_domainbook(folder: Path, capsys: pytest.CaptureFixture[str], beside: str) -> None:
    entry = "organisation: north, delivers: relay, next_hops: ['mx.north.example:25'], dane: true"
    (folder / "domainbook.yaml").write_text(f"north.example: {{{entry}}}\n")
    assert check(folder) == 0
    (folder / "domainbook.yaml").write_text(f"north.example: {{{entry}, {beside}}}\n")
    assert check(folder) == 1
    assert "dane: true stands instead of" in capsys.readouterr().out
