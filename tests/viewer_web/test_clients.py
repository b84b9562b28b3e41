"""Who asks, behind proxies and on both kinds of address: what the limits count by."""

from __future__ import annotations

from ipaddress import ip_network

import httpx
import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from relayd.daemon.web import trusted_hosts
from tests.kit.viewer import ORIGIN

UNKNOWN = f"/v/{'x' * 43}"
PROXIES = [ip_network("10.0.0.0/24"), ip_network("2001:db8:ffff::/48")]


def browser(app, address, forwarded=()):
    """A browser whose connection comes from ``address``; ``forwarded`` are header fields that come with it."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(address, 4711)),
        base_url=ORIGIN,
        headers=[("X-Forwarded-For", one) for one in forwarded],
    )


async def is_spent(browser):
    return (await browser.get(UNKNOWN)).status_code == 429


async def spend(browser):
    for _ in range(61):
        await browser.get(UNKNOWN)
    assert await is_spent(browser)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.7", "192.0.2.7", "::ffff:192.0.2.8"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ("fe80::1%eth0", "fe80::2%eth0", "2001:db8::1"),
        ("unknown", "", "192.0.2.8"),
    ],
)
async def test_a_client_is_one_by_whatever_way_it_comes(site, one, same, other):
    await spend(browser(site.app, one))
    assert await is_spent(browser(site.app, same))
    assert not await is_spent(browser(site.app, other))


@pytest.mark.parametrize("proxy", ["10.0.0.5", "::ffff:10.0.0.5", "2001:db8:ffff::5"])
async def test_a_trusted_proxy_is_known_on_both_kinds_of_address(site, proxy):
    app = ProxyHeadersMiddleware(site.app, trusted_hosts=trusted_hosts(PROXIES))
    await spend(browser(app, proxy, ["192.0.2.7"]))
    assert await is_spent(browser(app, "::ffff:10.0.0.9", ["::ffff:192.0.2.7"]))
    assert await is_spent(browser(app, proxy, ["192.0.2.7, ::ffff:10.0.0.6"]))
    assert not await is_spent(browser(app, proxy, ["192.0.2.8"]))


async def test_what_stands_before_the_trusted_hops_counts_for_nothing(site):
    app = ProxyHeadersMiddleware(site.app, trusted_hosts=trusted_hosts(PROXIES))
    for number in range(62):
        forged = [f"198.51.100.{number}", f"198.51.100.{number}, 192.0.2.7"]
        await browser(app, "10.0.0.5", forged).get(UNKNOWN)
        await browser(app, "192.0.2.99", [f"198.51.100.{number}"]).get(UNKNOWN)
    assert await is_spent(browser(app, "10.0.0.5", ["192.0.2.7"]))
    assert await is_spent(browser(app, "192.0.2.99", ["10.0.0.5"]))
    assert not await is_spent(browser(app, "10.0.0.5", ["198.51.100.1"]))
