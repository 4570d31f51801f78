"""verl's own trainer on a CPU: `python -m verl.trainer.main_ppo` on countdown with the shipped base and ABC-GRPO.

    python -m tests.verl.end_to_end --output runs/verl-end-to-end
    python -m tests.verl.end_to_end --output runs/verl-cispo --rule cispo --steps 3 --seeds 0    # another rule, briefly

Ray, rollout, reward, old log-probs, advantages, FSDP2 update, weight synchronisation, checkpoint and resume, for
several seeds. The first seed's run is killed (SIGKILL, every process of it) between two checkpoints and started again
by the same command. Asserted, or the exit code is not 0:

- the last epoch's mean reward is above the first epoch's, for every seed, by more than the 95% interval over problems;
- the killed run goes on at the step after its last checkpoint, with the problems that were next, and the optimizer has
  made four steps for each of the trainer's at the end;
- the rollout samples with the trainer's weights in every step: both give the sampled tokens the same probabilities.

With `--steps` a seed's run is that long and not killed: asserted are the optimizer's steps and the probabilities.

`end-to-end.md` in the output directory tells what was seen.
"""

import argparse
import datetime
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from abcgrpo.tasks.countdown import BASE_MODEL
from tests.verl.cpu import ENVIRONMENT, ROLLOUT

ROOT = Path(__file__).parents[2]
THROUGH = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""A chat template that adds nothing: the base reads the bare problem, and verl renders every prompt by a template."""

PROBLEMS, PER_STEP, ANSWERS, EPOCHS = 256, 32, 8, 6
STEPS_PER_EPOCH = PROBLEMS // PER_STEP
SAVE_EVERY, KILL_AFTER = 10, 25  # the checkpoint that is resumed from lies within an epoch
LARGEST_PROBABILITY_DIFFERENCE = 1e-3
SHOWN = {
    "critic/score/mean": "reward",
    "actor/entropy": "entropy",
    "actor/grad_norm": "gradient norm",
    "actor/clip_q1": "Q1",
    "actor/clip_q2": "Q2",
    "actor/clip_q3": "Q3",
    "actor/clip_q4": "Q4",
    "actor/pg_clipfrac": "clipped",
    "actor/mass/all": "gradient mass",
    "actor/mass/removed/trained": "removed mass",
    "timing_s/step": "seconds",
}
Steps = dict[int, dict[str, Any]]
"""Step → its metrics."""


PAPER = ("eps_pos_high=0.2", "eps_pos_low=0.2", "eps_neg_high=0.2", "eps_neg_low=0.2")
"""The rule that is trained unless another is named: options of verl's policy-loss configuration."""


class Variant(NamedTuple):
    """What is trained, and for how long."""

    rule: tuple[str, ...] = PAPER
    steps: int | None = None
    """Steps of the trainer; None: all epochs."""


def overrides(work: Path, seed: int, variant: Variant) -> list[str]:
    """The trainer's options: first what a run on GPUs would say too, then what a CPU asks for."""
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    loss = f"{actor}.policy_loss"
    return [
        # The objective: the rule, eq. 3's advantage, eq. 6's mean.
        f"{loss}._target_=abcgrpo.verl.ABCGRPOPolicyLossConfig",
        f"{loss}.loss_mode=abc_grpo",
        *(f"+{loss}.{option}" for option in variant.rule),
        f"{actor}.loss_agg_mode=seq-mean-token-mean",
        "algorithm.adv_estimator=grpo",
        "algorithm.norm_adv_by_std_in_grpo=false",
        # 32 problems × 8 answers in 4 mini-batches.
        f"data.train_files={work}/train.parquet",
        f"data.val_files={work}/test.parquet",
        f"data.train_batch_size={PER_STEP}",
        f"data.seed={seed}",
        "data.max_prompt_length=24",
        "data.max_response_length=48",
        f"{rollout}.n={ANSWERS}",
        f"{rollout}.seed={seed}",
        f"{actor}.ppo_mini_batch_size={PER_STEP // 4}",
        f"{actor}.ppo_micro_batch_size_per_gpu=64",
        f"{rollout}.log_prob_micro_batch_size_per_gpu=128",
        f"{actor}.optim.lr=5e-5",
        "reward.custom_reward_function.path=pkg://abcgrpo.verl.reward",
        f"actor_rollout_ref.model.path={work}/base",
        f"trainer.total_epochs={EPOCHS}",
        f"trainer.total_training_steps={variant.steps or 'null'}",
        f"trainer.save_freq={variant.steps or SAVE_EVERY}",
        "trainer.max_actor_ckpt_to_keep=2",
        f"trainer.default_local_dir={work}/seed-{seed}/checkpoints",
        "trainer.val_before_train=false",
        'trainer.logger=["console","file"]',
        # One process on a CPU: float32, no compilation, and the tests' rollout server.
        "trainer.device=cpu",
        "trainer.nnodes=1",
        "trainer.n_gpus_per_node=1",
        f"{actor}.strategy=fsdp2",
        f"{actor}.use_torch_compile=false",
        f"{actor}.fsdp_config.use_torch_compile=false",
        f"+{actor}.fsdp_config.mixed_precision.param_dtype=fp32",
        "actor_rollout_ref.model.use_remove_padding=false",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        "actor_rollout_ref.model.enable_gradient_checkpointing=false",
        f"{rollout}.name={ROLLOUT}",
        f"{rollout}.tensor_model_parallel_size=1",
        f"{rollout}.free_cache_engine=false",
        f"{rollout}.agent.num_workers=1",
        "reward.num_workers=1",
        "critic.enable=false",
        "data.dataloader_num_workers=0",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        # Ray counts processors and GPUs for its bookkeeping only.
        "ray_kwargs.ray_init.num_cpus=8",
        "+ray_kwargs.ray_init.num_gpus=1",
        "+ray_kwargs.ray_init.include_dashboard=false",
        "+ray_kwargs.ray_init.object_store_memory=200000000",
    ]


def prepare(work: Path) -> None:
    """The base with a chat template, and countdown's problems as Parquet."""
    shutil.copytree(BASE_MODEL, work / "base")
    (work / "base" / "chat_template.jinja").write_text(THROUGH)
    export = [sys.executable, "-m", "abcgrpo", "export"]
    train = [str(work / "train.parquet"), "--task", "countdown", "--problems", str(PROBLEMS)]
    test = [str(work / "test.parquet"), "--benchmark", "countdown", "--problems", "32"]
    for options in (train, test):
        subprocess.run([*export, *options], check=True)


def train(work: Path, seed: int, variant: Variant, attempt: int, kill_after: int | None = None) -> Steps:
    """Run the trainer, to its end or until it has logged step `kill_after` and is killed; what it logged of each step.

    The same command each time, but for the files that it logs to.
    """
    directory = work / f"seed-{seed}"
    directory.mkdir(exist_ok=True)
    logged, log = directory / f"metrics-{attempt}.jsonl", directory / f"log-{attempt}.txt"
    answers = directory / f"answers-{attempt}"
    ray_directory = tempfile.mkdtemp(prefix="ray-")  # in /tmp: the paths of its sockets have to be short
    command = [
        *(sys.executable, "-W", "ignore", "-m", "verl.trainer.main_ppo"),
        *overrides(work, seed, variant),
        f"trainer.rollout_data_dir={answers}",
        f"+ray_kwargs.ray_init._temp_dir={ray_directory}",
        f"hydra.run.dir={directory}/hydra",
    ]
    environment = os.environ | ENVIRONMENT | {
        "VERL_FILE_LOGGER_PATH": str(logged),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HYDRA_FULL_ERROR": "1",
        # On a busy machine Ray's processes may need more than the usual half minute to start.
            "RAY_raylet_start_wait_time_s": "600",
            "RAY_worker_register_timeout_seconds": "600",
    }  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, cwd=directory, stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if kill_after is not None and max(read(logged), default=0) >= kill_after:
                    break
        finally:
            kill_tree(process)
            shutil.rmtree(ray_directory, ignore_errors=True)
    killed = kill_after is not None and max(read(logged), default=0) >= kill_after
    if not killed and process.returncode != 0:
        raise SystemExit(f"the trainer ended with {process.returncode}; the end of {log}:\n{log.read_text()[-6000:]}")
    return read(logged)


def kill_tree(process: subprocess.Popen) -> None:
    """SIGKILL to the trainer and all that it started, Ray's processes included."""
    try:
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        tree = []
    for member in tree:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(tree, timeout=60)


def read(logged: Path) -> Steps:
    """Step → its metrics, from a file of verl's file logger; a line that is still being written is left out."""
    text = logged.read_text() if logged.exists() else ""
    rows = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return {row["step"]: row["data"] for row in rows}


def rewards(directory: Path, step: int) -> dict[str, list[float]]:
    """Problem → the rewards of its answers in a step, from the last attempt that made the step."""
    path = max(directory.glob(f"answers-*/{step}.jsonl"))
    found: dict[str, list[float]] = {}
    for line in path.read_text().splitlines():
        answer = json.loads(line)
        found.setdefault(answer["input"], []).append(answer["score"])
    return found


def rise(directory: Path) -> tuple[float, float, float, float]:
    """Mean reward in the first epoch, in the last, and the 95% interval of their difference.

    Both epochs have the same problems, so the difference is taken problem by problem: its interval is over problems.
    """
    epochs = []
    for epoch in (1, EPOCHS):
        steps = range((epoch - 1) * STEPS_PER_EPOCH + 1, epoch * STEPS_PER_EPOCH + 1)
        epochs.append(
            {problem: statistics.mean(scores) for step in steps for problem, scores in rewards(directory, step).items()}
        )
    first, last = epochs
    assert len(first) == PROBLEMS, len(first)
    assert first.keys() == last.keys()
    differences = [last[problem] - first[problem] for problem in first]
    half = 1.96 * statistics.stdev(differences) / math.sqrt(PROBLEMS)
    mean = statistics.mean(differences)
    return statistics.mean(first.values()), statistics.mean(last.values()), mean - half, mean + half


def optimizer_steps(checkpoint: Path) -> int:
    """How many steps AdamW has made, by its own count."""
    state = torch.load(checkpoint / "actor" / "optim_world_size_1_rank_0.pt", weights_only=False)["state"]
    (count,) = {int(parameter["step"]) for parameter in state.values()}
    return count


def killed_and_resumed(work: Path, seed: int, variant: Variant) -> tuple[Steps, list[str]]:
    """Train until KILL_AFTER, kill, run the same command again; all steps, and what was seen of the seam."""
    directory = work / f"seed-{seed}"
    before = train(work, seed, variant, attempt=1, kill_after=KILL_AFTER)
    saved = int((directory / "checkpoints" / "latest_checkpointed_iteration.txt").read_text())
    after = train(work, seed, variant, attempt=2)
    assert saved % STEPS_PER_EPOCH, "the checkpoint should lie within an epoch"
    assert max(before) > saved
    assert min(after) == saved + 1, f"resumed at step {min(after)} from the checkpoint of step {saved}"
    again = range(saved + 1, max(before))  # of the last step before the kill the answers may not have been written
    for step in again:
        assert problems_of(directory, 1, step) == problems_of(directory, 2, step), f"step {step} has other problems"
    return before | after, [
        f"seed {seed}: killed (SIGKILL) after step {max(before)} was logged; last checkpoint: step {saved}",
        f"seed {seed}: the same command resumed at step {min(after)}; steps {again[0]} to {again[-1]} were repeated, "
        "each with the same problems as before the kill",
    ]


def problems_of(directory: Path, attempt: int, step: int) -> list[str]:
    """The problems of a step, sorted."""
    lines = (directory / f"answers-{attempt}" / f"{step}.jsonl").read_text().splitlines()
    return sorted(json.loads(line)["input"] for line in lines)


def check(work: Path, seed: int, variant: Variant, steps: Steps) -> list[str]:
    """Assert what must hold of a whole run; lines that tell what was seen."""
    assert sorted(steps) == list(range(1, (variant.steps or EPOCHS * STEPS_PER_EPOCH) + 1)), sorted(steps)
    difference = max(metrics["training/rollout_probs_diff_max"] for metrics in steps.values())
    assert difference < LARGEST_PROBABILITY_DIFFERENCE, difference
    directory = work / f"seed-{seed}"
    made = optimizer_steps(directory / "checkpoints" / f"global_step_{max(steps)}")
    assert made == 4 * len(steps), made
    seen = [
        f"seed {seed}: {len(steps)} steps of the trainer, {made} of AdamW; the probabilities of sampled tokens "
        f"differ by at most {difference:.1e} between rollout and trainer",
    ]
    if variant.steps:
        return seen
    first, last, low, high = rise(directory)
    assert low > 0, f"seed {seed}: reward {first:.3f} → {last:.3f}, difference [{low:+.3f}, {high:+.3f}]"
    return [
        f"seed {seed}: mean reward {first:.3f} in the first epoch, {last:.3f} in the last: {last - first:+.3f} "
        f"[{low:+.3f}, {high:+.3f}]",
        *seen,
    ]


def report(variant: Variant, seen: list[str], runs: dict[int, Steps], seconds: float) -> str:
    """What was seen, as Markdown."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("verl", "torch", "transformers", "ray", "tensordict"))
    lines = [
        "# verl end to end on a CPU: what was seen",
        "",
        f"`python -m tests.verl.end_to_end`, {datetime.date.today()}, {versions}; {seconds / 60:.0f} minutes.",
        f"{PROBLEMS} problems, {PER_STEP} × {ANSWERS} answers per step, 4 optimizer steps in each, "
        f"{f'{variant.steps} steps' if variant.steps else f'{EPOCHS} epochs'}; {', '.join(variant.rule)}.",
        "",
        *(f"- {line}" for line in seen),
    ]
    averaged = 1 if variant.steps else STEPS_PER_EPOCH
    for seed, steps in runs.items():
        lines += [
            "",
            f"## Seed {seed}" + ("" if variant.steps else ", means of each epoch"),
            "",
            f"| {'step' if variant.steps else 'epoch'} | " + " | ".join(SHOWN.values()) + " |",
            "|---" * (len(SHOWN) + 1) + "|",
        ]
        ordered = [steps[step] for step in sorted(steps)]
        for number, first in enumerate(range(0, len(ordered), averaged), start=1):
            part = ordered[first : first + averaged]
            means = (statistics.mean(metrics[name] for metrics in part) for name in SHOWN)
            lines.append(f"| {number} | " + " | ".join(f"{mean:.3g}" for mean in means) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="a directory that does not exist yet")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="the first is killed and resumed")
    parser.add_argument("--rule", help="a clipping rule by name, in the place of the paper's")
    parser.add_argument("--steps", type=int, help="so many steps of each seed, without kill and resume")
    arguments = parser.parse_args()
    variant = Variant((f"rule={arguments.rule}",) if arguments.rule else PAPER, arguments.steps)
    work = arguments.output.resolve()
    work.mkdir(parents=True)
    started = time.monotonic()
    prepare(work)
    seen: list[str] = []
    runs: dict[int, Steps] = {}
    for seed in arguments.seeds:
        if seed == arguments.seeds[0] and not variant.steps:
            runs[seed], lines = killed_and_resumed(work, seed, variant)
        else:
            runs[seed], lines = train(work, seed, variant, attempt=1), []
        seen += [*lines, *check(work, seed, variant, runs[seed])]
        (work / "end-to-end.md").write_text(report(variant, seen, runs, time.monotonic() - started))
        print("\n".join(seen), flush=True)


if __name__ == "__main__":
    main()
