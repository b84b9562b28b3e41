"""The log keeps personal things out, whoever calls it."""

from __future__ import annotations

import json

import pytest
import structlog

from relayd.telemetry.log import configure


@pytest.fixture(autouse=True)
def _restore() -> object:
    yield
    structlog.reset_defaults()


def test_keys_that_carry_something_personal_are_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "test")
    structlog.get_logger("relayd.x").info("event", subject="Mrs Jansen's results", recipient="a@b.nl", id="M1")
    line = json.loads(capsys.readouterr().err)
    assert line["id"] == "M1"
    assert line["withheld"] == ["recipient", "subject"]
    assert "Jansen" not in str(line)


def test_an_exception_leaves_its_class_and_places_but_not_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "test")
    try:
        raise ValueError("canary in the text")
    except ValueError:
        structlog.get_logger("relayd.x").error("failed", exc_info=True)
    out = capsys.readouterr().err
    line = json.loads(out)
    assert line["error"] == "ValueError"
    assert any("test_log.py" in place for place in line["trace"])
    assert "canary" not in out
