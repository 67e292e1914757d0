"""Layers of settings, overrides and the messages of configuration errors."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from gridenv.core.config import read_config, read_overrides, read_yaml, to_yaml, validate
from gridenv.core.errors import ConfigError
from gridenv.core.layer import Layer


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    bus: str
    p_kw: float = Field(gt=0.0)


class Whole(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt = 10
    rate: float = 0.5
    parts: tuple[Part, ...] = (Part(bus="1", p_kw=1.0), Part(bus="2", p_kw=2.0))
    buses: tuple[str, ...] | Literal["all"] = "all"
    nested: Part = Part(bus="3", p_kw=3.0)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(Whole, read_overrides(overrides), "experiment 'x'")
    return str(caught.value)


def test_validate_accepts_integral_floats_for_integers_and_keeps_defaults() -> None:
    whole = validate(Whole, read_overrides(["steps=2e6"]), "x")
    assert whole.steps == 2_000_000
    assert isinstance(whole.steps, int)
    assert whole.rate == 0.5


def test_validate_refuses_fractions_for_integers() -> None:
    assert message("steps=2.5") == (
        "experiment 'x': steps = 2.5; must be a valid integer, got a number with a fractional part; "
        "correct it in override 'steps=2.5'"
    )


def test_validate_names_unknown_keys_with_a_suggestion_at_every_level() -> None:
    assert "unknown key 'stps' (override 'stps=1'); did you mean 'steps'?" in message("stps=1")
    assert "unknown key 'nested.p_kv' (override 'nested.p_kv=1'); did you mean 'p_kw'?" in message("nested.p_kv=1")
    assert "unknown key 'parts.1.bis'" in message("parts.1.bis=4")


def test_validate_reports_all_problems_one_a_line() -> None:
    lines = message("steps=-1", "rate=fast", "nested.p_kw=0", "nested.bus=b").splitlines()
    assert len(lines) == 3
    assert any("rate = 'fast'; must be a valid number" in line for line in lines)
    assert any("nested.p_kw = 0; must be greater than 0" in line for line in lines)


def test_validate_describes_a_union_in_one_line_and_says_to_quote_strings() -> None:
    text = message("buses=[18]")
    assert len(text.splitlines()) == 1
    assert "buses = [18]; must be a valid string; put it in quotes or must be 'all'" in text


def test_validate_reports_missing_keys() -> None:
    with pytest.raises(ConfigError, match=r"file.yaml: key 'bus' is missing; give it a value"):
        validate(Part, Layer({"p_kw": 1.0}), "file.yaml")


def test_an_override_can_change_one_entry_of_a_default_list() -> None:
    whole = validate(Whole, read_overrides(["parts.1.p_kw=7"]), "x")
    assert [p.p_kw for p in whole.parts] == [1.0, 7.0]
    assert "parts.1.p_kw = -7; must be greater than 0; correct it in override" in message("parts.1.p_kw=-7")
    assert "'parts.2': the list has 2 entries; allowed: 0..1" in message("parts.2.p_kw=7")


def test_overrides_without_equals_sign_or_with_broken_values_are_all_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        read_overrides(["steps", "rate=[1", "=3"])
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("override 'steps': not of the form key=value")
    assert lines[1].startswith("override 'rate=[1': value is not YAML")
    assert lines[2].startswith("override '=3': not of the form key=value")


def test_later_layers_win_and_lists_are_replaced() -> None:
    merged = Layer({"a": {"b": 1, "c": 2}, "l": [1, 2]}).merged(Layer({"a": {"c": 3}, "l": [9]}))
    assert merged.values == {"a": {"b": 1, "c": 3}, "l": [9]}


def test_a_file_is_read_on_top_of_its_base_and_errors_name_the_line(tmp_path: Path) -> None:
    write(tmp_path, "base", "steps: 3\nrate: 0.25\n")
    layer = read_config(write(tmp_path, "top", "base: base\n\nsteps: -4\n"))
    assert layer.values == {"steps": -4, "rate": 0.25}
    with pytest.raises(ConfigError, match=r"steps = -4; must be greater than 0; correct it in .*top.yaml:3"):
        validate(Whole, layer, "experiment 'top'")


def test_a_base_with_a_base_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", "steps: 3\n")
    write(tmp_path, "b", "base: a\n")
    with pytest.raises(ConfigError, match=r"b.yaml: has a base, 'a', and is the base of .*c.yaml; allowed: one level"):
        read_config(write(tmp_path, "c", "base: b\n"))


def test_an_unknown_base_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    write(tmp_path, "common", "steps: 3\n")
    with pytest.raises(ConfigError, match="unknown base 'comon'; did you mean 'common'"):
        read_config(write(tmp_path, "c", "base: comon\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [1\n", r"bad.yaml:3: not valid YAML"),
        ("a: 1\na: 2\n", r"bad.yaml:2: not valid YAML \(found duplicate key a\)"),
        ("- 1\n- 2\n", r"bad.yaml: is not a mapping"),
        ("a: ${nothing}\n", r"bad.yaml: cannot be read \(Interpolation key 'nothing' not found\)"),
        ("just text\n", r"bad.yaml: is not a mapping"),
    ],
)
def test_files_that_are_no_mapping_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        read_yaml(write(tmp_path, "bad", text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"configuration file '.*no.yaml': no such file"):
        read_yaml(tmp_path / "no.yaml")


def test_written_yaml_reads_back_unchanged(tmp_path: Path) -> None:
    values = {"a": 1e-6, "b": ["18", "x"], "c": {"d": True, "e": None, "f": "2e6"}, "g": 2_000_000, "h": 0.1 + 0.2}
    assert read_yaml(write(tmp_path, "w", to_yaml(values))).values == values
