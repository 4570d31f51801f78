"""verl's FSDP2 actor, with this loss, makes the optimizer steps of plain torch."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")

from transformers import AutoModelForCausalLM

from abcgrpo.tasks.countdown import BASE_MODEL
from tests.verl.cpu import ENVIRONMENT

ROWS, PROMPT, RESPONSE, MINI_BATCH, MICRO_BATCH = 16, 6, 9, 4, 2
LEARNING_RATE, CLIPPED_NORM = 1e-3, 0.5
EPSILON = 1e-4
"""AdamW's, in the place of 1e-8: with that, parameters whose gradient is rounding error alone move by its sign."""
INTERVALS = ((0.5, 1.28), (0.8, 1.7))
"""Of the ratio, where Â > 0 and elsewhere: what the four thresholds below say."""
ACTOR = "actor_rollout_ref.actor"
OVERRIDES = (
    f"{ACTOR}.policy_loss._target_=abcgrpo.verl.ABCGRPOPolicyLossConfig",
    f"{ACTOR}.policy_loss.loss_mode=abc_grpo",
    f"+{ACTOR}.policy_loss.eps_pos_high=0.28",
    f"+{ACTOR}.policy_loss.eps_pos_low=0.5",
    f"+{ACTOR}.policy_loss.eps_neg_high=0.7",
    f"+{ACTOR}.policy_loss.eps_neg_low=0.2",
    f"{ACTOR}.strategy=fsdp2",
    f"{ACTOR}.ppo_mini_batch_size={MINI_BATCH}",
    f"{ACTOR}.ppo_micro_batch_size_per_gpu={MICRO_BATCH}",
    f"{ACTOR}.optim.lr={LEARNING_RATE}",
    f"{ACTOR}.optim.clip_grad={CLIPPED_NORM}",
    f"{ACTOR}.optim.override_optimizer_config={{eps:{EPSILON}}}",
    f"{ACTOR}.optim.total_training_steps=10",
    f"{ACTOR}.use_torch_compile=false",
    f"{ACTOR}.fsdp_config.use_torch_compile=false",
    f"+{ACTOR}.fsdp_config.mixed_precision.param_dtype=fp32",
    f"actor_rollout_ref.model.path={BASE_MODEL}",
    "actor_rollout_ref.model.use_remove_padding=false",
    "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
    "actor_rollout_ref.model.enable_gradient_checkpointing=false",
    "actor_rollout_ref.rollout.name=vllm",  # named, and not started
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=2",
    "trainer.device=cpu",
)


def base():
    return AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32, attn_implementation="sdpa")


def response_log_probs(model, batch) -> torch.Tensor:
    """Of the response's tokens; (B, RESPONSE)."""
    given = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
    logits = model(**given).logits[:, PROMPT - 1 : -1].float()
    return logits.log_softmax(-1).gather(-1, batch["responses"][..., None]).squeeze(-1)


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    """Prompts and responses of many lengths; old log-probs so far off that every bound is crossed."""
    torch.manual_seed(0)
    prompt_lengths, lengths = torch.randint(2, PROMPT + 1, (ROWS,)), torch.randint(1, RESPONSE + 1, (ROWS,))
    columns = torch.arange(PROMPT + RESPONSE)
    attention = ((columns >= PROMPT - prompt_lengths[:, None]) & (columns < PROMPT + lengths[:, None])).long()
    tokens = torch.randint(3, 20, (ROWS, PROMPT + RESPONSE)) * attention
    mask = attention[:, PROMPT:]
    made = {
        "input_ids": tokens,
        "attention_mask": attention,
        "position_ids": (attention.cumsum(-1) - 1).clamp(min=0),
        "prompts": tokens[:, :PROMPT],
        "responses": tokens[:, PROMPT:],
        "response_mask": mask,
        "advantages": torch.randn(ROWS, 1) * mask,
        "rollout_is_weights": torch.rand(ROWS, RESPONSE) * mask,
    }
    with torch.no_grad():
        made["old_log_probs"] = (response_log_probs(base(), made) + 0.6 * torch.randn(ROWS, RESPONSE)) * mask
    return {name: tensor.contiguous() for name, tensor in made.items()}


def in_plain_torch(batch, agg_mode: str, intervals=INTERVALS):
    """The same four optimizer steps: weights before and after, gradient norms, clip events by quadrant."""
    model = base()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, eps=EPSILON, weight_decay=0.01)
    norms, events = [], []
    for start in range(0, ROWS, MINI_BATCH):
        rows = {name: tensor[start : start + MINI_BATCH] for name, tensor in batch.items()}
        mask, advantages = rows["response_mask"].float(), rows["advantages"]
        ratio = (response_log_probs(model, rows) - rows["old_log_probs"]).exp()
        clipped = torch.where(advantages > 0, ratio.clamp(*intervals[0]), ratio.clamp(*intervals[1]))
        losses = -clipped * advantages * rows["rollout_is_weights"] * mask
        loss = losses.sum() / mask.sum() if agg_mode == "token-mean" else (losses.sum(1) / mask.sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIPPED_NORM).item())
        optimizer.step()
        good, bad = (advantages > 0) & mask.bool(), (advantages < 0) & mask.bool()
        quadrants = torch.stack([good & (ratio > 1.2), good & (ratio < 0.8), bad & (ratio < 0.8), bad & (ratio > 1.2)])
        # verl takes the mean over micro-batches of a micro-batch's fraction.
        events.append(
            torch.stack(
                [
                    quadrants[:, cut : cut + MICRO_BATCH].sum((1, 2)) / mask[cut : cut + MICRO_BATCH].sum()
                    for cut in range(0, MINI_BATCH, MICRO_BATCH)
                ]
            ).mean(0)
        )
    return before, model.state_dict(), norms, torch.stack(events)


@pytest.mark.slow
@pytest.mark.parametrize("agg_mode", ["seq-mean-token-mean", "token-mean"])
def test_the_fsdp2_actor_makes_the_steps_of_plain_torch(agg_mode, batch, tmp_path):
    torch.save(batch, tmp_path / "batch.pt")
    command = [sys.executable, "-m", "tests.verl.actor_update", "batch.pt", "result.pt"]
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *OVERRIDES, f"{ACTOR}.loss_agg_mode={agg_mode}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = torch.load(tmp_path / "result.pt", weights_only=False)
    before, after, norms, events = in_plain_torch(batch, agg_mode)

    metrics = result["metrics"]
    assert metrics["grad_norm"] == pytest.approx(norms, rel=1e-4)
    assert len(norms) == 4
    assert min(norms) > 0
    for index in range(4):
        assert metrics[f"actor/clip_q{index + 1}"] == pytest.approx(events[:, index].tolist(), abs=1e-6)
    assert events.mean(0).min() > 0, "every quadrant should have events"

    assert result["after"].keys() == after.keys()
    moved = max((after[name] - before[name]).abs().max() for name in after)
    apart = max((result["after"][name] - after[name]).abs().max() for name in after)
    _, after_grpo, _, _ = in_plain_torch(batch, agg_mode, ((0.0, 1.28), (0.8, math.inf)))
    assert moved > 2 * LEARNING_RATE
    assert all(torch.equal(result["before"][name], before[name]) for name in before)
    assert apart < moved / 1000, (apart, moved)
    # The control: two bounds opened lead somewhere else.
    assert max((result["after"][name] - after_grpo[name]).abs().max() for name in after) > moved / 10
