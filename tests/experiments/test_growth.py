"""A study that grows: what may be added, what is refused, and that it ends as the larger study would have."""

import json
import shutil
from pathlib import Path

import pytest

from abcgrpo.errors import UserError
from abcgrpo.experiments.growth import changes
from abcgrpo.experiments.jobs.job import Worker
from abcgrpo.experiments.jobs.runner import ExperimentRunner
from abcgrpo.experiments.specification import Experiment
from abcgrpo.experiments.status import status, summary, terminal
from abcgrpo.files import json_line, plain, read_json, write_json
from abcgrpo.report.reading.records import load
from abcgrpo.report.write import write
from abcgrpo.tasks.countdown import BASE_MODEL
from tests.experiments.in_process import command

SMALL = {
    "model_name_or_path": "countdown-base",
    "num_problems": 32,
    "seeds": [1, 2],
    "arms": {"GRPO": {"rule": "grpo"}, "ABC-GRPO": {}},
    "training": {"max_steps": 2},
    "evaluation": {"questions": 4, "samples": 16, "pass_at_k": [2], "max_new_tokens": 8},
}
LARGE = SMALL | {
    "seeds": [1, 2, 3],
    "arms": SMALL["arms"] | {"dual-clip": {"rule": {"name": "dual_clip", "c": 3.0}}},
    "evaluation": SMALL["evaluation"] | {"samples": 32, "pass_at_k": [2, 16]},
}


class Here(Worker):
    """Jobs in this process: training leaves the base as its model, evaluation is real."""

    def command(self, job, place, *arguments):
        if arguments[0] == "train":
            checkpoint = job.training / "checkpoint-2"
            shutil.copytree(BASE_MODEL, checkpoint)
            (checkpoint / "notes.json").write_text(json.dumps([job.name]))  # a model of its own
            (job.training / "metrics.jsonl").write_text(json_line({"step": 2, "entropy": 0.5, "reward": 0.25}))
            manifest = {"recipe": job.recipe, "status": "finished", "steps": 2, "seconds": 1.0, "tokens": 1}
            write_json(job.training / "run.json", manifest)
        else:
            result = command(*arguments)
            if result.exception is not None:
                raise result.exception


@pytest.fixture(scope="module", autouse=True)
def one_at_a_time():
    """Threads of one process cannot load models side by side."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("abcgrpo.experiments.jobs.runner.device_places", lambda jobs: [{}])
        yield


def opened(content: dict, output: Path, worker: type[Worker] = Here) -> ExperimentRunner:
    runner = ExperimentRunner(Experiment.model_validate(content), output)
    runner.worker = worker(runner.experiment)
    return runner


def run(content: dict, output: Path) -> ExperimentRunner:
    runner = opened(content, output)
    assert runner.run() == {}
    return runner


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A small study that became the large one, and what it held before."""
    output = tmp_path_factory.mktemp("study") / "study"
    run(SMALL, output)
    before = files(output)
    run(LARGE, output)
    return output, before


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    output = tmp_path_factory.mktemp("at_once") / "study"
    run(LARGE, output)
    return output


def test_nothing_that_was_there_is_lost(grown):
    output, before = grown
    after = files(output)
    assert before.keys() <= after.keys()
    for name, content in before.items():
        if "/training/" in name:
            assert after[name] == content, name
        if name.endswith("samples.jsonl"):
            assert after[name].startswith(content), name
            assert len(after[name].splitlines()) == 2 * len(content.splitlines())


def test_the_report_is_that_of_the_large_study(grown, at_once, tmp_path):
    reports = [write(load([output]), tmp_path / str(number)) for number, output in enumerate((grown[0], at_once))]
    for name in ("comparisons", "benchmarks", "base", "missing", "entropy_ratio"):
        assert reports[0][name] == reports[1][name], name
    for arm, content in reports[1]["arms"].items():
        assert reports[0]["arms"][arm]["evaluation"] == content["evaluation"]
    assert reports[0]["verdict"][:-1] == reports[1]["verdict"]
    said = reports[0]["verdict"][-1]
    assert said.startswith("Not fixed beforehand: on 20")
    changed = "added seed 3; added arm dual-clip; samples: 32 instead of 16; k was 2, is 2, 16."
    assert said.endswith(f"with 4 runs finished, {changed}")


def test_the_same_again_is_no_change(grown):
    runner = opened(LARGE, grown[0])
    assert runner.changes == []
    assert len(read_json(grown[0] / "experiment.json")["history"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [1]}, "seeds 2, 3 left out"),
        ({"arms": SMALL["arms"]}, "arm dual-clip is left out"),
        ({"arms": {"ABC-GRPO": {}, **LARGE["arms"]}}, "compared with, was GRPO, is ABC-GRPO"),
        ({"arms": LARGE["arms"] | {"ABC-GRPO": {"boundaries": {"eps_pos_low": 0.3}}}}, "arm ABC-GRPO has changed"),
        ({"training": {"max_steps": 3}}, "training was {'max_steps': 2}, is {'max_steps': 3}"),
        ({"num_problems": 64}, "num_problems was 32, is 64"),
        ({"conditions": {"fresh": {"steps_per_generation": 1}}}, "the existing runs have none"),
        ({"evaluation": LARGE["evaluation"] | {"samples": 16}}, "samples was 32, is 16"),
        ({"evaluation": LARGE["evaluation"] | {"seed": 1}}, "evaluation: seed was 0, is 1"),
    ],
)
def test_what_would_mix_settings_or_leave_runs_out_is_refused(grown, change, message):
    with pytest.raises(UserError) as refused:
        opened(LARGE | change, grown[0])
    assert message in str(refused.value)
    assert "another --output" in str(refused.value)


def test_conditions_may_be_added_to_conditions():
    known = SMALL | {"conditions": {"fresh": {"steps_per_generation": 1}}}
    wanted = known | {"conditions": known["conditions"] | {"stale": {"steps_per_generation": 16}}}
    before = plain(Experiment.model_validate(known).model_dump(mode="json"))
    assert changes(before, Experiment.model_validate(wanted), "out") == ["added condition stale"]


def test_without_results_everything_may_change(tmp_path):
    write_json(tmp_path / "experiment.json", SMALL)
    assert opened(SMALL | {"num_problems": 7}, tmp_path).changes == []


def test_status_of_a_finished_study(grown):
    found = status(grown[0])
    assert not found["running"]
    assert {job["state"] for job in found["jobs"]} == {"done"}
    assert len(found["jobs"]) == 10
    assert summary(found) == "10 jobs: 10 done (no process works on it now)"
    assert found["curves"]["GRPO"]["entropy"][-1] == 0.5


def test_status_while_it_runs_and_after_a_failure(tmp_path):
    """Asked by another process at each step: a job under way, one that failed, others that wait."""
    seen = []

    class Failing(Here):
        def command(self, job, place, *arguments):
            write_json(job.progress_file, {"name": "training", "done": 3, "total": 12, "note": "reward 0.10"})
            seen.append((job.name, status(tmp_path / "out")))
            if job.name == "GRPO, seed 1":
                job.error_file.write_text("The reward failed.\nTwice.")
                raise RuntimeError
            job.progress_file.unlink()
            super().command(job, place, *arguments)

    runner = opened(SMALL | {"seeds": [1]}, tmp_path / "out", Failing)
    assert list(runner.run()) == ["GRPO, seed 1"]
    name, found = seen[0]
    assert found["running"]
    states = {job["name"]: job["state"] for job in found["jobs"]}
    assert states[name] == "running"
    progress = next(job["progress"] for job in found["jobs"] if job["name"] == name)
    assert (progress["done"], progress["total"]) == (3, 12)
    after = status(tmp_path / "out")
    failed = {job["name"]: job["error"] for job in after["jobs"] if job["state"] == "failed"}
    assert failed == {"GRPO, seed 1": "The reward failed.\nTwice."}
    assert "FAILED GRPO, seed 1: The reward failed.\nTwice." in terminal(after)
    assert load([tmp_path / "out"]).missing == ["GRPO, seed 1: not trained yet."]


def test_status_of_what_is_no_experiment(tmp_path):
    with pytest.raises(UserError, match="holds no experiment"):
        status(tmp_path)
