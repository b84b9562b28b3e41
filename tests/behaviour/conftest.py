"""One running relayd with a partner behind it, for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit.daemon import RelayProcess
from tests.kit.sink import Sink
from tests.kit.site import Site


@dataclass
class Stage:
    """relayd and the partner's server."""

    site: Site
    relayd: RelayProcess
    partner: Sink


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("relayd")
    site = Site(folder)
    site.relayd["queue"] = {"schedule": ["1s"]}
    with (
        Sink(folder / "partner", site.partner, port=site.partner_port) as partner,
        RelayProcess(site) as relayd,
    ):
        yield Stage(site, relayd, partner)
