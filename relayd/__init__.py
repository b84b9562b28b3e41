"""relayd, a secure mail relay: verified TLS to mail servers, an encrypted Viewer for everyone else.

Data flows one way: ``smtp`` → ``pipeline`` → ``store`` → ``queue`` → ``delivery``. No package imports one to its
right; ``daemon`` and ``cli`` assemble them. ``docs/flow.md`` walks one message through the code.
"""

__version__ = "0.1.0"
