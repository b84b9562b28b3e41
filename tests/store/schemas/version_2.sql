-- The tables of database version 2, as they were: what the migration is tried on.
CREATE TABLE message (
    id TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    epoch TEXT NOT NULL,
    received_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    sender TEXT NOT NULL,
    size INTEGER NOT NULL,
    origin TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,          -- empty once its retention day has come
    body_file TEXT NOT NULL,
    body_offset INTEGER NOT NULL,
    body_length INTEGER NOT NULL,
    meta BLOB NOT NULL,
    smtputf8 INTEGER NOT NULL,
    body_type TEXT NOT NULL,
    ret TEXT,
    envid TEXT,
    account TEXT,
    parent TEXT,
    require_tls INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX message_epoch ON message (epoch, organisation, expires_at);
CREATE INDEX message_file ON message (body_file);
CREATE INDEX message_sender ON message (sender COLLATE NOCASE);
CREATE TABLE delivery (
    message_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    domain TEXT NOT NULL,
    state TEXT NOT NULL,
    route TEXT NOT NULL,
    target TEXT NOT NULL,
    message_class TEXT NOT NULL,
    copy INTEGER NOT NULL,
    notify TEXT,
    orcpt TEXT,
    next_attempt REAL NOT NULL,
    attempts INTEGER NOT NULL,
    owner TEXT,
    generation INTEGER NOT NULL,
    delayed_notice INTEGER NOT NULL,
    last_reply TEXT NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (next_attempt)
    WHERE owner IS NULL AND state IN ('queued', 'undecided');
CREATE INDEX delivery_owned ON delivery (owner) WHERE owner IS NOT NULL;
CREATE INDEX delivery_held ON delivery (message_id) WHERE state = 'held';
CREATE INDEX delivery_recipient ON delivery (recipient COLLATE NOCASE);
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    facts TEXT NOT NULL                 -- JSON
);
CREATE INDEX event_message ON event (message_id);
CREATE TABLE worker (
    owner TEXT NOT NULL PRIMARY KEY,
    expires REAL,
    freed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE epoch (
    organisation TEXT NOT NULL,
    epoch TEXT NOT NULL,
    state TEXT NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (organisation, epoch)
) WITHOUT ROWID;
CREATE TABLE fact (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE viewer_grant (
    id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    message_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    recipient TEXT NOT NULL,
    copy INTEGER NOT NULL,
    language TEXT NOT NULL,
    mobile BLOB,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    revoked_at REAL,
    failures INTEGER NOT NULL DEFAULT 0,
    spent_codes INTEGER NOT NULL DEFAULT 0,
    alert TEXT NOT NULL DEFAULT '',
    visited_at REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX viewer_grant_message ON viewer_grant (message_id);
CREATE INDEX viewer_grant_expiry ON viewer_grant (expires_at);
CREATE INDEX viewer_grant_alert ON viewer_grant (alert) WHERE alert <> '';
CREATE TABLE viewer_code (
    id TEXT PRIMARY KEY,
    grant_id TEXT NOT NULL,
    state TEXT NOT NULL,
    sealed BLOB,
    reference TEXT NOT NULL,
    issued_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    sends INTEGER NOT NULL DEFAULT 0,
    last_sent_at REAL NOT NULL,
    sms_failed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX viewer_code_grant ON viewer_code (grant_id, issued_at);
CREATE TABLE viewer_browser (
    browser BLOB NOT NULL,
    grant_id TEXT NOT NULL,
    code_id TEXT NOT NULL,
    bound_at REAL NOT NULL,
    PRIMARY KEY (browser, grant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX viewer_browser_grant ON viewer_browser (grant_id, bound_at);
CREATE TABLE viewer_session (
    browser BLOB NOT NULL,
    grant_id TEXT NOT NULL,
    seen_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    opened INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (browser, grant_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE viewer_sms (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    code_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
    number_key BLOB NOT NULL,
    region TEXT NOT NULL
) STRICT;
CREATE INDEX viewer_sms_number ON viewer_sms (number_key, at);
CREATE INDEX viewer_sms_organisation ON viewer_sms (organisation, at);
CREATE INDEX viewer_sms_at ON viewer_sms (at);
CREATE TABLE viewer_secret (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sts_policy (
    domain TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    policy TEXT NOT NULL,               -- the file's text; empty when none was ever had
    fetched_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    tried_at REAL NOT NULL,
    failure TEXT NOT NULL,
    used_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE report_count (
    day TEXT NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    facts TEXT NOT NULL,                -- JSON
    count INTEGER NOT NULL,
    PRIMARY KEY (day, kind, domain, facts)
) WITHOUT ROWID;
CREATE TABLE report_day (
    day TEXT NOT NULL,
    kind TEXT NOT NULL,
    rows INTEGER NOT NULL,
    uncounted INTEGER NOT NULL,
    prepared INTEGER NOT NULL,
    PRIMARY KEY (day, kind)
) WITHOUT ROWID;
CREATE TABLE report_batch (
    owner TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE report_out (
    day TEXT NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    state TEXT NOT NULL,                -- 'due', 'sent', 'unwanted' or 'failed'
    due REAL NOT NULL,
    until REAL NOT NULL,
    tries INTEGER NOT NULL,
    mails INTEGER NOT NULL,             -- how many mails carry it
    left TEXT,                          -- JSON: destinations still to reach; NULL before they were looked up
    PRIMARY KEY (day, kind, domain)
) WITHOUT ROWID;
CREATE INDEX report_out_due ON report_out (due) WHERE state = 'due';
CREATE TABLE report_received (
    id INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,                 -- 'tls', 'dmarc', or 'unreadable'
    organisation TEXT NOT NULL,
    report_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    begins REAL NOT NULL,
    ends REAL NOT NULL,
    good INTEGER NOT NULL,
    bad INTEGER NOT NULL,
    proven TEXT NOT NULL,               -- the domain that the mail is proven to come from, '' for none
    detail TEXT NOT NULL                -- JSON: the summary; for an unreadable one the reason
);
CREATE UNIQUE INDEX report_received_once
    ON report_received (kind, organisation, report_id, domain) WHERE kind != 'unreadable';
CREATE UNIQUE INDEX report_received_message ON report_received (message_id) WHERE kind = 'unreadable';
CREATE INDEX report_received_at ON report_received (at);
CREATE TRIGGER viewer_forget AFTER DELETE ON message BEGIN
    DELETE FROM viewer_code WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    DELETE FROM viewer_browser WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    DELETE FROM viewer_session WHERE grant_id IN (SELECT id FROM viewer_grant WHERE message_id = OLD.id);
    UPDATE viewer_grant SET mobile = NULL, recipient = '', alert = '', expires_at = min(expires_at, OLD.expires_at)
        WHERE message_id = OLD.id;
END;
