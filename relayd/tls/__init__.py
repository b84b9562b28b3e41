"""TLS contexts for listeners and next hops."""
