"""Adapters that are read only, against their engines' contracts, with tensors: by hand, and against one another.

These engines are not on the package index. What of them an adapter imports is a stand-in here, written from their
documentation.
"""

import math
import sys
from dataclasses import dataclass
from enum import Enum
from types import ModuleType, SimpleNamespace

import pytest
import torch

from abcgrpo import Boundaries, policy_loss
from abcgrpo.engines import nemo_rl, prime_rl, slime
from abcgrpo.engines.settings import is_linear, read_rule, require_version
from abcgrpo.errors import UserError
from abcgrpo.rules import AdaptiveRule, Rule

LENGTHS = [3, 1, 5, 2]
LONGEST, WORDS = max(LENGTHS), 7
RULES = {
    "paper": Boundaries(0.2, 0.3, 0.1, 0.25),
    "GRPO": Boundaries.grpo(0.2),
    "dual-clip": Boundaries.dual_clip(0.2, 1.5),
}
LossType = Enum("LossType", ["TOKEN_LEVEL", "SEQUENCE_LEVEL"])


@dataclass
class LossOutputs:
    loss: torch.Tensor
    metrics: dict[str, torch.Tensor]


@dataclass
class LossInputs:
    trainer_logprobs: torch.Tensor
    inference_logprobs: torch.Tensor
    advantages: torch.Tensor
    loss_mask: torch.Tensor
    loss_weights: torch.Tensor | None = None


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    """The two modules that adapters import when they are called."""
    for name, contents in {
        "prime_rl.trainer.rl.loss": {"LossOutputs": LossOutputs},
        "slime.backends.megatron_utils.loss": {"get_log_probs_and_entropy": response_log_probs},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(contents)
        parents = name.split(".")
        for depth in range(1, len(parents)):
            monkeypatch.setitem(sys.modules, ".".join(parents[:depth]), ModuleType(parents[depth - 1]))
        monkeypatch.setitem(sys.modules, name, module)


def response_log_probs(logits, *, args, unconcat_tokens, total_lengths, response_lengths):
    """slime's contract: sequences side by side in (1, ΣS, V); log-probs of each response's tokens."""
    found, start = [], 0
    for tokens, total, response in zip(unconcat_tokens, total_lengths, response_lengths, strict=True):
        rows = logits[0, start + total - response - 1 : start + total - 1].log_softmax(-1)
        found.append(rows.gather(-1, tokens[total - response :, None])[:, 0])
        start += total
    return None, {"log_probs": found}


@dataclass
class Batch:
    """Four responses of one batch, their tokens at the left of (B, T), NaN where there is none."""

    logits: torch.Tensor
    tokens: list[torch.Tensor]
    old: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor

    def logprobs(self) -> torch.Tensor:
        found = response_log_probs(
            self.logits,
            args=None,
            unconcat_tokens=self.tokens,
            total_lengths=[len(tokens) for tokens in self.tokens],
            response_lengths=LENGTHS,
        )[1]["log_probs"]
        padded = [torch.cat([row, row.new_full((LONGEST - len(row),), math.nan)]) for row in found]
        return torch.stack(padded)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    tokens = [torch.randint(WORDS, (2 + length,), generator=generator) for length in LENGTHS]
    logits = torch.randn(1, sum(map(len, tokens)), WORDS, generator=generator).requires_grad_()
    mask = torch.arange(LONGEST) < torch.tensor(LENGTHS)[:, None]
    made = Batch(logits, tokens, torch.empty(0), torch.tensor([0.75, -0.25, -0.5, 0.5]), mask)
    made.old = made.logprobs().detach() + 0.5 * torch.randn(mask.shape, generator=generator)
    return made


def gradient(loss: torch.Tensor, batch: Batch) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss, batch.logits)
    return found


def per_token(batch: Batch) -> torch.Tensor:
    return batch.advantages[:, None].expand(batch.mask.shape)


def from_prime_rl(batch: Batch, bounds: Boundaries, reduction: str) -> torch.Tensor:
    """prime-rl divides the sum over sequences by the loss tokens of the step."""
    total = torch.zeros(())
    for row, logprobs in enumerate(batch.logprobs()):
        inputs = LossInputs(logprobs, batch.old[row], per_token(batch)[row], batch.mask[row])
        outputs = prime_rl.policy_loss(inputs, rule=bounds)
        assert outputs.loss.dim() == 0
        total = total + outputs.loss
    return total / batch.mask.sum()


def from_nemo_rl(batch: Batch, bounds: Boundaries, reduction: str) -> torch.Tensor:
    """NeMo-RL passes the counts of the whole step to each of its micro-batches; here there are two."""
    loss_type = LossType.TOKEN_LEVEL if reduction == "token_mean" else LossType.SEQUENCE_LEVEL
    loss_fn = nemo_rl.RuleLoss({"rule": bounds}, loss_type, "LOGPROB")
    logprobs, first = batch.logprobs(), torch.zeros(len(batch.mask), 1)
    data = {
        "prev_logprobs": torch.cat([first, batch.old], 1),
        "advantages": torch.cat([first, per_token(batch)], 1),
        "token_mask": torch.cat([first, batch.mask.float()], 1),
        "sample_mask": torch.ones(len(batch.mask)),
    }
    total = torch.zeros(())
    for rows in (slice(0, 1), slice(1, 4)):
        loss, metrics = loss_fn(
            logprobs[rows],
            {name: values[rows] for name, values in data.items()},
            global_valid_seqs=torch.tensor(len(batch.mask)),
            global_valid_toks=batch.mask.sum(),
        )
        assert metrics["loss"] == pytest.approx(loss.item())
        total = total + loss
    return total


def from_slime(batch: Batch, bounds: Boundaries, reduction: str) -> torch.Tensor:
    """slime divides what its reduction gives by the responses of the step, or by its tokens."""

    def sum_of_sample_mean(values):
        parts = values.split(LENGTHS)
        return torch.stack([part.sum() if reduction == "token_mean" else part.mean() for part in parts]).sum()

    rows = {name: [values[row, :n] for row, n in enumerate(LENGTHS)] for name, values in tensors(batch).items()}
    totals = [len(tokens) for tokens in batch.tokens]
    given = rows | {"unconcat_tokens": batch.tokens, "total_lengths": totals, "response_lengths": LENGTHS}
    args = SimpleNamespace(rule=bounds, use_kl_loss=False, entropy_coef=0.0)
    loss, metrics = slime.policy_loss(args, given, batch.logits, sum_of_sample_mean)
    assert not any(value.requires_grad for value in metrics.values())
    return loss / (batch.mask.sum() if reduction == "token_mean" else len(LENGTHS))


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    return {"log_probs": batch.old, "advantages": per_token(batch)}


ENGINES = {"prime-rl": from_prime_rl, "NeMo-RL": from_nemo_rl, "slime": from_slime}
CASES = [
    (engine, reduction)
    for engine in ENGINES
    for reduction in ("token_mean", "sequence_mean")
    if (engine, reduction) != ("prime-rl", "sequence_mean")  # it has the token mean only
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("engine", "reduction"), CASES)
def test_every_engine_gives_the_objectives_loss_and_gradient(batch, engine, reduction, rule):
    loss = ENGINES[engine](batch, RULES[rule], reduction)
    expected = policy_loss(batch.logprobs(), batch.old, batch.advantages, batch.mask, RULES[rule], reduction)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient(loss, batch), gradient(expected, batch), rtol=1e-4, atol=1e-7)


def test_the_rules_differ_on_this_batch(batch):
    losses = {round(from_nemo_rl(batch, bounds, "token_mean").item(), 5) for bounds in RULES.values()}
    assert len(losses) == len(RULES)


@pytest.mark.parametrize("engine", ENGINES)
def test_by_hand(engine):
    """Two tokens of ratio 1.5: clipped to 1.2 where Â = 1; where Â = −1, to 1.1, and not at all under GRPO."""
    logits = torch.zeros(1, sum(LENGTHS) + 2 * len(LENGTHS), WORDS, requires_grad=True)
    tokens = [torch.zeros(2 + length, dtype=torch.long) for length in LENGTHS]
    mask = torch.arange(LONGEST) < torch.tensor(LENGTHS)[:, None]
    made = Batch(logits, tokens, torch.empty(0), torch.tensor([0.0, 1.0, 0.0, -1.0]), mask)
    made.old = made.logprobs().detach() - math.log(1.5)
    # Response 1 has one token, response 3 two; of 11 tokens.
    assert ENGINES[engine](made, RULES["paper"], "token_mean").item() == pytest.approx((-1.2 + 2 * 1.1) / 11)
    assert ENGINES[engine](made, RULES["GRPO"], "token_mean").item() == pytest.approx((-1.2 + 2 * 1.5) / 11)
    if engine != "prime-rl":
        assert ENGINES[engine](made, RULES["paper"], "sequence_mean").item() == pytest.approx((-1.2 + 1.1) / 4)


def test_prime_rl_weighs_tokens_and_logs_events(batch):
    ratio = torch.tensor([1.5, 0.5, 1.0, 1.5])
    inputs = LossInputs(
        ratio.log(), torch.zeros(4), torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([True, True, True, False])
    )
    plain = prime_rl.policy_loss(inputs, rule="grpo")
    assert plain.loss.item() == pytest.approx(-(1.2 + 0.5 + 1.0))
    found = {name: value.item() for name, value in plain.metrics.items()}
    assert found == pytest.approx({"clip/q1": 1 / 3, "clip/q2": 1 / 3, "clip/q3": 0.0, "clip/q4": 0.0})
    inputs.loss_weights = torch.tensor([2.0, 0.0, 1.0, 5.0])
    assert prime_rl.policy_loss(inputs, rule="grpo").loss.item() == pytest.approx(-(2 * 1.2 + 1.0))
    with pytest.raises(UserError, match="epsilon"):
        prime_rl.policy_loss(inputs, rule={"name": "grpo", "epsilon": 0.2})


def test_nemo_rl_leaves_out_samples(batch):
    loss_fn = nemo_rl.RuleLoss({"rule": "abc_grpo"}, LossType.SEQUENCE_LEVEL, "LOGPROB")
    logprobs = torch.zeros(2, 3)
    data = {
        "prev_logprobs": torch.zeros(2, 4),
        "advantages": torch.ones(2, 4),
        "token_mask": torch.ones(2, 4),
        "sample_mask": torch.tensor([1.0, 0.0]),
    }
    loss, metrics = loss_fn(logprobs, data, torch.tensor(1), torch.tensor(3))
    assert loss.item() == pytest.approx(-1.0)
    assert metrics["num_valid_samples"] == 1


RULE = {"rule": "abc_grpo"}
REFUSALS = {
    "no rule": lambda b: nemo_rl.RuleLoss({}, LossType.TOKEN_LEVEL, None),
    "NeMo-RL's KL term": lambda b: nemo_rl.RuleLoss(
        RULE | {"reference_policy_kl_penalty": 0.01}, LossType.TOKEN_LEVEL, None
    ),
    "NeMo-RL's other reduction": lambda b: nemo_rl.RuleLoss(
        RULE | {"token_level_loss": True}, LossType.SEQUENCE_LEVEL, None
    ),
    "slime's entropy bonus": lambda b: slime.policy_loss(
        SimpleNamespace(**RULE, entropy_coef=0.1), {}, b.logits, torch.sum
    ),
}
MESSAGES = ("names no clipping rule", "reference_policy_kl", "token_level_loss=True", "entropy_coef")


@pytest.mark.parametrize(("call", "message"), zip(REFUSALS.values(), MESSAGES, strict=True), ids=REFUSALS)
def test_what_would_be_ignored_is_refused(batch, call, message):
    with pytest.raises(ValueError, match=message):
        call(batch)


@dataclass(frozen=True)
class Shifted(Rule):
    """Not proportional to the advantage."""

    def surrogate(self, tokens):
        return tokens.ratio * (tokens.advantages + 0.1)


@dataclass(frozen=True)
class Whole(Shifted):
    """One ratio per response."""

    level = "sequence"


@dataclass
class Moving(AdaptiveRule):
    """Adapts."""


@dataclass(frozen=True)
class Wide(Shifted):
    """Looks at the whole batch."""

    spans = "batch"


def test_rules_that_an_engine_cannot_follow_are_refused():
    assert read_rule({"rule": {"name": "grpo", "eps": 0.3}}, "Engine").to_dict() == {"name": "grpo", "eps": 0.3}
    assert is_linear(Boundaries())
    assert not is_linear(Shifted())
    assert read_rule({"rule": Shifted()}, "Engine") == Shifted()
    with pytest.raises(ValueError, match="not proportional to the advantage"):
        read_rule({"rule": Shifted()}, "Engine", scaled_advantages=True)
    with pytest.raises(ValueError, match="Engine does not update the thresholds"):
        read_rule({"rule": Moving()}, "Engine")
    with pytest.raises(ValueError, match="looks at all tokens of a batch"):
        read_rule({"rule": Wide()}, "Engine")
    with pytest.raises(ValueError, match="uses one ratio per response"):
        read_rule({"rule": Whole()}, "Engine", responses_share_rows=True)
    assert read_rule({"rule": Whole()}, "Engine").level == "sequence"


def test_another_version_is_refused_by_name():
    require_version("pytest", pytest.__version__.split(".")[0])
    with pytest.raises(RuntimeError, match=r"tested with pytest 1\.2, and pytest \d"):
        require_version("pytest", "1.2")
    with pytest.raises(RuntimeError):  # 90 is not a release of the series 9
        require_version("pytest", pytest.__version__[:1] + "0")
