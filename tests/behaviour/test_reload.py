"""A new configuration comes into force as a whole, or not at all."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tests.kit import mail
from tests.kit.daemon import RelayProcess
from tests.kit.site import Site
from tests.kit.talk import COLLEAGUE, DOCTOR, say

pytestmark = pytest.mark.behaviour
ZIPPED = {"a.zip": mail.zipped("invoice.pdf.exe")}


@pytest.fixture
def policies(stage):
    """The site's policies, to be changed; back as they were afterwards."""
    before = deepcopy(stage.site.policies)
    yield stage.site.policies
    stage.site.policies[:] = before
    stage.site.write()
    stage.relayd.reload()


def offered(stage, client) -> int:
    return say(client, DOCTOR, [COLLEAGUE], mail.message(DOCTOR, [COLLEAGUE], attachments=ZIPPED))[0]


def test_an_invalid_file_leaves_the_old_configuration_in_force(stage):
    (stage.site.config / "policies.yaml").write_text("- policy: sender\n- policy: attachmnts\n")
    done = stage.relayd.cli("reload", check=False)
    assert done.returncode == 1
    assert "policies.yaml:2" in done.stderr
    assert "refused" in stage.relayd.reload()
    with stage.relayd.hospital() as client:
        assert offered(stage, client) == 550
    stage.site.write()
    assert stage.relayd.cli("reload").returncode == 0


def test_a_new_policy_list_holds_for_new_sessions_and_not_for_running_ones(stage, policies):
    with stage.relayd.hospital() as running:
        running.ehlo()
        policies[:] = [policy for policy in policies if policy["policy"] != "attachments"]
        stage.site.write()
        assert "refused" not in stage.relayd.reload()
        with stage.relayd.hospital() as fresh:
            assert offered(stage, fresh) == 250
        assert offered(stage, running) == 550


def test_an_expired_certificate_is_told_and_keeps_no_mail_waiting(tmp_path):
    site = Site(tmp_path)
    expired = site.authority.issue("mx.relayd.example", file="expired", days=2, started_days_ago=10)
    site.relayd["tls"] |= {"certificate": str(expired.certificate), "key": str(expired.key)}
    with RelayProcess(site) as relayd:
        assert "certificate_out_of_date" in relayd.log
        assert relayd.cli("check", check=False).returncode == 1
        assert relayd.cli("reload").returncode == 0


def test_what_is_read_at_the_start_alone_makes_a_reload_say_so(stage):
    """Else codes would go on by the old gateway, and links lead where no form is taken, while reload says "done"."""
    before = deepcopy(stage.site.relayd)
    stage.site.relayd["viewer"]["service_name"] = "Another name"
    stage.site.relayd["sms"]["per_hour"] = 7
    stage.site.write()
    done = stage.relayd.cli("reload", check=False)
    stage.site.relayd.clear()
    stage.site.relayd |= before
    stage.site.write()
    assert done.returncode == 1
    for key in ("viewer", "sms"):
        assert f"{key}: can't change while relayd runs; restart it for this" in done.stderr
    assert stage.relayd.cli("reload").returncode == 0
