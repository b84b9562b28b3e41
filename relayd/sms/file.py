"""Writes SMS to a file, one JSON object per line. For the demo and for tests: codes stand there in clear text."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from relayd.sms.message import Sent, Sms, SmsResult


class FileSender:
    """Appends to ``path``, which only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        return

    async def send(self, sms: Sms) -> Sent:
        line = json.dumps({"number": sms.number, "text": sms.text, "reference": sms.reference}, ensure_ascii=False)
        try:
            await asyncio.to_thread(self._append, f"{line}\n".encode())
        except OSError:
            return Sent(SmsResult.UNREACHABLE)
        return Sent(SmsResult.ACCEPTED)

    async def close(self) -> None:
        return

    def _append(self, line: bytes) -> None:
        # One write to an O_APPEND file: lines of several processes never mix.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)
