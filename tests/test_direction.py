"""Data flows one way, and so do imports: no package of relayd imports one that stands to its right."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import relayd

#: Left to right. What stands first knows nothing of what follows.
ORDER = (
    *(
        "errors",
        "clock",
        "failpoints",
        "dumps",
        "telemetry",
        "mail",
        "dns",
        "journal",
        "settings",
        "directory",
    ),
    *(
        "vault",
        "tls",
        "authenticity",
        "sms",
        "smtp",
        "pipeline",
        "inspection",
        "rendering",
        "edi",
        "store",
        "queue",
        "reporting",
    ),
    *("delivery", "daemon", "cli"),
)
ROOT = Path(relayd.__file__).parent


def imports(file: Path) -> set[str]:
    """The relayd packages that ``file`` imports when it runs; imports for annotations only don't count."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {module.split(".")[1] for module in modules if module.startswith("relayd.")}


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_what_stands_to_its_left(package: str) -> None:
    folder = ROOT / package
    files = folder.rglob("*.py") if folder.is_dir() else [ROOT / f"{package}.py"]
    allowed = set(ORDER[: ORDER.index(package) + 1])
    wrong = {str(file.relative_to(ROOT)): extra for file in files if (extra := imports(file) - allowed)}
    assert not wrong


def test_every_package_has_its_place() -> None:
    here = {path.stem for path in ROOT.iterdir() if not path.name.startswith(("_", ".")) and path.name != "py.typed"}
    assert here == set(ORDER)
