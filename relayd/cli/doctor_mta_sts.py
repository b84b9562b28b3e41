"""``relayd doctor`` on MTA-STS: do others see the policies that we serve, and do these name the hosts that MX names?"""

from __future__ import annotations

import asyncio

from relayd.cli.findings import Finding, Level
from relayd.directory.directory import Directory
from relayd.dns.resolver import Resolver
from relayd.tls.mta_sts import StsReason, policy_lines
from relayd.tls.sts_fetch import StsSource
from relayd.tls.sts_policy import StsMode, StsPolicy
from relayd.tls.sts_publish import published


async def mta_sts(directory: Directory, hostname: str, resolver: Resolver, source: StsSource) -> list[Finding]:
    """What there is to say about each domain that the settings want a policy for."""
    policies = [policy for domain in directory.domainbook if (policy := published(directory, hostname, domain))]
    return list(await asyncio.gather(*(_domain(policy, resolver, source) for policy in policies)))


async def _domain(policy: StsPolicy, resolver: Resolver, source: StsSource) -> Finding:
    domain, advice = policy.domain, f"relayd mta-sts {policy.domain} --publish"
    hosts = (await resolver.mail_hosts(domain)).hosts
    if policy.mode is not StsMode.NONE and (others := [host for host in hosts if not policy.covers(host)]):
        level = Level.BAD if policy.mode is StsMode.ENFORCE else Level.WARN
        text = f"{domain}: its MX names {', '.join(others)}, which its policy doesn't list"
        return Finding("mta-sts", level, text, "add the host to mx of its mta_sts in organisations.yaml")
    record = await source.record(domain)
    if record.reason is not StsReason.FOUND:
        return Finding("mta-sts", Level.WARN, f"{domain}: its record: {record.reason} ({record.detail})", advice)
    if record.id != policy.id:
        return Finding("mta-sts", Level.WARN, f"{domain}: its record has the id of another policy", advice)
    fetched = await source.fetch(domain, record.id)
    if fetched.policy is None:
        text = f"{domain}: its policy can't be fetched: {fetched.reason} ({fetched.detail})"
        return Finding("mta-sts", Level.BAD, text, "see docs/mta-sts.md, serving our own")
    if policy_lines(fetched.policy) != policy_lines(policy):
        text = f"{domain}: another policy is served than the settings want"
        return Finding("mta-sts", Level.BAD, text, "reload relayd; does the policy's host lead to it?")
    return Finding("mta-sts", Level.OK, f"{domain} has the policy that it should have, mode {policy.mode}")
