"""The paper's claims beside the published logs; every figure here was derived apart from the code that is tested."""

import json

import pytest

from abcgrpo.report.claims import DERIVATIONS, published_claims
from abcgrpo.report.records import load
from abcgrpo.report.summary import summarize
from tests.report.published import log, needs_published_logs

ENTROPY = {("4B", "grpo"): 0.0360, ("4B", "abc-grpo"): 0.3925, ("1.7B", "grpo"): 0.0724, ("1.7B", "abc-grpo"): 0.3083}


@pytest.fixture(scope="module")
def summaries():
    """The summary of a pair, by size."""
    return {
        size: summarize(load([], [("GRPO", log(size, "grpo")), ("ABC-GRPO", log(size, "abc-grpo"))]))
        for size in ("1.7B", "4B")
    }


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
def test_where_claims_and_logs_agree(summaries):
    agree = {
        size: {each["claim"] for each in claims["checkable"] if each["found"][f"Qwen3-{size}-Base"]["agrees"]}
        for size, summary in summaries.items()
        for claims in [summary["published_claims"]]
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
    small = {
        each["claim"]: each["found"]["Qwen3-1.7B-Base"] for each in summaries["1.7B"]["published_claims"]["checkable"]
    }
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
