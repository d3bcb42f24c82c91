"""Which folder may import which, and what importing the package must not load."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "indexes": {"indexes"},
    "retrieval": {"indexes", "retrieval"},
    "benchmarks": {"indexes", "retrieval", "benchmarks"},
    "cli": {"indexes", "retrieval", "benchmarks", "cli"},
}
HEAVY = ("torch", "faiss", "transformers", "open_clip", "duckdb", "av")


def imported_packages(path: Path) -> set[str]:
    """Top-level names that a module imports anywhere, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folders_import_only_what_lies_below_them(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    for module in modules:
        upward = imported_packages(module) & MAY_IMPORT.keys() - MAY_IMPORT[folder]
        assert not upward, f"{module} imports {upward}"


@pytest.mark.parametrize("code", ["import retrieval", "import retrieval.types, retrieval.errors"])
def test_importing_the_package_loads_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == []


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, cli.main; cli.main.app(['search', '--help'], standalone_mode=False)"
    assert loaded_after(code, "numpy", "pyarrow") == []


@pytest.mark.parametrize("command", ["models", "bench"])
def test_lists_load_nothing_heavy(command: str) -> None:
    code = f"import cli.main; cli.main.app([{command!r}, 'list'], standalone_mode=False)"
    assert loaded_after(code, "open_clip") == []


def loaded_after(code: str, *more: str) -> list[str]:
    script = f"{code}\nimport sys\nprint([m for m in {(*HEAVY, *more)} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return ast.literal_eval(done.stdout.strip().splitlines()[-1])


def test_public_names_are_the_ones_listed() -> None:
    import retrieval

    for name in retrieval.__all__:
        assert getattr(retrieval, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        retrieval.nothing  # noqa: B018


def test_no_module_is_longer_than_400_lines() -> None:
    for folder in (*MAY_IMPORT, "tests"):
        for module in (ROOT / folder).rglob("*.py"):
            assert len(module.read_text().splitlines()) <= 400, module


def test_modules_form_no_import_cycles() -> None:
    """Imports inside functions and for type checkers count as well."""
    graph = grimp.build_graph(*MAY_IMPORT, exclude_type_checking_imports=False, cache_dir=None)
    packages = {module for module in graph.modules if graph.find_children(module)}
    dependencies = {
        # A package's own `__init__` may name what its modules contain.
        module: graph.find_modules_directly_imported_by(module) - packages
        for module in graph.modules - packages
    }
    order = TopologicalSorter(dependencies)
    order.prepare()  # raises CycleError with the modules of a cycle
