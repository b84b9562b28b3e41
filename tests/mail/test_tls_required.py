"""TLS-Required: No, and all that isn't it (RFC 8689 §3)."""

from __future__ import annotations

import pytest

from relayd.mail.headers import Headers
from relayd.mail.tls_required import says_tls_optional

FIELD = b"TLS-Required: No\r\n"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (FIELD, True),
        (b"From: a@x.example\r\n" + FIELD + b"Subject: y\r\n", True),
        (b"tls-REQUIRED: nO\r\n", True),
        (b"TLS-Required:No\r\n", True),
        (b"TLS-Required: \t No \t\r\n", True),
        (b"TLS-Required:\r\n No\r\n", True),
        (b"", False),
        (b"TLS-Required: Yes\r\n", False),
        (b"TLS-Required:\r\n", False),
        (b"TLS-Required: No.\r\n", False),
        (b"TLS-Required: No Yes\r\n", False),
        (b"TLS-Required: No (really)\r\n", False),
        (b"TLS-Required: N o\r\n", False),
        (b"TLS-Required : No\r\n", False),
        (b"X-TLS-Required: No\r\n", False),
        (FIELD + FIELD, False),
        (FIELD + b"TLS-Required: Yes\r\n", False),
        (b"TLS-Required: Yes\r\n" + FIELD, False),
        (FIELD + b"TLS-Required : No\r\n", False),
        (b"TLS-Required: N\xc3\xb3\r\n", False),
        (b"TLS-Required: No\0\r\n", False),
    ],
)
def test_only_one_clear_field_counts(head: bytes, expected: bool) -> None:
    assert says_tls_optional(Headers(head)) is expected
