"""The page on writing a policy keeps its word: its example is taken from there and run."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest

from relayd.cli import explain as command
from tests.kit.configuration import FILES, write_configuration

PAGE = (Path(__file__).parents[2] / "docs" / "policies" / "writing-your-own.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
POLICIES = re.findall(r"```yaml\n(- policy.*?)```", PAGE, re.DOTALL)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_configuration(
        tmp_path / "etc",
        relayd=FILES["relayd.yaml"].rstrip(" ") + "        policy_folders: [own]\n",
        policies=POLICIES,
    )
    own = folder / "own"
    own.mkdir()
    (own / "internal_only.py").write_text(EXAMPLE)
    return folder


def explain(folder: Path, capsys: pytest.CaptureFixture[str], subject: str, *to: str) -> dict[str, object]:
    message = folder / "mail.eml"
    message.write_text(f"From: anna@north.example\nSubject: {subject}\n\nHi\n")
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    call = ["explain", str(message), "--from", "anna@north.example", "--to", *to, "--peer", "192.0.2.1"]
    arguments = parser.parse_args([*call, "--config", str(folder), "--json"])
    arguments.run(arguments)
    foreseen: dict[str, object] = json.loads(capsys.readouterr().out)
    return foreseen


def test_the_example_does_what_the_page_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside = explain(folder, capsys, "[INTERN] rota", "jan@north.example")
    assert inside["accepted"]
    both = explain(folder, capsys, "[intern] rota", "jan@north.example", "x@elsewhere.example")
    assert not both["accepted"]
    outside = explain(folder, capsys, "[intern] rota", "out@elsewhere.example")
    assert "may not leave the organisation" in str(outside["reply"])
    assert "550 5.7.1" in str(outside["reply"])
    assert "internal_only" in json.dumps(outside["verdicts"])


def test_unmarked_mail_is_none_of_its_business(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(folder, capsys, "rota", "jan@north.example")["accepted"]


@pytest.mark.parametrize("name", ["sender", "attachments", "viewer", "message_size", "recipient_limit"])
def test_every_option_has_its_row(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies" / f"{name}.md").read_text(encoding="utf-8")
    module = __import__(f"policies.{name}", fromlist=["*"])
    policy = next(one for one in vars(module).values() if isinstance(one, type) and getattr(one, "name", "") == name)
    for option in policy.Options.model_fields:
        assert f"| `{option}` |" in page
