"""What leaves through each sender, and what never shows up in a log."""

from __future__ import annotations

import json
import stat

import httpx
import pytest
import structlog

from relayd.errors import ConfigurationError
from relayd.sms.http import HttpSender
from relayd.sms.message import Sms, SmsResult
from relayd.sms.sender import make_sender as make
from tests.kit.sms import MemoryLedger, configuration
from tests.kit.viewer import HandClock

SMS = Sms(number="+31612345678", text='Zuid "zei": uw code is 123456\n\n@v.nl #123456', reference="K7Q")


def make_sender(settings):
    return make(settings, MemoryLedger(), HandClock())


async def gateway(settings, answer, secret="s3cret"):  # noqa: S107
    """Send SMS through a scripted gateway; returns the result and the requests it saw."""
    seen = []

    def handle(request):
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, text="echo +31612345678 123456")

    sender = HttpSender(settings.sms, secret, httpx.MockTransport(handle))
    with structlog.testing.capture_logs() as logs:
        result = await sender.send(SMS)
    await sender.close()
    assert "612345678" not in str(logs)
    assert "123456" not in str(logs)
    assert secret not in str(logs)
    return result, seen


async def test_json_body_is_escaped_and_carries_the_secret_in_its_header(tmp_path):
    settings = configuration(
        tmp_path,
        sms={
            "sender": "http",
            "url": "https://gateway.example/send",
            "headers": {"Authorization": "Bearer {secret}"},
            "body": '{"to": "{number}", "message": "{text}", "ref": "{reference}"}',
        },
    )
    result, (request,) = await gateway(settings, 201)
    assert result.result is SmsResult.ACCEPTED
    assert json.loads(request.content) == {"to": SMS.number, "message": SMS.text, "ref": "K7Q"}
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["content-type"] == "application/json"


async def test_form_body_is_form_encoded(tmp_path):
    settings = configuration(
        tmp_path,
        sms={
            "sender": "http",
            "url": "https://gateway.example/send",
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            "body": "to={number}&text={text}&key={secret}",
        },
    )
    _, (request,) = await gateway(settings, 200, secret="a&b=c")
    assert dict(httpx.QueryParams(request.content.decode())) == {"to": SMS.number, "text": SMS.text, "key": "a&b=c"}


async def test_get_puts_values_percent_encoded_in_the_address(tmp_path):
    settings = configuration(
        tmp_path, sms={"sender": "http", "method": "GET", "url": "https://gateway.example/?to={number}&t={text}"}
    )
    _, (request,) = await gateway(settings, 200)
    assert dict(request.url.params) == {"to": SMS.number, "t": SMS.text}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (400, SmsResult.REFUSED),
        (302, SmsResult.REFUSED),
        (401, SmsResult.UNREACHABLE),
        (429, SmsResult.UNREACHABLE),
        (503, SmsResult.UNREACHABLE),
        (504, SmsResult.UNCERTAIN),
        (httpx.ConnectTimeout("to +31612345678"), SmsResult.UNREACHABLE),
        (httpx.ReadTimeout("to +31612345678"), SmsResult.UNCERTAIN),
        (httpx.RemoteProtocolError("to +31612345678"), SmsResult.UNCERTAIN),
    ],
)
async def test_what_a_gateway_does_becomes_a_result(tmp_path, answer, result):
    settings = configuration(tmp_path, sms={"sender": "http", "url": "https://gateway.example/", "body": "{text}"})
    assert (await gateway(settings, answer))[0].result is result


async def test_file_sender_writes_lines_only_its_owner_can_read(tmp_path):
    target = tmp_path / "sms.jsonl"
    sender = make_sender(configuration(tmp_path, demo=True, sms={"sender": "file", "file": target}))
    assert (await sender.send(SMS)).result is SmsResult.ACCEPTED
    assert (await sender.send(SMS)).result is SmsResult.ACCEPTED
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert lines == [{"number": SMS.number, "text": SMS.text, "reference": "K7Q"}] * 2
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_file_sender_refuses_to_start_outside_the_demo(tmp_path):
    with pytest.raises(ConfigurationError, match="demo: true"):
        make_sender(configuration(tmp_path, sms={"sender": "file", "file": tmp_path / "sms"}))


def test_gateway_over_plain_http_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="https"):
        make_sender(configuration(tmp_path, sms={"sender": "http", "url": "http://gateway.example/"}))


def test_secret_that_everyone_can_read_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o644)
    settings = configuration(tmp_path, sms={"sender": "http", "url": "https://gateway.example/", "secret_file": secret})
    with pytest.raises(ConfigurationError, match="chmod 600"):
        make_sender(settings)


async def test_without_a_gateway_every_code_is_refused(tmp_path):
    assert (await make_sender(configuration(tmp_path)).send(SMS)).result is SmsResult.REFUSED


def test_a_number_and_its_text_have_no_repr():
    assert "612345678" not in repr(SMS)
    assert "123456" not in repr(SMS)
