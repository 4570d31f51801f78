"""An experiment on Ray: a machine is lost in the middle, and everything ends as on one machine."""

import threading
import time

import pytest

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from abcgrpo.cli.run import ray_address  # noqa: E402
from abcgrpo.errors import UserError  # noqa: E402
from abcgrpo.experiments.jobs import on_ray  # noqa: E402
from abcgrpo.experiments.jobs.command import launch_command  # noqa: E402
from abcgrpo.experiments.jobs.job import Job  # noqa: E402
from abcgrpo.experiments.jobs.runner import ExperimentRunner  # noqa: E402
from abcgrpo.experiments.specification import Experiment, Resources  # noqa: E402
from abcgrpo.files import read_json, read_json_lines  # noqa: E402
from abcgrpo.report.content.summary import summarize  # noqa: E402
from abcgrpo.report.reading.records import load  # noqa: E402

TRAINING = {
    "per_device_train_batch_size": 16,
    "steps_per_generation": 2,
    "num_generations": 8,
    "max_completion_length": 24,
    "max_steps": 16,
    "learning_rate": 1e-4,
    "loss_type": "grpo",
    "bf16": False,
    "gradient_checkpointing": False,
    "dataloader_pin_memory": False,
    "logging_steps": 1,
    "save_steps": 16,
    "save_only_model": True,
    "resume_minutes": 0,
}
CONTENT = {
    "model_name_or_path": "countdown-base",
    "num_problems": 32,
    "seeds": [0],
    "arms": {"GRPO": {"rule": "grpo"}, "ABC-GRPO": {"rule": "abc_grpo"}, "open": {"rule": "open"}},
    "training": TRAINING,
    "evaluation": {"questions": 4, "samples": 4, "pass_at_k": [2], "max_new_tokens": 24},
    "resources": {"cpus": 1},
}


@pytest.fixture(scope="module")
def cluster():
    """Two machines of one core each, the second of which a test may lose."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    on_ray.connect(cluster.address)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def weights(output) -> dict[str, bytes]:
    found = output.glob("arms/*/seed-*/training/checkpoint-16/model.safetensors")
    return {path.parts[-5]: path.read_bytes() for path in found}


@pytest.mark.slow
def test_a_machine_is_lost_and_nothing_is_other_than_on_one(tmp_path, cluster, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    experiment = Experiment.model_validate(CONTENT)
    lost, output = [], tmp_path / "ray"

    def lose_a_machine() -> None:
        while not any(path.stat().st_size for path in output.glob("arms/*/seed-0/training/metrics.jsonl")):
            time.sleep(0.1)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        lost.append(sorted(path.parts[-4] for path in output.glob("arms/*/seed-0/evaluated.json")))

    killer = threading.Thread(target=lose_a_machine, daemon=True)
    killer.start()
    assert ExperimentRunner(experiment, output).run(cluster.address) == {}
    killer.join(timeout=600)
    assert lost == [[]], "the machine was lost too late"

    here = tmp_path / "here"
    assert ExperimentRunner(experiment, here).run() == {}
    assert weights(output) == weights(here)
    assert set(weights(here)) == {"GRPO", "ABC-GRPO", "open"}
    reports = [summarize(load([each])) for each in (output, here)]
    for name in ("arms", "comparisons", "base", "missing"):
        for report in reports:
            for arm in report["arms"].values():
                arm["metrics"] = {k: v for k, v in arm["metrics"].items() if "time" not in k and "second" not in k}
        assert reports[0][name] == reports[1][name], name
    for path in output.glob("arms/*/seed-0/training"):
        assert read_json(path / "run.json")["status"] == "finished"
        steps = [line["step"] for line in read_json_lines(path / "metrics.jsonl") if "loss" in line]
        assert steps == list(range(1, 17))


def test_a_job_that_no_machine_can_hold_is_refused(tmp_path, cluster):
    asked = {
        "64 CPUs": {"cpus": 64},
        "1 GPUs": {"gpus": 1},
        "9999 GiB of memory": {"memory": 9999},
        "2 CPUs": {"processes": 2},  # of one machine: the two have one each
    }
    for message, resources in asked.items():
        experiment = Experiment.model_validate(CONTENT | {"resources": resources})
        with pytest.raises(UserError, match=message):
            ExperimentRunner(experiment, tmp_path / "out").run(cluster.address)
    assert not (tmp_path / "out" / "experiment.json").exists()


def test_storage_that_is_not_shared_is_refused_by_the_machine_s_name(tmp_path, cluster, monkeypatch):
    on_ray.require_shared(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(on_ray, "_reaches", lambda probe, mark, directory: "no such directory")
    with pytest.raises(UserError, match=r"does not share .* \(no such directory\)"):
        on_ray.require_shared(tmp_path)


def test_no_cluster_is_said(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def init(**_):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(UserError, match="Start one with `ray start --head`"):
        on_ray.connect("auto")


def test_where_a_cluster_is():
    assert ray_address(None) is None
    assert ray_address("ray") == "auto"
    assert ray_address("ray:10.0.0.1:6379") == "10.0.0.1:6379"
    with pytest.raises(UserError, match="--on 'slurm' is not understood"):
        ray_address("slurm")


def test_what_a_job_asks_of_ray():
    assert on_ray.options(Resources(processes=8, gpus=8, memory=2.0)) == {
        "num_cpus": 8,
        "num_gpus": 8,
        "memory": 2 * 2**30,
    }
    assert Job("a", None).resources == Resources()


def test_how_processes_are_started():
    assert launch_command(Resources()) == []
    assert launch_command(Resources(processes=2))[1:] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "abcgrpo",
    ]  # fmt: skip
    sharded = launch_command(Resources(processes=8, launch="zero3"))
    assert sharded[1:3] == ["-m", "accelerate.commands.launch"]
    assert sharded[4].endswith("launch/zero3.yaml")
