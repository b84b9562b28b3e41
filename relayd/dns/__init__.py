"""A client for the local resolver."""
