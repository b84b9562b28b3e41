"""Watches for fraud with SMS: somebody has codes sent to numbers that he earns from, and never enters one."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from relayd.store.viewer_sms import Country
from relayd.telemetry.metrics import SMS_BY_COUNTRY, SMS_FRAUD

_log = structlog.get_logger("relayd.viewer")


class SmsWatch:
    """Tells what begins and what ends, once each; the metrics tell what is."""

    def __init__(self) -> None:
        self._seen: dict[str, Country] = {}

    def look(self, countries: Iterable[Country]) -> None:
        """``countries`` are those of the last hour."""
        now = {one.region: one for one in countries}
        for region in self._seen.keys() | now.keys():
            before, one = self._seen.get(region), now.get(region)
            SMS_BY_COUNTRY.set(one.sends if one else None, region, "sent")
            SMS_BY_COUNTRY.set(one.used if one else None, region, "used")
            SMS_FRAUD.set(one.suspicious if one else None, region)
            was, is_now = before is not None and before.suspicious, one is not None and one.suspicious
            if one is not None and is_now and not was:
                _log.warning("viewer.sms_fraud_suspected", region=region, sends=one.sends, used=one.used)
            if was and not is_now:
                _log.info("viewer.sms_fraud_over", region=region)
        self._seen = now
