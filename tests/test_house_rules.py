"""The rules of the house, checked. The first table is also its plan: who may knock at whose door."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1] / "pyck_magic"

# A room may import from itself and from the rooms named here. The four siblings never meet: the engine hands things over.
DOORS: dict[str, set[str]] = {
    "magic": {"widgets", "commands", "engine", "model"},
    "commands": {"widgets", "engine", "model"},
    "widgets": {"engine", "model"},
    "engine": {"registry", "store", "network", "runtime", "linux", "model"},
    "registry": {"linux", "model"},
    "store": {"linux", "model"},
    "network": {"linux", "model"},
    "runtime": {"linux", "model"},
    "linux": {"model"},
    "model": set(),
}

# What is not ours, and ctypes and sqlite3 which reach as far, lives in one room.
LODGERS = {
    "ctypes": "linux",
    "httpx": "registry",
    "isal": "store",
    "zstandard": "store",
    "sqlite3": "store",
    "platformdirs": "store",
    "pyroute2": "network",
    "ipywidgets": "widgets",
    "pandas": "widgets",
    "rich": "commands",
    "IPython": "magic",
    "traitlets": "magic",
}

# A notebook kernel has a dozen threads: only processes that are alone fork. These modules run in the launcher, in its
# children, in the unpacker, or in a `pyck` command that has not started a thread.
MAY_FORK = {
    "runtime/attempts.py",
    "runtime/init.py",
    "runtime/sandboxes.py",
    "runtime/monitor.py",
    "store/unpacker.py",
    "linux/idmaps.py",
}
MAY_PRINT = {"commands/terminal.py", "__main__.py"}

# `%load_ext pyck_magic` is what everybody waits for. These take 100 ms and more.
HEAVY = ("pandas", "numpy", "httpx", "pyroute2", "ipywidgets", "rich", "zstandard")

MODULES = sorted(HOUSE.rglob("*.py"))


def each_module() -> Iterator[tuple[str, str, ast.Module]]:
    """Every module of the house: its path, its room ("" for the entrance), and its syntax tree."""
    for path in MODULES:
        inside = path.relative_to(HOUSE)
        yield str(inside), inside.parts[0] if len(inside.parts) > 1 else "", ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    """The dotted names a module imports, wherever in it; a relative import begins with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            if node.module == "pyck_magic":
                yield from (f"pyck_magic.{alias.name}" for alias in node.names)


def calls(tree: ast.Module) -> Iterator[str]:
    """The dotted names a module calls, and the names of the keyword arguments it gives."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)
            yield from (f"{word.arg}=" for word in node.keywords if word.arg)


def test_the_plan_names_every_room() -> None:
    """A new room has to be put on the plan."""
    assert {room for _, room, _ in each_module() if room} == set(DOORS)


def test_rooms_import_only_through_their_doors() -> None:
    """Imports go one way, as DOORS says, and are absolute."""
    wrong = []
    for path, room, tree in each_module():
        for name in imports(tree):
            parts = name.split(".")
            if not parts[0]:
                wrong.append(f"{path}: relative import {name}")
            elif room and parts[0] == "pyck_magic" and parts[1:] and set(parts[1:2]) & DOORS.keys() - DOORS[room] - {room}:
                wrong.append(f"{path}: {room} imports {parts[1]}")
    assert not wrong


def test_libraries_live_in_one_room() -> None:
    """A library is imported in its own room only (types for a checker, at the entrance, aside)."""
    wrong = [
        f"{path}: {name}"
        for path, room, tree in each_module()
        for name in imports(tree)
        if room and LODGERS.get(name.split(".")[0], room) != room
    ]
    assert not wrong


def test_runtime_and_model_need_nothing_but_python() -> None:
    """The launcher starts with `python -I -S`: what it imports comes from the standard library or these rooms."""
    wrong = [
        f"{path}: {name}"
        for path, room, tree in each_module()
        for name in imports(tree)
        if room in {"runtime", "linux", "model"} and name.split(".")[0] not in sys.stdlib_module_names | {"pyck_magic"}
    ]
    assert not wrong


def test_nothing_forks_in_a_notebook_kernel() -> None:
    """Only the modules named in MAY_FORK fork, and nobody uses preexec_fn."""
    found = {(path, call) for path, _, tree in each_module() for call in calls(tree)}
    assert {path for path, call in found if call in {"os.fork", "os.forkpty", "os.posix_spawn"}} <= MAY_FORK
    assert not [path for path, call in found if call == "preexec_fn="]


def test_library_rooms_do_not_print_or_exit() -> None:
    """Only the terminal face prints, and only it ends the process."""
    wrong = [
        f"{path}: {call}"
        for path, room, tree in each_module()
        for call in calls(tree)
        if call in {"print", "sys.exit", "exit", "quit"} and path not in MAY_PRINT and room != "runtime"
    ]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_module_is_short_and_says_where_it_runs(path: Path) -> None:
    """At most 300 lines, and a docstring that says where it runs."""
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert "Runs in:" in (ast.get_docstring(ast.parse(text)) or "")


def test_loading_the_extension_imports_nothing_heavy() -> None:
    """After `%load_ext pyck_magic` in a fresh IPython, none of the slow libraries is there."""
    script = f"""
from IPython.core.interactiveshell import InteractiveShell
import sys
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "pyck_magic")
assert "container" in shell.magics_manager.magics["cell"]
print(sorted(set({HEAVY!r}) & (set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_ruff_has_nothing_to_say() -> None:
    """Style is checked like everything else."""
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=HOUSE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_mypy_has_nothing_to_say() -> None:
    """Types are strict throughout the house."""
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=HOUSE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
