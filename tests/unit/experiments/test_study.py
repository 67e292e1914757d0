"""Results of comparisons: merged, refused, written as documents and as a page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import study_tables
from experiments.pages import charts
from experiments.pages import comparison as comparison_page
from experiments.stored import RESULTS_FILE
from experiments.study import read_study, write_by_task
from gridenv.core.errors import RunError
from tests.unit.experiments.comparisons import check_page, comparison, controller, entry


def changed(made: dict[str, Any], *path: str, value: Any) -> dict[str, Any]:
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def test_comparisons_of_different_days_are_merged_task_by_task(tmp_path: Path) -> None:
    folders = [
        comparison(tmp_path, "one", entry(), entry("V2G-SimBenchLV-v0")),
        comparison(tmp_path, "two", entry(agent="sb3_ppo")),
    ]
    study = read_study(folders)
    assert [task.title for task in study.tasks] == ["Storage-IEEE33-v0", "V2G-SimBenchLV-v0"]
    assert [name for name, _, _ in study.tasks[0].rows()] == ["rule", "oracle", "ppo", "sb3_ppo"]
    assert study.names == ("one", "two")
    # Read again from a file a task, each of which names both.
    assert read_study(write_by_task(study, tmp_path / "json")).names == ("one", "two")


def test_what_is_written_by_task_reads_as_the_same(tmp_path: Path) -> None:
    study = read_study([comparison(tmp_path, "one", entry(), entry("V2G-SimBenchLV-v0"), entry(agent="apg"))])
    files = write_by_task(study, tmp_path / "json")
    assert [file.name for file in files] == ["Storage-IEEE33-v0.json", "V2G-SimBenchLV-v0.json"]
    again = read_study(files)
    assert study_tables.table(again) == study_tables.table(study)
    rows = [(name, c.per_episode) for task in again.tasks for name, c, _ in task.rows()]
    assert rows == [(name, c.per_episode) for task in study.tasks for name, c, _ in task.rows()]
    assert all(values is not None for _, values in rows)
    assert files[0].read_text().count('"v_min_pu": [0.94, null, 0.97]') == 4, "of two agents and of each reference once"


def test_results_of_other_episodes_are_not_merged(tmp_path: Path) -> None:
    one = comparison(tmp_path, "one", entry())
    two = comparison(tmp_path, "two", entry("V2G-SimBenchLV-v0", episodes_hash="b" * 64, split="validation"))
    with pytest.raises(RunError) as error:
        read_study([one, two])
    assert str(error.value) == (
        f"comparisons: '{two}/{RESULTS_FILE}' (v2g-simbenchlv-v0_ppo) is of 3 validation episodes with hash bbbbbbbb, "
        f"'{one}/{RESULTS_FILE}' of 3 test episodes with hash aaaaaaaa; only results of the same episodes can be "
        "merged; run `gridenv compare` again"
    )


def test_tasks_of_one_comparison_may_have_episodes_of_their_own_and_are_read_again(tmp_path: Path) -> None:
    longer = entry("V2G-SimBenchLV-v0", episodes_hash="b" * 64, steps_per_episode=192)
    study = read_study([comparison(tmp_path, "one", entry(), longer)])
    assert study_tables.table(read_study(write_by_task(study, tmp_path / "json"))) == study_tables.table(study)
    other = comparison(tmp_path, "two", entry(agent="apg", episodes_hash="b" * 64))
    with pytest.raises(
        RunError, match=r"two.*\(storage-ieee33-v0_apg\) is of 3 test episodes with hash bbbbbbbb, .*one"
    ):
        read_study([tmp_path / "one", other])


def test_an_entry_is_added_to_the_form_of_its_task_that_it_fits(tmp_path: Path) -> None:
    forms = [entry(), entry(agent="sb3_ppo", episodes_hash="b" * 64)]
    other = comparison(tmp_path, "two", entry(agent="apg", episodes_hash="b" * 64))
    study = read_study([comparison(tmp_path, "one", *forms), other])
    assert [[e.agent for e in task.entries] for task in study.tasks] == [["ppo"], ["sb3_ppo", "apg"]]


def test_results_against_other_references_are_not_merged(tmp_path: Path) -> None:
    other = entry(agent="sb3_ppo")
    other["evaluation"]["controllers"]["oracle"] = controller([-3.5, -3.5, -3.5], 1.0)
    one, two = comparison(tmp_path, "one", entry()), comparison(tmp_path, "two", other)
    with pytest.raises(
        RunError, match=r"reference 'oracle' earns -3\.5000 EUR on Storage-IEEE33-v0 in .*two.*-3\.0000"
    ):
        read_study([one, two])


def test_two_forms_of_a_task_in_one_comparison_stand_apart(tmp_path: Path) -> None:
    other = entry(agent="sb3_ppo")
    other["evaluation"]["controllers"]["rule"] = controller([-33.0, -36.0, -30.0], 0.0)
    study = read_study([comparison(tmp_path, "one", entry(), other, entry(agent="apg"))])
    assert [task.title for task in study.tasks] == [
        "Storage-IEEE33-v0",
        "Storage-IEEE33-v0 (storage-ieee33-v0_sb3_ppo)",
    ]
    assert [len(task.entries) for task in study.tasks] == [2, 1]
    (file,) = write_by_task(study, tmp_path / "json")
    assert file.name == "Storage-IEEE33-v0.json"
    again = read_study([file])
    rows = [[(name, c) for name, c, _ in task.rows()] for task in again.tasks]
    assert rows == [[(name, c) for name, c, _ in task.rows()] for task in study.tasks]
    assert study_tables.table(again) == study_tables.table(study)
    check_page(comparison_page.page(study))


def test_an_experiment_stands_in_one_comparison(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"experiment 'storage-ieee33-v0_ppo' is in .*one.* and in .*two.*leave one out"):
        read_study([comparison(tmp_path, "one", entry()), comparison(tmp_path, "two", entry())])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the file: invalid json"),
        ('{"comparison": "old", "entries": []}', "has no entries"),
        (json.dumps({"comparison": "old", "entries": [{"experiment": "a"}]}), "entries.0.agent: field required"),
        (
            json.dumps({"comparison": "x", "entries": [changed(entry(), "steps", value="many")]}),
            "entries.0.steps: input should be a valid integer",
        ),
    ],
)
def test_files_that_are_damaged_or_of_another_version_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "old.json"
    file.write_text(text)
    with pytest.raises(RunError, match=rf"comparison '.*old.json': {message}.*run `gridenv compare`"):
        read_study([file])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file; name the folder of a comparison"):
        read_study([tmp_path / "none.json"])


def test_a_document_has_every_number_and_where_it_came_from(tmp_path: Path) -> None:
    study = read_study([comparison(tmp_path, "one", entry(), entry(agent="sb3_ppo"))])
    file = tmp_path / "benchmark.md"
    study_tables.write_document(study, file)
    text = file.read_text()
    assert "all 3 test days (hash `aaaaaaaaaaaa`)" in text
    assert "| Storage-IEEE33-v0 | 0.75 | 0.75 |" in text
    expected = (
        "| Storage-IEEE33-v0 | ppo | 0.750 (0.625..0.875) | -5.00 (-5.50..-4.50) | 0.25 (0.12..0.38) | v_band 0.0125 "
        "| 2 | 96,000 | 1.5 |"
    )
    assert expected in text
    assert (
        "| 2026-05-04 | A processor, 2 cores, cpu: cpu | Python 3.11.4, gridenv 0.1.0, jax 0.10.1 | bbbbbbbbbbbb+ |"
        in text
    )


def test_a_document_keeps_its_own_text(tmp_path: Path) -> None:
    study = read_study([comparison(tmp_path, "one", entry())])
    file = tmp_path / "benchmark.md"
    file.write_text(f"# Mine\n\nBefore.\n\n{study_tables.BEGIN}\nold\n{study_tables.END}\n\nAfter.\n")
    study_tables.write_document(study, file)
    first = file.read_text()
    assert first.startswith("# Mine\n\nBefore.\n")
    assert first.endswith("\n\nAfter.\n")
    assert "old" not in first
    study_tables.write_document(study, file)
    assert file.read_text() == first


@pytest.mark.parametrize("text", ["# Mine\n", f"{study_tables.END}\n{study_tables.BEGIN}\n"])
def test_a_document_without_a_place_for_results_is_not_touched(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.md"
    file.write_text(text)
    with pytest.raises(RunError, match="lacks the lines between which results go"):
        study_tables.write_document(read_study([comparison(tmp_path, "one", entry())]), file)
    assert file.read_text() == text


def test_the_page_of_a_comparison_is_one_file_that_says_what_it_shows(tmp_path: Path) -> None:
    odd = entry("V2G-SimBenchLV-v0", warnings=["<b>odd</b> & </script>"])
    page = check_page(comparison_page.page(read_study([comparison(tmp_path, "one", entry(), odd)])))
    assert "&lt;b&gt;odd&lt;/b&gt;" in page.text
    # An overview, and of each task scores, returns, learning and return against limits.
    assert len(page.all("svg")) == 1 + 2 * 4
    first, _ = page.days()
    assert first["dates"] == ["Mon 4 Jan", "Tue 5 Jan", "Wed 6 Jan"]
    assert first["first"] == 0, "the day that is worst for all together"
    assert first["costs"] == ["v_band"]
    assert "Never broken here: thermal." in page.text
    assert [c["label"] for c in first["controllers"]] == ["rule", "oracle", "PPO"]
    ppo = first["controllers"][2]
    assert ppo["return_eur"] == [-6.0, -4.0, -5.0]
    assert ppo["cost"] == {"v_band": [0.0375, 0.0, 0.0]}
    assert ppo["v_min_pu"][1] is None
    assert ppo["seeds"] == {"0": [-6.0, -4.0, -5.0], "1": [-5.0, -3.0, -4.0]}


def test_a_page_without_scores_has_no_scores(tmp_path: Path) -> None:
    made = entry()
    del made["evaluation"]["controllers"]["oracle"]
    for each in made["evaluation"]["controllers"].values():
        each["score_interval"] = None
    made["learning"]["references_eur"] = {}
    page = check_page(comparison_page.page(read_study([comparison(tmp_path, "one", made)])))
    assert len(page.all("svg")) == 3


def test_pages_of_comparisons_are_made_without_jax(tmp_path: Path) -> None:
    folder = comparison(tmp_path, "one", entry())
    code = (
        "import sys; from pathlib import Path; from experiments import study_tables, study; "
        "from experiments.pages import comparison as page; read = study.read_study([Path(sys.argv[1])]); "
        "page.write(read, Path(sys.argv[1]) / 'page.html'); study_tables.table(read); print('jax' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_nothing_beats_what_is_on_the_front() -> None:
    points = [(1.0, 5.0), (0.0, 2.0), (2.0, 4.0), (0.0, 1.0), (3.0, 6.0), (1.0, 5.0)]
    assert charts.pareto_front(points) in ([1, 0, 4], [1, 5, 4])
