"""Experiments written by hand: what runs leave, with figures that can be worked out."""

from itertools import combinations

from abcgrpo.files import json_line, read_json, write_json

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


LADDER = {"1 mini-batch": 0.0, "4 mini-batches": 0.004, "16 mini-batches": 0.06}
"""By condition, the mass that GRPO's bounds remove in the end."""
LADDER_ARMS = {"GRPO": "grpo", "open": "open", "ABC-GRPO": "abc_grpo"}
LADDER_SEEDS = range(10)


def ladder(directory, gains=(0, 0, 2), steps=48):
    """An experiment in which rules come apart with staleness: ABC-GRPO answers less of most questions, `open` more.

    Args:
        directory: where it is written.
        gains: by condition, how many more of sixteen samples `open` answers than GRPO, and ABC-GRPO less, in the mean.
        steps: logged by every run.
    """
    specification(directory, LADDER_ARMS, LADDER_SEEDS)
    content = read_json(directory / "experiment.json") | {"conditions": {name: {} for name in LADDER}}
    write_json(directory / "experiment.json", content)
    evaluation(directory / "base" / "evaluation" / "countdown-base" / "countdown", [3] * 12, samples=16)
    for (condition, mass), gain in zip(LADDER.items(), gains, strict=True):
        for seed in LADDER_SEEDS:
            for arm, side in zip(LADDER_ARMS, (0, 1, -1), strict=True):
                top = directory / "conditions" / condition
                run(top, 1.0, [0], arm=arm, seed=seed)
                job = top / "arms" / arm / f"seed-{seed}"
                manifest = read_json(job / "training" / "run.json")
                write_json(job / "training" / "run.json", manifest | {"rule": {"name": LADDER_ARMS[arm]}})
                lines = [shadow_line(step, LADDER_ARMS[arm], mass * step / steps) for step in range(1, steps + 1)]
                (job / "training" / "metrics.jsonl").write_text("".join(map(json_line, lines)))
                right = [5 + q % 3 + (seed + len(arm)) % 2 + side * gain * (q % 3) for q in range(12)]
                evaluation(job / "evaluation/checkpoint-3/countdown", [max(0, each) for each in right], samples=16)


def shadow_line(step, trained, mass):
    """What a step logs: GRPO removes `mass` in Q1 and Q3, ABC-GRPO half as much again in Q2 and Q4, `open` nothing."""
    removed = {"grpo": (mass / 2, 0.0, mass / 2, 0.0), "open": (0.0,) * 4}
    removed["abc_grpo"] = (mass / 2, mass / 10, mass / 2, 4 * mass / 10)
    named = {"trained": removed[trained]} | {rule: of for rule, of in removed.items() if rule != trained}
    line = {"step": step, "entropy": 1 - step / 100, "reward": 0.2 + step / 200}
    for rule, of in named.items():
        line[f"shadow/removed/{rule}"] = sum(of)
        line |= {f"shadow/removed/{rule}/q{at}": value for at, value in enumerate(of, start=1)}
    for one, other in combinations(named, 2):
        apart = sum(abs(mine - its) for mine, its in zip(named[one], named[other], strict=True))
        line[f"shadow/distance/{one}/{other}"] = apart
    return line


def response(step, prompt, advantage, events):
    """A line of `tokens.jsonl`: a response with one advantage, and a clip event or none (0) at each token."""
    ratios = [{0: 1.0, 1: 1.3, 2: 0.7, 3: 0.7, 4: 1.3}[event] for event in events]
    return {
        "step": step,
        "prompt": prompt,
        "reward": float(advantage > 0),
        "tokens": [f"t{at}" for at in range(len(events))],
        "own": [1] * len(events),
        "advantages": [advantage] * len(events),
        "ratios": ratios,
        "events": events,
        "clipped": [int(event in (1, 3)) for event in events],
        "prefix_gain": [0.25] * len(events),
    }
