"""sslyze as a program (``scripts/sslyze``), and its findings by the guideline's table."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from relayd.tls import guideline
from relayd.tls.guideline import Judged, Level

PROGRAM = Path("scripts/sslyze")
_SCANS = (
    *("--certinfo", "--reneg", "--elliptic_curves", "--ems", "--early_data", "--compression", "--fallback"),
    *("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"),
)
_VERSIONS = {
    "ssl_2_0": "SSLv2",
    "ssl_3_0": "SSLv3",
    "tls_1_0": "TLSv1",
    "tls_1_1": "TLSv1.1",
    "tls_1_2": "TLSv1.2",
    "tls_1_3": "TLSv1.3",
}


@functools.cache
def missing() -> str:
    """Why sslyze can't be had, "" when it can."""
    done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, timeout=110)
    return "" if done.returncode == 0 else f"sslyze can't be installed: {done.stderr.strip()[-200:]}"


def scan(port: int, *, starttls: bool) -> dict[str, Any]:
    """All that sslyze says of a port of 127.0.0.1: results by the name of the scan."""
    if reason := missing():
        pytest.skip(reason)
    options = ["--starttls", "smtp"] if starttls else []
    command = [PROGRAM, *options, "--mozilla_config", "disable", *_SCANS, "--json_out", "-", f"127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    (found,) = json.loads(done.stdout)["server_scan_results"]
    assert found["scan_status"] == "COMPLETED", found["connectivity_error_trace"]
    return {name: one["result"] for name, one in found["scan_result"].items()}


def judge(found: dict[str, Any]) -> Iterator[Judged]:
    """Each counting item of the guideline's table, as it was found. What sslyze couldn't try is absent."""
    for scan_name, version in _VERSIONS.items():
        suites = found[f"{scan_name}_cipher_suites"]["accepted_cipher_suites"]
        if suites:
            yield Judged(version, guideline.version(version))
        for one in suites:
            name = one["cipher_suite"]["openssl_name"]
            yield Judged(f"{version} {name}", guideline.suite(name))
    for curve in found["elliptic_curves"]["supported_curves"]:
        yield Judged(f"group {curve['name']}", guideline.group(curve["name"]))
    for deployment in found["certificate_info"]["certificate_deployments"]:
        pem = "".join(one["as_pem"] for one in deployment["received_certificate_chain"])
        yield from guideline.certificate(x509.load_pem_x509_certificates(pem.encode()))
    renegotiation = found["session_renegotiation"]
    yield _flag("secure renegotiation", renegotiation["supports_secure_renegotiation"])
    yield _flag("no renegotiation by clients", not renegotiation["is_vulnerable_to_client_renegotiation_dos"])
    yield _flag("no compression", not found["tls_compression"]["supports_compression"])
    yield _flag("extended master secret", found["tls_extended_master_secret"]["supports_ems_extension"])
    yield _flag("fallback is signalled", found["tls_fallback_scsv"]["supports_fallback_scsv"])
    if found["tls_1_3_early_data"] is not None:  # sslyze can't ask for it behind STARTTLS
        yield _flag("no 0-RTT", not found["tls_1_3_early_data"]["supports_early_data"])


def _flag(what: str, good: bool) -> Judged:
    return Judged(what, Level.SUFFICIENT if good else Level.INSUFFICIENT)
