"""``relayd reload``: make the running daemon read its configuration anew."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from pathlib import Path
from typing import Any

from relayd.cli.common import add_config, add_json, print_json
from relayd.errors import StoreUnavailable
from relayd.settings.load import load

#: Building and test-running a pipeline takes well under a second; an operator shouldn't wait for ever.
_PATIENCE = 30.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``reload``."""
    parser = commands.add_parser(
        "reload",
        help="read the configuration anew; a mistake leaves the old one in force",
        description="Read the configuration and the policies anew, as a whole: a file with a mistake leaves the old "
        "configuration in force and is named. Running sessions finish as they began.",
        epilog="example:\n  relayd reload --config /etc/relayd",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon; exit status 1 when it refused, with its reasons."""
    configuration = load(Path(arguments.config)).configuration
    answer = ask(configuration.state / "control.sock", "reload")
    if arguments.json:
        print_json(answer)
    elif answer["ok"]:
        print("reloaded")
    else:
        for problem in answer["problems"]:
            print(problem, file=sys.stderr)
        print("reload refused: the old configuration stays in force", file=sys.stderr)
    return 0 if answer["ok"] else 1


def ask(path: Path, command: str) -> dict[str, Any]:
    """Send one command to the supervisor's control socket and return its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE)
        try:
            sock.connect(str(path))
            sock.sendall(json.dumps({"command": command}).encode())
            sock.shutdown(socket.SHUT_WR)
            data = b"".join(iter(lambda: sock.recv(65536), b""))
        except OSError as error:
            raise StoreUnavailable(f"no daemon answers on {path}: is relayd running? ({error.strerror})") from error
    return dict(json.loads(data))
