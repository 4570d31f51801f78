from pathlib import Path

import pytest

from abcgrpo.experiments.jobs.job import Job, device_places
from abcgrpo.experiments.jobs.runner import ExperimentRunner
from abcgrpo.experiments.plan import cannot_conclude, plan
from abcgrpo.experiments.specification import Experiment, Resources, read_experiment
from abcgrpo.files import write_json


def experiment(seeds: int, arms: int = 2) -> Experiment:
    study = read_experiment("countdown-study")
    chosen = dict(list(study.arms.items())[:arms])
    return study.model_copy(update={"seeds": list(range(seeds)), "arms": chosen})


def text(chosen: Experiment, output: Path) -> str:
    return "\n".join(plan(ExperimentRunner(chosen, output)))


def test_five_seeds_cannot_conclude(tmp_path):
    said = text(experiment(5), tmp_path / "out")
    assert "Smallest possible p-value: 0.0625, 0.125 after Holm" in said
    assert "CANNOT CONCLUDE" in said
    assert "another verdict needs 7 seeds" in said
    assert "Detectable" not in said
    assert not (tmp_path / "out").exists()


def test_the_study_can(tmp_path):
    said = text(read_experiment("countdown-study"), tmp_path)
    assert "32 runs of 240 optimizer steps" in said
    assert "family of 6 comparisons" in said
    assert "0.00781, 0.0469 after Holm" in said
    assert "CANNOT" not in said
    assert "2.0 standard deviations" in said
    assert "Time: not known" in said


def test_one_seed_and_one_arm():
    assert "evaluation noise only" in str(cannot_conclude(experiment(1)))
    assert "nothing to compare" in str(cannot_conclude(experiment(8, arms=1)))
    assert cannot_conclude(experiment(8, arms=4)) is None


def test_time_by_finished_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("abcgrpo.experiments.plan.device_places", lambda jobs: [{}, {}])
    for seed, seconds in ((0, 100.0), (1, 140.0)):
        job = tmp_path / "arms" / "GRPO" / f"seed-{seed}"
        write_json(job / "training" / "run.json", {"status": "finished", "seconds": seconds})
        write_json(job / "evaluated.json", {"models": [], "seconds": 60.0})
    # Two runs took 180 s each; 14 are left, two at a time.
    assert "Time: about 21 min for the 14 of 16 runs that are left" in text(experiment(8), tmp_path)


def jobs(count: int, **resources) -> list[Job]:
    return [Job(f"job {number}", Path("out"), {}, Resources(**resources)) for number in range(count)]


def test_a_job_for_each_core_and_a_core_for_each_job(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device_places(jobs(9)) == [{"OMP_NUM_THREADS": "1"}] * 4
    assert device_places(jobs(2)) == [{"OMP_NUM_THREADS": "2"}] * 2


@pytest.mark.parametrize(("visible", "names"), [(None, ["0", "1", "2"]), ("4,7", ["4", "7"])])
def test_a_job_for_each_gpu(monkeypatch, visible, names):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_places(jobs(9)) == [{"CUDA_VISIBLE_DEVICES": name} for name in names]


def test_the_family_covers_all_conditions(tmp_path):
    conditions = {"fresh": {"steps_per_generation": 1}, "stale": {"steps_per_generation": 16, "max_steps": 960}}
    chosen = experiment(8, arms=3).model_copy(update={"conditions": conditions})
    said = text(chosen, tmp_path)
    assert "48 runs" in said
    assert "Condition stale: steps_per_generation 16, max_steps 960." in said
    assert "within each condition" in said
    assert "family of 8 comparisons" in said
    assert "CANNOT CONCLUDE" in said  # 8 seeds: 2/256 × 8 > 5%
