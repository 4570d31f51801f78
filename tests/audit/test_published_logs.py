"""The paper's claims beside the published logs; every figure here was derived apart from the code that is tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from abcgrpo.report.content.summary import summarize
from abcgrpo.report.reading.records import load
from audit import published_logs
from audit.published_logs import DERIVATIONS, published_claims
from tests.audit.published import PUBLISHED, log, needs_published_logs

ENTROPY = {("4B", "grpo"): 0.0360, ("4B", "abc-grpo"): 0.3925, ("1.7B", "grpo"): 0.0724, ("1.7B", "abc-grpo"): 0.3083}


PAIR = ("GRPO", "grpo"), ("ABC-GRPO", "abc-grpo")


@pytest.fixture(scope="module")
def records():
    """What is read of a pair, by size."""
    return {size: load([], [(arm, log(size, method)) for arm, method in PAIR]) for size in ("1.7B", "4B")}


@pytest.fixture(scope="module")
def summaries(records):
    """The summary of a pair, by size."""
    return {size: summarize(of_pair) for size, of_pair in records.items()}


@needs_published_logs
@pytest.mark.parametrize(
    ("size", "reward", "shares", "zero_variance"),
    [
        ("1.7B", (0.209, 0.216), (0.1775, 0.0788, 0.2264, 0.5173), (0.571, 0.568)),
        ("4B", (0.469, 0.422), (0.2636, 0.1299, 0.1928, 0.4137), (0.515, 0.498)),
    ],
)
def test_the_figures_of_the_published_logs(summaries, size, reward, shares, zero_variance):
    summary = summaries[size]
    grpo, abc = summary["arms"]["GRPO"], summary["arms"]["ABC-GRPO"]
    assert grpo["entropy"]["final"] == pytest.approx(ENTROPY[size, "grpo"], abs=5e-5)
    assert abc["entropy"]["final"] == pytest.approx(ENTROPY[size, "abc-grpo"], abs=5e-5)
    assert (grpo["reward"]["final"], abc["reward"]["final"]) == pytest.approx(reward, abs=6e-4)
    means = (grpo["zero_variance_fraction"]["mean"], abc["zero_variance_fraction"]["mean"])
    assert means == pytest.approx(zero_variance, abs=6e-4)
    assert [abc["clip_share"][q] for q in ("q1", "q2", "q3", "q4")] == pytest.approx(list(shares), abs=6e-5)
    assert [grpo["clip_share"][q] for q in ("q1", "q2", "q3", "q4")] == [None] * 4  # null, not 0
    ratio = ENTROPY[size, "abc-grpo"] / ENTROPY[size, "grpo"]
    assert summary["entropy_ratio"]["ABC-GRPO / GRPO"] == pytest.approx(ratio, rel=2e-3)
    assert summary["entropy_ratio"]["GRPO / ABC-GRPO"] == pytest.approx(1 / ratio, rel=2e-3)


@needs_published_logs
def test_where_claims_and_logs_agree(records):
    claims = {size: published_claims(of_pair.runs)["checkable"] for size, of_pair in records.items()}
    agree = {
        size: {each["claim"] for each in found if each["found"][f"Qwen3-{size}-Base"]["agrees"]}
        for size, found in claims.items()
    }
    everywhere = {
        "Each rollout is cut into 4 mini-batches",
        "Baseline and method share their settings",
    }
    assert agree["4B"] == everywhere | {
        "Entropy 10.9 × higher than GRPO",
        "Q4 is 41.4% of clip events",
        "Q4 is the single largest category",
    }
    assert agree["1.7B"] == everywhere
    # The shares are claimed of the larger model: of the other they are shown, and not compared.
    small = {each["claim"]: each["found"]["Qwen3-1.7B-Base"] for each in claims["1.7B"]}
    assert small["Q4 is 41.4% of clip events"]["agrees"] is None
    assert small["Q4 is 41.4% of clip events"]["value"] == pytest.approx(0.5173, abs=6e-5)


@needs_published_logs
def test_both_sizes_at_once():
    names = {f"{size} {method}": log(size, method) for size in ("1.7B", "4B") for method in ("grpo", "abc-grpo")}
    claims = published_claims(load([], list(names.items())).runs)
    assert claims is not None
    assert list(claims["models"]) == ["Qwen3-1.7B-Base", "Qwen3-4B-Base"]
    assert claims["models"]["Qwen3-4B-Base"] == {"GRPO": "4B grpo", "ABC-GRPO": "4B abc-grpo"}
    assert all(set(claim["found"]) == set(claims["models"]) for claim in claims["checkable"])
    assert len(claims["checkable"]) == len(DERIVATIONS)  # each claim has its own derivation, and none is idle


@needs_published_logs
def test_the_section_is_for_the_published_runs_alone(tmp_path):
    for method in ("grpo", "abc-grpo"):
        content = json.loads(log("4B", method).read_text())
        content["log_history"][-1]["train_runtime"] += 1.0  # another run of the same length
        (tmp_path / f"{method}.json").write_text(json.dumps(content))
    others = load([], [(method, tmp_path / f"{method}.json") for method in ("grpo", "abc-grpo")])
    assert published_claims(others.runs) is None
    half = load([], [("GRPO", log("4B", "grpo")), ("mine", tmp_path / "abc-grpo.json")])
    assert published_claims(half.runs) is None


@needs_published_logs
def test_the_command_prints_the_table_of_both_models():
    said = audit(PUBLISHED)
    assert said.returncode == 0, said.stderr
    (line,) = [line for line in said.stdout.splitlines() if line.startswith("| Entropy 10.9")]
    assert "4.26 × (0.3083 ÷ 0.0724): differs | 10.89 × (0.3925 ÷ 0.0360): agrees" in line


def test_the_command_on_logs_made_to_look_like_a_published_pair(tmp_path):
    """So that the audit is run where the authors' logs are not."""
    for method, runtime, last in (("grpo", 26863.5232, 0.05), ("abc-grpo", 41732.2353, 0.2)):
        entries = [{"step": step, "entropy": entropy_at(step, last), "learning_rate": 1e-6} for step in range(1, 661)]
        for entry in entries:
            if entry["step"] % 4 == 1:
                entry |= {"reward": 0.2, "completions/mean_length": 1000.0}
            elif method == "abc-grpo":
                entry |= {"clip_ratio/ppo_style": 0.004, "clip_ratio/overcorrection": 0.006}
                entry |= {f"clip_ratio/ppo_style_{sign}_adv_pct": 0.5 for sign in ("pos", "neg")}
                entry |= {
                    "clip_ratio/overcorrection_pos_adv_pct": 1 / 3,
                    "clip_ratio/overcorrection_neg_adv_pct": 2 / 3,
                }
        entries.append({"step": 660, "train_runtime": runtime})
        directory = tmp_path / f"Qwen3-1.7B-Base-{method}"
        directory.mkdir()
        (directory / "trainer_state.json").write_text(json.dumps({"log_history": entries}))
    said = audit(tmp_path)
    assert said.returncode == 0, said.stderr
    assert "4.00 × (0.2000 ÷ 0.0500): differs" in said.stdout  # 10.9 is claimed
    assert "yes (Q1 20.0%, Q2 20.0%, Q3 20.0%, Q4 40.0%): not claimed of it" in said.stdout
    assert "4 steps (165 rollouts each): agrees" in said.stdout


def entropy_at(step: int, last: float) -> float:
    """A straight line from 1 to `last`."""
    return 1 + (last - 1) * (step - 1) / 659


def test_other_logs_are_refused(tmp_path):
    said = audit(tmp_path)
    assert said.returncode == 2
    assert "holds none of the published logs" in said.stderr


def audit(logs):
    """What the documented command says."""
    script = Path(published_logs.__file__)
    return subprocess.run([sys.executable, script, logs], capture_output=True, text=True)
