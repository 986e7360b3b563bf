"""The house rules: which way imports point, what must be documented, how long a module may be, what is depended on."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "spread": set[str](),
    "streams": {"spread"},
    "connectors": {"spread"},
    "ricochet": {"spread", "streams", "connectors"},
}
PURE = {"msgspec", "numpy", "rapidfuzz"}
CLOCKS = {"datetime", "time", "zoneinfo"}
CHANCE = {"random", "secrets", "uuid"}
SURROUNDINGS = {"io", "logging", "os", "pathlib", "shutil", "sqlite3", "sys", "tempfile"}
COMPANY = {
    "asyncio",
    "http",
    "multiprocessing",
    "select",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "urllib",
}
PURE_PARTS = {"urllib.parse"}
"""What is pure of a module that is not."""
LONGEST = 400
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def modules(package: str) -> list[Path]:
    """Give the modules of a package."""
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, package
    return found


@cache
def parsed(path: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(path.read_text())


def modules_imported(path: Path) -> set[str]:
    """Give the full names of what a module imports from, wherever in it, also for types alone."""
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports by a relative name"
            assert node.module is not None
            names.add(node.module)
    return names


def imported(path: Path) -> set[str]:
    """Give the top-level names of what a module imports."""
    return {name.partition(".")[0] for name in modules_imported(path)}


ALL = [path for package in MAY_IMPORT for path in modules(package)]
EVERY_MODULE = pytest.mark.parametrize("path", ALL, ids=[str(path.relative_to(ROOT)) for path in ALL])


@EVERY_MODULE
def test_imports_point_one_way(path: Path) -> None:
    """Ricochet may import streams and connectors, these may import spread, and none the other way or the tests."""
    package = path.relative_to(ROOT).parts[0]
    ours = imported(path) & {*MAY_IMPORT, "tests", "bench", "dashboards"}
    assert ours <= MAY_IMPORT[package] | {package}


@pytest.mark.parametrize("path", modules("spread"), ids=lambda path: path.name)
def test_the_domain_is_pure(path: Path) -> None:
    """`spread` knows the standard library and pure libraries alone, and of those nothing with a clock or a disk."""
    others = {name.partition(".")[0] for name in modules_imported(path) - PURE_PARTS} - {"spread"}
    assert others - sys.stdlib_module_names <= PURE
    assert not others & (CLOCKS | CHANCE | SURROUNDINGS | COMPANY)
    calls = {
        node.func.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Call) and type(node.func) is ast.Name
    }
    assert not {call.id for call in calls if isinstance(call, ast.Name)} & {"open", "print", "input"}


def undocumented(path: Path) -> Iterator[str]:
    """Find what is public and has no docstring: the module, its classes and functions, and the classes' methods."""
    tree = parsed(path)
    if ast.get_docstring(tree) is None:
        yield path.name
    bodies: list[tuple[str, list[ast.stmt]]] = [("", tree.body)]
    while bodies:
        prefix, body = bodies.pop()
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                if ast.get_docstring(node) is None:
                    yield f"{prefix}{node.name}"
                if isinstance(node, ast.ClassDef):
                    bodies.append((f"{prefix}{node.name}.", node.body))


@EVERY_MODULE
def test_what_is_public_is_documented(path: Path) -> None:
    """Every public module, class, function and method says in a docstring what it is for."""
    assert list(undocumented(path)) == []


def test_every_test_says_what_it_holds() -> None:
    """Every test has a docstring: the behaviour that it holds."""
    silent = [
        f"{path.name}: {node.name}"
        for path in modules("tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and ast.get_docstring(node) is None
    ]
    assert silent == []


@EVERY_MODULE
def test_modules_are_short(path: Path) -> None:
    """No module has more than 400 lines."""
    assert len(path.read_text().splitlines()) <= LONGEST


def distribution(requirement: str) -> str:
    """Give the normal name of what a requirement asks for."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@cache
def project() -> dict[str, object]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_dependencies_are_what_is_imported() -> None:
    """Every dependency is imported somewhere in the packages, and every import from outside is a dependency."""
    table = project()["project"]
    assert isinstance(table, dict)
    extras = [requirement for extra in table["optional-dependencies"].values() for requirement in extra]
    declared = {distribution(requirement) for requirement in [*table["dependencies"], *extras]}
    own = {*MAY_IMPORT, *sys.stdlib_module_names}
    foreign = {name for path in ALL for name in imported(path)} - own
    used = {distribution(name) for module in foreign for name in packages_distributions()[module]}
    assert declared - used == set(), "declared and not imported"
    assert used - declared == set(), "imported and not declared"


def test_development_dependencies_are_used() -> None:
    """Every development dependency is imported or run by the tests or benchmarks, or run by the Makefile."""
    groups = project()["dependency-groups"]
    assert isinstance(groups, dict)
    sources = [path for package in ("tests", "bench", "dashboards") for path in modules(package)]
    run = {name for path in sources for name in re.findall(r'"-m", "(\w+)"', path.read_text())}
    names = run | {name for path in sources for name in imported(path)}
    used = {distribution(one) for name in names for one in packages_distributions().get(name, ())}
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"\$\(BIN\)/(\w+)", makefile))
    if "--numprocesses" in makefile:
        commands.add("pytest-xdist")
    assert {distribution(requirement) for requirement in groups["dev"]} <= used | commands


def tracked() -> list[Path]:
    """Give the files of the repository, those that are about to be added included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    paths = {ROOT / name for name in listed.stdout.decode().split("\0") if name}
    assert len(paths) > 20
    return sorted(path for path in paths if path.is_file())


def test_no_file_names_a_package_registry() -> None:
    """Packages come from wherever the machine's own installer is told to look; no file names a registry host."""
    hosts = [
        ".".join(parts)
        for parts in (
            *(("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io")),
            *(("proxy", "golang", "org"), ("rubygems", "org"), ("maven", "apache", "org"), ("anaconda", "org")),
        )
    ]
    named = [
        (str(path.relative_to(ROOT)), host)
        for path in tracked()
        for host in hosts
        if host.encode() in path.read_bytes()
    ]
    assert named == []


def test_no_data_is_committed() -> None:
    """The repository holds no large file, and no archive but what older versions stored of made-up events."""
    large = [path.name for path in tracked() if path.stat().st_size > 300_000]
    others = [path for path in tracked() if path.parent != ROOT / "tests" / "states"]
    packed = [path.name for path in others if path.suffix in (".gz", ".zst", ".zip", ".parquet", ".sqlite")]
    assert (large, packed) == ([], [])


def test_commands_do_without_faust() -> None:
    """Only a worker imports Faust: it takes longer than all that the other commands import."""
    look = "import sys, ricochet.cli, ricochet.metrics, ricochet.worker_metrics; sys.exit('faust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False, timeout=60).returncode == 0
