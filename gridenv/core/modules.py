"""Modules of users by name or file, so that what they register is there in every process."""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from gridenv.core.config import display_path
from gridenv.core.errors import ConfigError

_SUFFIX = ".py"
_MAIN = "__main__"
_LOADED = "gridenv_file_"
"""Begins the names of modules that were read from a file, so that they cannot be mistaken for others."""


def import_named(name: str, asked_by: str) -> ModuleType:
    """Import a module by its dotted name, looked for in the working directory too, or by the path of its file.

    Args:
        name: such as `my_tasks` or `path/to/my_tasks.py`.
        asked_by: begins the message of an error.

    Raises:
        ConfigError: if there is no such module or file, or it fails while it is imported.
    """
    try:
        return _from_file(Path(name), asked_by) if name.endswith(_SUFFIX) else _from_path(name, asked_by)
    except ConfigError:
        raise
    except Exception as error:
        # Code of a user may fail with anything; which, and where it was asked for, is what helps.
        raise ConfigError(
            f"{asked_by}: '{name}' fails while it is imported ({type(error).__name__}: {error}); correct it"
        ) from error


def name_of_module(name: str) -> str:
    """What `import_named` finds a module by: its file if it is the running script or was read from a file."""
    if name != _MAIN and not name.startswith(_LOADED):
        return name
    file = getattr(sys.modules.get(name), "__file__", None)
    return display_path(Path(file)) if file else name


def is_same_module(one: str, other: str) -> bool:
    """Whether two names for `import_named` mean the same; files are compared by their place."""
    are_files = one.endswith(_SUFFIX) and other.endswith(_SUFFIX)
    return Path(one).resolve() == Path(other).resolve() if are_files else one == other


def _from_path(name: str, asked_by: str) -> ModuleType:
    if name == _MAIN or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{asked_by}: '{name}' cannot be imported; allowed: a module, or a file that ends in .py")
    here = str(Path.cwd())
    # Where it is on the path already, its place decides which modules win.
    is_added = here not in sys.path
    if is_added:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(
            f"{asked_by}: there is no module '{name}'; allowed: one on the path or in the working directory, or a file "
            "that ends in .py; correct it"
        ) from None
    finally:
        if is_added:
            sys.path.remove(here)


def _from_file(path: Path, asked_by: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{asked_by}: there is no file '{path}'; give the path of a Python file")
    name = f"{_LOADED}{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Classes look up their module while they are made.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
