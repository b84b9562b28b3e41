"""Mail as values: addresses, envelopes, headers, MIME structure, replies and reports. Pure: no I/O."""
