"""swaks, the mail administrator's test client, and what it got back."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said. ``status`` is swaks' own: 0 when the message was accepted."""

    status: int
    text: str

    @property
    def replies(self) -> list[str]:
        """The server's lines, without the marks that swaks puts in front."""
        return [match[1] for match in re.finditer(r"^<[-~*]{1,2}[* ]? +(.*)$", self.text, re.MULTILINE)]

    def reply(self, code: str) -> str:
        """The first reply line with this code."""
        return next(line for line in self.replies if line.startswith(code))


def available() -> str:
    """ "" when swaks can be run here, with TLS, else the reason why not."""
    if not shutil.which("swaks"):
        return "swaks is not installed"
    tls = subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False)
    return "" if tls.returncode == 0 else "swaks has no TLS (Debian: libnet-ssleay-perl)"


def swaks(port: int, *arguments: str) -> Transcript:
    """Run it against a port of 127.0.0.1."""
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Transcript(done.returncode, done.stdout + done.stderr)
