"""Reports as others write them, made up after the RFCs' examples and what large senders are known for."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import Any

GOOGLE_TLS: dict[str, Any] = {
    "organization-name": "Company-X",
    "date-range": {"start-datetime": "2026-11-22T00:00:00Z", "end-datetime": "2026-11-22T23:59:59Z"},
    "contact-info": "sts-reporting@company-x.example",
    "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.noord.example", "max_age: 86400"],
                "policy-domain": "noord.example",
                "mx-host": ["*.mail.noord.example"],
            },
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "2001:db8:abcd:0012::1",
                    "receiving-mx-hostname": "mx1.mail.noord.example",
                    "failed-session-count": 100,
                },
                {
                    "result-type": "starttls-not-supported",
                    "sending-mta-ip": "2001:db8:abcd:0013::1",
                    "receiving-mx-hostname": "mx2.mail.noord.example",
                    "receiving-ip": "203.0.113.56",
                    "failed-session-count": 200,
                    "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3",
                },
                {
                    "result-type": "validation-failure",
                    "sending-mta-ip": "198.51.100.62",
                    "receiving-ip": "203.0.113.58",
                    "receiving-mx-hostname": "mx-backup.mail.noord.example",
                    "failed-session-count": 3,
                    "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                },
            ],
        }
    ],
}
TLS = json.dumps(GOOGLE_TLS).encode()

DMARC = b"""<?xml version="1.0" encoding="UTF-8" ?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
  <version>1.0</version>
  <report_metadata>
    <org_name>Sample Reporter</org_name>
    <email>reports@reporter.example</email>
    <extra_contact_info>none</extra_contact_info>
    <report_id>3v98abbp8ya9n3va8yr8oa3ya</report_id>
    <date_range><begin>1795305600</begin><end>1795391999</end></date_range>
    <generator>A generator 1.2</generator>
  </report_metadata>
  <policy_published>
    <domain>noord.example</domain><p>quarantine</p><sp>none</sp><testing>n</testing>
    <discovery_method>treewalk</discovery_method>
  </policy_published>
  <record>
    <row>
      <source_ip>192.0.2.123</source_ip><count>123</count>
      <policy_evaluated><disposition>pass</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><envelope_from>noord.example</envelope_from><header_from>noord.example</header_from></identifiers>
    <auth_results>
      <dkim><domain>noord.example</domain><result>pass</result><selector>abc123</selector></dkim>
      <spf><domain>noord.example</domain><result>fail</result></spf>
    </auth_results>
  </record>
  <record>
    <row>
      <source_ip>2001:db8::7</source_ip><count>4</count>
      <policy_evaluated>
        <disposition>quarantine</disposition><dkim>fail</dkim><spf>fail</spf>
        <reason><type>local_policy</type><comment>arc=pass</comment></reason>
      </policy_evaluated>
    </row>
    <identifiers><header_from>noord.example</header_from></identifiers>
    <auth_results><spf><domain>spam.example</domain><result>pass</result></spf></auth_results>
  </record>
</feedback>
"""
#: RFC 7489's, which most of the world sends: no namespace, pct, and spf before dkim.
OLD_DMARC = b"""<?xml version="1.0" encoding="windows-1252"?>
<feedback>
  <report_metadata><org_name>Old</org_name><email>x@old.example</email><report_id>1</report_id>
    <date_range><begin>1795305600</begin><end>1795391999</end></date_range></report_metadata>
  <policy_published><domain>noord.example</domain><adkim>r</adkim><aspf>r</aspf><p>reject</p><sp>reject</sp>
    <pct>100</pct></policy_published>
  <record><row><source_ip>192.0.2.9</source_ip><count>2</count>
    <policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>pass</spf></policy_evaluated></row>
    <identifiers><header_from>noord.example</header_from></identifiers>
    <auth_results><spf><domain>noord.example</domain><result>pass</result></spf></auth_results></record>
</feedback>
"""


def zipped(data: bytes, name: str = "report.xml", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with one file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr(name, data)
    return target.getvalue()


def mail(data: bytes, kind: str = "application/tlsrpt+gzip", name: str = "x!noord.example!1!2.json.gz") -> bytes:
    """A mail with ``data`` as its attachment."""
    from email.message import EmailMessage
    from email.policy import SMTP

    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = "reports@company-x.example", "reports@mx.relayd.example"
    message["Subject"] = "Report Domain: noord.example Submitter: company-x.example Report-ID: <1@company-x.example>"
    message["Message-ID"] = "<report-1@company-x.example>"
    message.set_content("This is a report.\n")
    main, _, sub = kind.partition("/")
    message.add_attachment(data, maintype=main, subtype=sub, filename=name)
    return message.as_bytes()


TLS_MAIL = mail(gzip.compress(TLS))
