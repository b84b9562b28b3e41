"""Reports about TLS (RFC 8460) and about sender authentication (RFC 9990): counted, sent, and read."""
