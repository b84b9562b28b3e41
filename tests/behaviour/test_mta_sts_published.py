"""The web process serves the MTA-STS policy that the settings want, and a reload changes it."""

from __future__ import annotations

import httpx
import pytest

from tests.kit.wait import wait_for

pytestmark = pytest.mark.behaviour

URL = "/.well-known/mta-sts.txt"


def ask(stage, host: str, path: str = URL) -> httpx.Response:
    return httpx.get(f"{stage.site.viewer_url}{path}", headers={"Host": host})


def want(stage, **policy: object) -> None:
    stage.site.organisations["organisations"]["praktijk"]["settings"] = {"mta_sts": policy}
    stage.site.write()
    assert stage.relayd.cli("reload").returncode == 0
    line = f"mode: {policy['mode']}"
    wait_for(lambda: line in ask(stage, "mta-sts.praktijk.example").text, f"the policy with {line}")


def test_a_domain_that_wants_one_has_one(stage):
    assert ask(stage, "mta-sts.praktijk.example").status_code == 404
    want(stage, mode="testing")
    answer = ask(stage, "mta-sts.praktijk.example")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.splitlines() == [
        "version: STSv1",
        "mode: testing",
        "mx: mx.relayd.example",
        f"max_age: {14 * 86400}",
    ]
    first = stage.relayd.json("mta-sts", "praktijk.example", "--publish")
    want(stage, mode="enforce")
    second = stage.relayd.json("mta-sts", "praktijk.example", "--publish")
    assert first["records"][0]["text"] != second["records"][0]["text"]
    assert second["policy"] == ask(stage, "mta-sts.praktijk.example").text.splitlines()


def test_its_host_has_nothing_of_the_viewer(stage):
    assert ask(stage, "127.0.0.1", "/bye").status_code == 200
    assert ask(stage, "mta-sts.praktijk.example", "/bye").status_code == 404
    assert ask(stage, "mta-sts.noord.example").status_code == 404
