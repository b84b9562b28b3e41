"""The crash campaign: what was acknowledged, against what arrived; both counted outside relayd.

Three programs of their own take part: a client that logs every 250 (scripts/lib/load.py), a partner's server that
writes a receipt before its own 250 and logs every refusal (tests/kit/sink.py), and relayd between them.
"""
