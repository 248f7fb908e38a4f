"""Every public module says what it exports, and that is true."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import promomsg

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(promomsg.__path__, "promomsg.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_names_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    exported = getattr(module, "__all__", None)
    defined = own(module)
    if exported is None:
        assert not defined, f"{name} defines {sorted(defined)} and has no __all__"
        return
    assert len(exported) == len(set(exported))
    missing = [item for item in exported if not hasattr(module, item)]
    assert not missing, f"{name}.__all__ names {missing}, which are not there"
    if not hasattr(module, "__path__"):
        foreign = {i for i in exported if inspect.isclass(getattr(module, i))} - defined
        assert all(getattr(module, i).__module__ != name for i in foreign)


def own(module: ModuleType) -> set[str]:
    """Public classes and functions that a module defines itself."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


def test_the_public_names_are_sorted_and_there() -> None:
    assert promomsg.__all__ == sorted(promomsg.__all__)
    for name in promomsg.__all__:
        assert getattr(promomsg, name) is not None
    assert "Campaign" in promomsg.__all__
    assert promomsg.__version__


def test_type_checkers_see_the_public_names_from_the_modules_they_are_imported_from() -> None:
    tree = ast.parse(Path(promomsg.__file__).read_text())
    [for_checkers] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        (node.module, alias.name, alias.asname)
        for node in ast.walk(for_checkers)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(module, name, name) for name, module in promomsg._MODULE_OF.items()}
    assert set(promomsg.__all__) <= set(dir(promomsg))
    with pytest.raises(AttributeError, match="'promomsg' has no attribute 'nothing'"):
        _ = promomsg.nothing


def test_every_error_is_public_and_a_promo_error() -> None:
    from promomsg import errors

    for name in errors.__all__:
        assert getattr(promomsg, name) is getattr(errors, name)
        assert issubclass(getattr(errors, name), promomsg.PromoError)


def test_importing_the_package_imports_no_terminal() -> None:
    import subprocess
    import sys

    code = "import promomsg, sys; print(sorted({'click', 'rich', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_main_classes_load_their_packages_and_nothing_that_only_some_campaigns_need() -> None:
    import subprocess
    import sys

    from benchmarks.suites.startup import MAIN, PACKAGES

    code = (
        f"import sys; {PACKAGES}; before = set(sys.modules); {MAIN}\n"
        "print(*sorted({name for name in set(sys.modules) - before if not name.startswith('promomsg')}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    added = set(done.stdout.split())
    later = (
        "anyio",
        "cryptography",
        "psycopg",
        "pyarrow",
        "numpy",
        "openpyxl",
        "click",
        "rich",
        "zoneinfo",
    )
    assert not [name for name in added if name.partition(".")[0] in later]
