"""The report from files written by hand, with every figure worked out."""

import json

import pytest

from abcgrpo.errors import UserError
from abcgrpo.files import json_line, write_json
from abcgrpo.report import load, write

SHARES = [[None] * 4, [0.5, 0.0, 0.0, 0.5], [0.0, 0.0, 1.0, 0.0]]


def evaluation(directory, correct, samples=4):
    """Samples of questions q0, q1, … with so many right answers each."""
    write_json(directory / "evaluation.json", {"questions": len(correct), "samples": samples})
    always = {"finish_reason": "stop", "tokens": 5, "answer": "1", "reason": "exact"}
    lines = [
        {"problem": f"q{q}", "sample": s, "correct": s < right} | always
        for q, right in enumerate(correct)
        for s in range(samples)
    ]
    (directory / "samples.jsonl").write_text("".join(map(json_line, lines)))


def run(directory, entropy, correct, arm="GRPO", seed=0, status="finished"):
    """A training run of three steps, evaluated after the third."""
    job = directory / "arms" / arm / f"seed-{seed}"
    manifest = {"recipe": {"seed": seed, "eps_neg_high": "inf"}, "status": status, "steps": 3, "seconds": 1.0}
    write_json(job / "training" / "run.json", manifest)
    lines = []
    for step, shares in enumerate(SHARES, start=1):
        line = {"step": step, "entropy": entropy / step, "frac_reward_zero_std": 0.25 * step}
        line |= {f"clip_share/q{q}": share for q, share in enumerate(shares, start=1) if share is not None}
        line |= {"reward": 0.1 * step} if step < 3 else {}
        lines.append(json_line(line))
    (job / "training" / "metrics.jsonl").write_text("".join(lines))
    if correct:
        evaluation(job / "evaluation" / "checkpoint-3" / "countdown", correct)


@pytest.fixture
def experiment(tmp_path):
    directory = tmp_path / "<b>study"
    write_json(
        directory / "experiment.json",
        {"evaluation": {"pass_at_k": [2]}, "arms": {"GRPO": {}, "ABC-GRPO": {}}, "seeds": [0]},
    )
    evaluation(directory / "base" / "evaluation" / "model" / "countdown", [0, 1, 2])
    run(directory, entropy=3.0, correct=[1, 2, 3])
    run(directory, entropy=6.0, correct=[2, 2, 4], arm="ABC-GRPO")
    return directory


def test_every_figure_of_the_summary(experiment, tmp_path):
    report = write(load([experiment]), tmp_path / "out")
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    grpo = report["arms"]["GRPO"]
    assert grpo["entropy"]["final"] == pytest.approx(1.0)
    assert grpo["reward"]["final"] == pytest.approx(0.2)  # logged at some steps only
    assert grpo["zero_variance_fraction"]["mean"] == pytest.approx(0.5)
    assert grpo["clip_share"] == pytest.approx({"q1": 0.25, "q2": 0.0, "q3": 0.5, "q4": 0.25})
    assert grpo["evaluation"]["avg@2"]["value"] == pytest.approx(0.5)
    # Pass@2 of 1, 2 and 3 right of 4 is 1 − C(3,2)/6, 1 − C(2,2)/6, 1.
    assert grpo["evaluation"]["pass@2"]["value"] == pytest.approx((0.5 + 5 / 6 + 1) / 3)
    assert report["entropy_ratio"] == {"ABC-GRPO / GRPO": pytest.approx(2.0)}
    against = {(d["arm"], d["minus"]): d["avg@2"]["value"] for d in report["differences"]}
    assert against == pytest.approx({("GRPO", "base"): 0.25, ("ABC-GRPO", "base"): 5 / 12, ("ABC-GRPO", "GRPO"): 1 / 6})
    assert any("One training seed" in note for note in report["notes"])


def test_all_files_are_there_and_nothing_of_a_run_is_markup(experiment, tmp_path):
    out = tmp_path / "out"
    write(load([experiment]), out)
    names = {"avg_at_k", "pass_at_k_large", "entropy", "reward", "clip_events"}
    for name in names:
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (out / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    page = (out / "report.html").read_text()
    assert "<b>study" not in page
    assert "&lt;b&gt;study" in page
    assert 'src="http' not in page
    assert "ABC-GRPO − GRPO" in (out / "report.md").read_text()


def test_seeds_are_averaged(experiment, tmp_path):
    write_json(
        experiment / "experiment.json",
        {"evaluation": {"pass_at_k": [2]}, "arms": {"GRPO": {}}, "seeds": [0, 1, 2]},
    )
    run(experiment, entropy=6.0, correct=[3, 2, 1], seed=1)
    report = write(load([experiment]), tmp_path / "out")
    assert report["arms"]["GRPO"]["seeds"] == [0, 1]
    assert report["arms"]["GRPO"]["entropy"]["final"] == pytest.approx(1.5)
    assert report["arms"]["GRPO"]["evaluation"]["avg@2"]["value"] == 0.5
    assert report["missing"] == ["GRPO, seed 2: not trained yet."]


def test_what_is_missing_is_said_and_the_rest_is_shown(experiment, tmp_path):
    job = experiment / "arms" / "GRPO" / "seed-0"
    (job / "evaluation" / "checkpoint-3" / "countdown" / "samples.jsonl").write_text("")
    run(experiment, entropy=6.0, correct=None, arm="ABC-GRPO", status="running")
    report = write(load([experiment]), tmp_path / "out")
    assert report["arms"]["GRPO"]["evaluation"] is None
    assert "ABC-GRPO" not in report["arms"]
    assert any("0 of 12 samples" in line for line in report["missing"])
    assert any("ABC-GRPO, seed 0: running" in line for line in report["missing"])


def test_a_single_run_has_a_report_too(experiment, tmp_path):
    report = write(load([experiment / "arms" / "GRPO" / "seed-0" / "training"]), tmp_path / "out")
    assert report["base"] is None
    assert report["arms"]["training"]["entropy"]["final"] == pytest.approx(1.0)


def test_a_directory_without_a_run(tmp_path):
    with pytest.raises(UserError, match="no experiment and no run"):
        load([tmp_path])
    write_json(tmp_path / "experiment.json", {"evaluation": {"pass_at_k": [2]}, "arms": {"GRPO": {}}, "seeds": [0]})
    with pytest.raises(UserError, match="no finished run"):
        load([tmp_path])
