"""``relayd serve``: the daemon."""

from __future__ import annotations

import argparse
from pathlib import Path

from relayd.cli.common import add_config, with_shipped_openssl_conf


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``serve``."""
    parser = commands.add_parser(
        "serve",
        help="run the daemon in the foreground",
        description="Run the daemon in the foreground; logs go to standard error. SIGHUP reloads the configuration, "
        "SIGTERM finishes what is in progress and stops.",
        epilog="example:\n  relayd serve --config /etc/relayd",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    with_shipped_openssl_conf()
    # Imported only now: every other command starts without the daemon's weight.
    from relayd.daemon.processes import roles
    from relayd.daemon.supervisor import Supervisor
    from relayd.telemetry.log import configure, watch_interpreter

    supervisor = Supervisor(Path(arguments.config), roles)
    configure(supervisor.loaded.configuration.log, "supervisor")
    watch_interpreter()
    return supervisor.run()
