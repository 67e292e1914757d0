"""Configuration: YAML files with one level of `base:`, `key=value` overrides, checks by frozen pydantic models.

A `Layer` keeps the settings together with the place where each was written, so that a message can name the line to
correct. Files and overrides are layers; later ones win.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.layer import Layer, merge, value_at

Model = TypeVar("Model", bound=BaseModel)
BASE_KEY = "base"
SUFFIX = ".yaml"
_LONGEST_VALUE = 200
"""Characters of a value that a message repeats; of a longer one it names the type."""
_OVERRIDE_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


def read_yaml(path: Path) -> Layer:
    """One file as it is, a mapping at its top.

    Raises:
        ConfigError: if the file is missing, is not YAML, repeats a key or is not a mapping.
    """
    shown = display_path(path)
    if not path.is_file():
        raise ConfigError(f"configuration file '{shown}': no such file; give the path of a YAML file")
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode | None):
            raise ConfigError(f"{shown}: is not a mapping; allowed: `key: value` lines; correct the file")
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True, throw_on_missing=True)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{shown}{line}: not valid YAML ({_first_line(error.problem)}); correct the line") from error
    except (yaml.YAMLError, OSError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise ConfigError(f"{shown}: cannot be read ({_first_line(error)}); allowed: a YAML mapping") from error
    return Layer(values, dict(_lines(node, shown)))  # type: ignore[arg-type]


def read_config(path: Path, fallback: Path | None = None) -> Layer:
    """A file on top of the file that its `base:` names, if it has one.

    Args:
        path: the file.
        fallback: folder in which `base` is looked for when it is not beside the file.

    Raises:
        ConfigError: as `read_yaml`; also if the base has a base itself.
    """
    layer = read_yaml(path)
    base = layer.values.get(BASE_KEY)
    if base is None:
        return layer.without(BASE_KEY)
    return read_base(str(base), [path.parent, *([fallback] if fallback else [])], display_path(path)).merged(
        layer.without(BASE_KEY)
    )


def read_base(name: str, folders: Sequence[Path], asked_by: str) -> Layer:
    """The file `name` (without `.yaml`) from the first of `folders` that has it.

    Raises:
        ConfigError: if no folder has it, or it has a base itself.
    """
    for folder in folders:
        path = folder / f"{name}{SUFFIX}"
        if path.is_file():
            layer = read_yaml(path)
            if BASE_KEY in layer.values:
                raise ConfigError(
                    f"{display_path(path)}: has a base, '{layer.values[BASE_KEY]}', and is the base of {asked_by}; "
                    "allowed: one level; write the settings of one of them out"
                )
            return layer
    known = sorted({known for folder in folders for known in names_in(folder)})
    raise ConfigError(f"{asked_by}: unknown base '{name}'{did_you_mean(name, known)}")


def named_file(kind: str, name: str, folder: Path) -> Path:
    """A file of a folder by its name without `.yaml`, or any YAML file by its path.

    Args:
        kind: what it is, for messages, such as `experiment`.
        name: what was asked for.
        folder: where names are looked up.

    Raises:
        ConfigError: if there is none.
    """
    known = names_in(folder)
    if name.endswith(SUFFIX) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"{kind} '{name}': no such file; known names: {', '.join(known)}")
        return path
    if name not in known:
        raise ConfigError(f"unknown {kind} '{name}'{did_you_mean(name, known)}")
    return folder / f"{name}{SUFFIX}"


def read_named(kind: str, texts: Iterable[str], folder: Path) -> tuple[str, Layer]:
    """Name and settings of what `<kind>=NAME` and further `key=value` texts describe.

    Args:
        kind: such as `sweep`.
        texts: NAME is that of a file of the folder, or the path of any; all others set a value.
        folder: where the files are.

    Raises:
        ConfigError: if none is named or there is no such file, and as `read_config` and `read_overrides`.
    """
    asked = read_overrides(texts)
    named = asked.values.get(kind)
    if not isinstance(named, str):
        raise ConfigError(
            f"{kind}: none is named; write {kind}=NAME with one of: {', '.join(names_in(folder))}, or the path of a "
            "YAML file"
        )
    path = named_file(kind, named, folder)
    return path.stem, read_config(path, folder).merged(asked.without(kind))


def names_in(folder: Path) -> list[str]:
    """Names of the YAML files in a folder."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))


def read_overrides(texts: Iterable[str]) -> Layer:
    """`key=value` texts as one layer; keys are dotted, a number is the place in a list, values are YAML.

    Raises:
        ConfigError: for every text without `=`, with a malformed key or a value that is not YAML.
    """
    layer, problems = Layer(), []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not _OVERRIDE_KEY.fullmatch(key):
            problems.append(f"override '{text}': not of the form key=value; write, for example, agent.total_steps=2e6")
            continue
        try:
            nested: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]), resolve=True)["value"]  # type: ignore[index,call-overload]
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            problems.append(f"override '{text}': value is not YAML ({_first_line(error)}); quote it")
            continue
        for part in reversed(key.split(".")):
            nested = {part: nested}
        layer = layer.merged(Layer(nested, {key: f"override '{text}'"}))
    raise_collected(problems, ConfigError)
    return layer


def validate(model: type[Model], layer: Layer, where: str, prefix: str = "") -> Model:
    """The settings as a checked model.

    Args:
        model: frozen pydantic model that forbids unknown keys.
        layer: settings.
        where: what is configured, such as `experiment 'x'`; begins every message.
        prefix: dotted start of the keys in messages.

    Raises:
        ConfigError: one line for every problem.
    """
    checked, problems = check(model, layer, where, prefix)
    raise_collected(problems, ConfigError)
    assert checked is not None
    return checked


def check(model: type[Model], layer: Layer, where: str, prefix: str = "") -> tuple[Model | None, list[str]]:
    """As `validate`, but returns the problems so that the caller can collect more."""
    try:
        layer = _default_lists(model, layer)
        return model.model_validate(layer.values), []
    except ConfigError as error:
        return None, [f"{where}: {line}" for line in str(error).splitlines()]
    except ValidationError as error:
        by_key: dict[str, list[Any]] = {}
        for e in error.errors(include_url=False):
            by_key.setdefault(_key(layer.values, e["loc"], e["type"] == "missing"), []).append(e)
        # A list with a wrong entry is also reported as too short, which would mislead.
        wrong = [k for k, errors in by_key.items() if not _echoes(k, errors, by_key)]
        return None, [_problem(model, layer, where, prefix, key, by_key[key]) for key in wrong]


def display_path(path: Path) -> str:
    """The path relative to the working directory where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Settings as YAML text that `read_yaml` reads back unchanged, in the order given."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))


def _default_lists(model: type[BaseModel], layer: Layer) -> Layer:
    """The layer with `key.<place>=...` put into the model's default list where the layer has no list of its own."""
    filled = {}
    for key, value in layer.values.items():
        default = model.model_fields[key].default if key in model.model_fields else None
        if isinstance(default, tuple) and isinstance(value, Mapping):
            entries = [d.model_dump(mode="json") if isinstance(d, BaseModel) else d for d in default]
            filled[key] = merge(entries, value, f"{key}.")
    return Layer({**layer.values, **filled}, layer.origin)


def _echoes(key: str, errors: Sequence[Any], others: Iterable[str]) -> bool:
    return all(e["type"] == "too_short" for e in errors) and any(o.startswith(f"{key}.") for o in others)


def _problem(model: type[BaseModel], layer: Layer, where: str, prefix: str, key: str, errors: Sequence[Any]) -> str:
    origin = layer.origin.get(key)
    full, fix = f"{prefix}{key}", f"; correct it in {origin}" if origin else ""
    first = errors[0]
    if first["type"] == "extra_forbidden":
        parent, _, name = key.rpartition(".")
        hint = did_you_mean(name, _known_keys(model, parent.split(".") if parent else []))
        return f"{where}: unknown key '{full}'{f' ({origin})' if origin else ''}{hint}"
    if first["type"] == "missing":
        return f"{where}: key '{full}' is missing; give it a value"
    allowed = " or ".join(dict.fromkeys(_allowed(e) for e in errors))
    if not key:
        return f"{where}: {allowed}"
    return f"{where}: {full} = {_shown(value_at(layer.values, key))}; {allowed}{fix}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE and "\n" not in text else f"a {type(value).__name__}"


def _allowed(error: Mapping[str, Any]) -> str:
    text = str(error["msg"]).replace("Input should be", "must be").removeprefix("Value error, ")
    return f"{text}; put it in quotes" if error["type"] == "string_type" else text


def _key(values: Any, location: Sequence[str | int], is_missing: bool) -> str:
    """Dotted key of an error; labels that pydantic adds for the branches of a union are dropped."""
    parts, here = [], values
    for part in location[:-1] if is_missing else location:
        if not _holds(here, part):
            break
        parts.append(str(part))
        here = here[part]
    return ".".join([*parts, str(location[-1])] if is_missing else parts)


def _holds(here: Any, part: str | int) -> bool:
    if isinstance(here, Mapping):
        return part in here
    return isinstance(here, Sequence) and not isinstance(here, str) and isinstance(part, int) and part < len(here)


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Fields of the model at a path of keys and list places."""
    here: type[BaseModel] | None = model
    for part in path:
        if here is not None and part in here.model_fields:
            here = _model_in(here.model_fields[part].annotation)
    return list(here.model_fields) if here else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in get_args(annotation) if (found := _model_in(a)) is not None), None)


def _lines(node: Any, shown: str, path: str = "") -> Iterable[tuple[str, str]]:
    """Dotted key and `file:line` of everything below a YAML node."""
    if isinstance(node, yaml.MappingNode):
        children = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(i), value, value) for i, value in enumerate(node.value)]
    else:
        return
    for name, marked, child in children:
        yield f"{path}{name}", f"{shown}:{marked.start_mark.line + 1}"
        yield from _lines(child, shown, f"{path}{name}.")


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0]
