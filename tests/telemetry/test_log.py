"""The log keeps personal things out, whoever calls it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys

import pytest
import structlog

from relayd.telemetry.log import configure, watch_loop


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


def test_a_librarys_exception_keeps_no_text_either(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "test")
    try:
        raise ValueError("canary in the text") from OSError("another canary")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    out = capsys.readouterr().err
    assert "ValueError" in out
    assert "test_log.py" in out
    assert "canary" not in out


async def test_what_a_task_or_callback_raised_keeps_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "test")
    loop = asyncio.get_running_loop()
    watch_loop(loop)

    def fail() -> None:
        raise ValueError("canary in the text")

    async def fail_later() -> None:
        fail()

    loop.call_soon(fail)
    task = loop.create_task(fail_later())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    loop.set_exception_handler(None)
    out = capsys.readouterr().err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["error"] for line in lines] == ["ValueError", "ValueError"]
    assert "canary" not in out


@pytest.mark.parametrize(
    "failing",
    [
        "raise ValueError(text)",
        "import threading; thread = threading.Thread(target=fail); thread.start(); thread.join()",
        "type('Undead', (), {'__del__': fail})()",
    ],
)
def test_what_the_interpreter_would_print_keeps_no_text(failing: str) -> None:
    program = f"""
from relayd.telemetry.log import configure, watch_interpreter
configure("json", "test")
watch_interpreter()
text = "canary in " + "the text"
def fail(*_):
    raise ValueError(text)
{failing}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert json.loads(done.stderr)["error"] == "ValueError"
    assert "canary in the" not in done.stderr
