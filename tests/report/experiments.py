"""Experiments written by hand: what runs leave, with figures that can be worked out."""

from abcgrpo.files import json_line, write_json

SHARES = [[None] * 4, [0.5, 0.0, 0.0, 0.5], [0.0, 0.0, 1.0, 0.0]]
RULES = {"GRPO": {"name": "grpo", "eps": 0.2}, "ABC-GRPO": {"name": "abc_grpo", "eps_pos_low": 0.2}}
ENVIRONMENT = {"python": "3.11.7", "packages": {"abcgrpo": "0.1.0"}, "git_commit": "abc", "cpu_count": 2}


def evaluation(directory, correct, samples=4, text="1+1=2"):
    """Samples of questions q0, q1, … with so many right answers each."""
    write_json(directory / "evaluation.json", {"questions": len(correct), "samples": samples})
    always = {"finish_reason": "stop", "tokens": 5, "answer": "1", "reason": "exact", "text": text}
    lines = [
        {"problem": f"q{q}", "sample": s, "correct": s < right} | always
        for q, right in enumerate(correct)
        for s in range(samples)
    ]
    (directory / "samples.jsonl").write_text("".join(map(json_line, lines)))


def run(directory, entropy, correct, arm="GRPO", seed=0, status="finished", benchmarks=("countdown",), text="1+1=2"):
    """A training run of three steps, evaluated after the third."""
    job = directory / "arms" / arm / f"seed-{seed}"
    recipe = {"seed": seed, "output_dir": str(job), "learning_rate": 1e-5, "rule": RULES.get(arm)}
    manifest = {
        "recipe": recipe,
        "rule": RULES.get(arm),
        "seeds": {"seed": seed, "data_seed": None},
        "status": status,
        "steps": 3,
        "seconds": 1.0,
        "tokens": 30,
        "environment": ENVIRONMENT,
    }
    write_json(job / "training" / "run.json", manifest)
    lines = []
    for step, shares in enumerate(SHARES, start=1):
        line = {"step": step, "entropy": entropy / step, "frac_reward_zero_std": 0.25 * step, "my/own": step}
        line |= {f"clip_share/q{q}": share for q, share in enumerate(shares, start=1) if share is not None}
        line |= {f"clip/q{q}": 0.01 * (share or 0.0) for q, share in enumerate(shares, start=1)}
        line |= {"reward": 0.1 * step, "completions/mean_length": 10.0 + step} if step < 3 else {}
        lines.append(json_line(line))
    (job / "training" / "metrics.jsonl").write_text("".join(lines))
    for benchmark in benchmarks if correct else ():
        evaluation(job / "evaluation" / "checkpoint-3" / benchmark, correct, text=text)


def specification(directory, arms=("GRPO", "ABC-GRPO"), seeds=(0,)):
    """`experiment.json`."""
    content = {"evaluation": {"pass_at_k": [2]}, "arms": {arm: {} for arm in arms}, "seeds": list(seeds)}
    write_json(directory / "experiment.json", content)


def comparison(arm, benchmark, metric, difference, verdict):
    """A comparison as `report.json` has it."""
    return {
        "benchmark": benchmark,
        "measured_on": benchmark,
        "condition": None,
        "arm": arm,
        "baseline": "GRPO",
        "metric": metric,
        "difference": difference,
        "low": difference - 0.02,
        "high": difference + 0.02,
        "p_value": 0.031,
        "p_value_holm": None,
        "probability_of_improvement": 0.8,
        "detectable_effect": 0.03,
        "seeds": 8,
        "covers": "seeds, questions and samples",
        "verdict": verdict,
        "sentence": f"{arm} is {verdict} in {metric}.",
        "in_family": True,
    }
