"""The fast update against stock TRL on the same rollouts: gradients of every step, weights, metrics, and work done."""

import logging
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel
from trl import GRPOTrainer

from abcgrpo.trl import ABCGRPOConfig, ABCGRPOTrainer, FastGRPOConfig, FastGRPOTrainer
from abcgrpo.trl.update.head import score_fused
from abcgrpo.trl.update.rows import join
from tests.trl.update.canned import (
    EOS,
    GROUP,
    VOCABULARY,
    Row,
    Trained,
    largest_difference,
    rollouts,
    train,
    update_difference,
)

GRADIENTS = 2e-5
"""Largest relative difference of a gradient's entry, over several steps; padding alone changes it by 3e-6."""
UPDATES = 1e-5
"""‖difference of the updates‖ ÷ ‖update‖ after plain SGD."""


class Fast(FastGRPOTrainer):
    """The update alone, so that what is logged besides is TRL's."""

    def observers(self):
        return []


def slow(*names: str) -> list:
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture
def compare(tmp_path):
    """Train stock and fast alike; both runs."""

    def run(canned=None, stock=GRPOTrainer, fast=Fast, adjust=None, stock_config=None, **config):
        canned = canned or rollouts(2, 8, seed=3)
        arguments = {"folder": str(tmp_path), "adjust": adjust} | config
        return (
            train(stock, canned, **arguments | (stock_config or {})),
            train(fast, canned, **arguments),
        )

    return run


def assert_same(stock: Trained, fast: Trained, updates: float = UPDATES) -> None:
    assert largest_difference(fast.gradients, stock.gradients) < GRADIENTS
    assert update_difference(fast, stock) < updates


def longest_step(run: Trained) -> float:
    """Largest share of clipped tokens in a step: above 0, the ratio is not 1 everywhere and old log-probs matter."""
    return max(entry.get("clip_ratio/region_mean", 0.0) for entry in run.logs)


# -- TRL's losses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["dapo", "bnpo", "gspo", *slow("grpo", "dr_grpo", "cispo", "sapo", "vespo", "luspo")])
def test_losses_of_trl(compare, loss):
    level = {"importance_sampling_level": "sequence"} if loss in ("gspo", "luspo") else {}
    rate = 0.02 if loss == "luspo" else 0.5  # luspo sums over tokens
    loss_type = "grpo" if loss == "gspo" else loss
    stock, fast = compare(loss_type=loss_type, learning_rate=rate, **level)
    assert_same(stock, fast)
    assert fast.trainer.update_parts.skip
    assert fast.trainer.update_parts.move == (loss != "bnpo")


@pytest.mark.parametrize("loss", ["grpo", *slow("dapo", "dr_grpo", "bnpo")])
def test_losses_of_abc_grpo(compare, loss):
    config = {"config_class": ABCGRPOConfig, "loss_type": loss}
    stock, fast = compare(stock=ABCGRPOTrainer, fast=ABCGRPOTrainer, stock_config={"update": "stock"}, **config)
    assert fast.positions["grad"] < 0.6 * stock.positions["grad"]
    assert_same(stock, fast)
    names = [f"clip/q{quadrant}" for quadrant in (1, 2, 3, 4)]
    shares = [(entry[name], ours[name]) for entry, ours in zip(stock.logs, fast.logs, strict=True) for name in names]
    assert any(share for share, _ in shares)
    assert all(ours == pytest.approx(share, abs=1e-6) for share, ours in shares)


# -- options -----------------------------------------------------------------------------------------------------------

OPTIONS = {
    "two iterations": {"num_iterations": 2, "max_steps": 8},
    "delta and off-policy mask": {"delta": 1.5, "off_policy_mask_threshold": 1e-4},
    "truncated completions masked": {"mask_truncated_completions": True},
    "truncated completions masked, sequence mean": {"mask_truncated_completions": True, "loss_type": "grpo"},
    "one step per rollout": {"steps_per_generation": 2, "max_steps": 3, "groups": 2},
    "steps across rollouts": {
        "gradient_accumulation_steps": 4,
        "steps_per_generation": 6,
        "groups": 6,
        "learning_rate": 0.3,
    },
    "several rollouts per step": {
        "gradient_accumulation_steps": 4,
        "steps_per_generation": 2,
        "max_steps": 2,
        "groups": 2,
    },
    "gradient checkpointing": {"gradient_checkpointing": True},
    "reentrant checkpointing": {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": True},
    },
    "KL term": {"beta": 0.04},
    "entropy bonus": {"entropy_coef": 0.01},
    "top entropy quantile": {"top_entropy_quantile": 0.5},
    "batch scaling": {"scale_rewards": "batch"},
    "no scaling": {"scale_rewards": "none"},
    "temperature": {"temperature": 0.7},
    "all groups silent but one": {"zero": 0.9},
    "no group silent": {"zero": 0.0},
    "wider padding": {"pad_to_multiple_of": 16},
    "normalise, then sum": {"multi_objective_aggregation": "normalize_then_sum"},
}


QUICK = ("two iterations", "steps across rollouts", "KL term")


@pytest.mark.parametrize("option", [*QUICK, *slow(*sorted(OPTIONS.keys() - {*QUICK}))])
def test_options(compare, option):
    config = dict(OPTIONS[option])
    canned = rollouts(3, config.pop("groups", 8), zero=config.pop("zero", 0.5), seed=3)
    stock, fast = compare(canned, **config)
    assert_same(stock, fast)


@pytest.mark.parametrize("layout", ["flushed", "stock"])
def test_layouts(compare, layout, monkeypatch):
    monkeypatch.setattr("abcgrpo.trl.update.parts.choose_layout", lambda *_, **__: (layout, "because"))
    stock, fast = compare()
    assert_same(stock, fast)
    assert fast.trainer.update_parts.layout == layout


@pytest.mark.parametrize(("name", "value"), [("parts.why_fused", lambda _: "because"), ("scoring.TILE_TOKENS", 30)])
def test_packed_rows_with_the_fused_head(compare, monkeypatch, name, value):
    """Where logits are not kept: never, or in passes of more than 30 tokens only."""
    monkeypatch.setattr(f"abcgrpo.trl.update.{name}", value)
    fused = []
    monkeypatch.setattr("abcgrpo.trl.update.scoring.score_fused", lambda *a: fused.append(a) or score_fused(*a))
    stock, fast = compare(config_class=FastGRPOConfig, update_entropy=False)
    assert_same(stock, fast)
    passes = 2 * 4 * 2 - 2  # four steps of two micro-batches, the first step without old log-probs
    assert len(fused) == passes if value != 30 else 0 < len(fused) < passes


@pytest.mark.parametrize(
    ("config", "why"), [({}, ""), ({"entropy_coef": 0.01}, "entropies with a gradient"), ({"bf16": True}, "16-bit")]
)
def test_which_runs_keep_logits(compare, config, why):
    parts = compare(max_steps=1, **config)[1].trainer.update_parts
    assert parts.layout == "packed"
    assert parts.keep_logits is (why == "")
    assert ("logits computed once" in parts.describe()) is parts.keep_logits
    assert why in parts.reasons.get("logits", "")


def with_lora(host: type, **settings) -> type:
    class WithLora(host):
        def __init__(self, *args, **kwargs):
            adapter = LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj"]} | settings)
            super().__init__(*args, peft_config=adapter, **kwargs)

    return WithLora


LORA = {
    "LoRA": {},
    "all linear layers": {"target_modules": "all-linear", "lora_alpha": 16},
    "scaled by the root of the rank": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "a trained head": {"modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("kind", ["LoRA", *slow(*sorted(LORA.keys() - {"LoRA"}))])
@pytest.mark.parametrize("beta", [0.0, pytest.param(0.04, marks=pytest.mark.slow)])
def test_adapters(compare, kind, beta):
    stock, fast = compare(stock=with_lora(GRPOTrainer, **LORA[kind]), fast=with_lora(Fast, **LORA[kind]), beta=beta)
    assert_same(stock, fast)
    assert all("lora_" in name or "modules_to_save" in name for name in fast.gradients[0])
    assert fast.trainer.update_parts.layout == "packed"
    assert beta or (fast.trainer.update_parts.skip and fast.positions["grad"] < 0.6 * stock.positions["grad"])


@pytest.mark.slow
def test_with_dropout_the_first_steps_ratio_is_that_of_two_passes(compare, monkeypatch):
    """As in TRL, where old log-probs of the same weights come of another draw. The weights stay as they are."""
    noisy = {"lora_dropout": 0.3, "init_lora_weights": False}
    still = {"learning_rate": 0.0, "max_steps": 16, "epsilon": 0.02, "zero": 0.0}

    def clipped(run: Trained) -> tuple[float, float]:
        """Mean share of clipped tokens in the first steps of rollouts, and in all others."""
        shares = [entry["clip_ratio/region_mean"] for entry in run.logs]
        first = shares[::4]
        return sum(first) / 4, (sum(shares) - sum(first)) / 12

    canned = rollouts(4, 8, zero=still.pop("zero"), seed=3)
    stock, fast = compare(canned, stock=with_lora(GRPOTrainer, **noisy), fast=with_lora(Fast, **noisy), **still)
    assert "dropout is on" in fast.trainer.update_parts.reasons["first step"]
    assert min(clipped(stock)) > 0.2
    assert clipped(fast) == pytest.approx(clipped(stock), rel=0.2)  # of as many draws
    monkeypatch.setattr("abcgrpo.trl.update.parts.active_dropout", lambda _: "")
    elided = compare(canned, fast=with_lora(Fast, **noisy), **still)[1]
    assert clipped(elided)[0] == 0.0


def test_without_dropout_nothing_is_lost(compare):
    parts = compare(max_steps=1, fast=with_lora(Fast, lora_dropout=0.0))[1].trainer.update_parts
    assert parts.whole_steps
    assert not parts.reasons


PROMPT_LEARNING = {
    "prompt tuning": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "prefix tuning": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "p-tuning": PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=3, encoder_hidden_size=16),
}


@pytest.mark.parametrize("kind", PROMPT_LEARNING)
def test_adapters_that_put_tokens_before_a_row_keep_trls_layout(compare, kind):
    def tuned(host: type) -> type:
        class Tuned(host):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, peft_config=PROMPT_LEARNING[kind], **kwargs)

        return Tuned

    torch.manual_seed(0)
    stock = compare(stock=tuned(GRPOTrainer), fast=tuned(GRPOTrainer))[0]
    fast = compare(stock=tuned(GRPOTrainer), fast=tuned(Fast))[1]
    parts = fast.trainer.update_parts
    assert parts.layout == "stock"
    assert "does more than change weights" in parts.reasons["layout"]
    assert parts.skip
    assert fast.positions["grad"] < 0.9 * stock.positions["grad"] or kind != "prefix tuning"
    assert_same(stock, fast)


WINDOW = 6


def windowed() -> PreTrainedModel:
    """A Mistral whose window is shorter than most rows, and whose attention tells one token from another."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MistralConfig(
        vocab_size=VOCABULARY, num_key_value_heads=2, sliding_window=WINDOW, initializer_range=0.3, **sizes
    )
    return MistralForCausalLM(config)


def test_rows_longer_than_a_sliding_window(compare):
    """The weights of four optimizer steps are stock TRL's."""
    canned = rollouts(2, 8, seed=3)
    lengths = [len(row.prompt) + len(row.completion) for rows in canned for row in rows]
    assert sum(length > 2 * WINDOW for length in lengths) > len(lengths) / 3
    stock, fast = compare(canned, model=windowed, learning_rate=0.05)
    assert len(fast.gradients) == 4
    assert_same(stock, fast)
    for name, weight in stock.weights.items():
        torch.testing.assert_close(fast.weights[name], weight, rtol=1e-5, atol=1e-6)
    assert "sliding_window" in fast.trainer.update_parts.reasons["layout"]


def test_negative_control_the_window_matters(compare):
    def without_window() -> PreTrainedModel:
        model = windowed()
        model.config.sliding_window = None
        return model

    canned = rollouts(1, 8, seed=3)
    stock, _ = compare(canned, model=windowed, learning_rate=0.05, max_steps=1)
    _, full = compare(canned, model=without_window, learning_rate=0.05, max_steps=1)
    assert full.trainer.update_parts.layout == "packed"
    assert largest_difference(full.gradients, stock.gradients) > 100 * GRADIENTS


def with_token_advantages(host: type) -> type:
    class PerToken(host):
        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            output["advantages"] = output["advantages"][:, None] * output["completion_mask"]
            return output

    return PerToken


def test_advantages_per_token(compare):
    stock, fast = compare(stock=with_token_advantages(GRPOTrainer), fast=with_token_advantages(Fast))
    assert_same(stock, fast)
    assert fast.positions["grad"] < stock.positions["grad"] / 2


def test_rewards_that_leave_a_rounding_error_as_advantage(compare):
    """Constant rewards of 0.17 have an advantage of 1e-8 / 1e-4 in TRL. It is stock's gradient, so it is ours."""
    canned = rollouts(1, 8, seed=3)
    for row in canned[0]:
        row.reward = 0.1 * row.reward + 0.07
    assert_same(*compare(canned))


def test_tokens_of_tools_are_masked(compare):
    canned = rollouts(1, 8, seed=3)
    for row in canned[0]:
        row.mask = [int(place % 3 != 1) for place in range(len(row.completion))]
    assert_same(*compare(canned))


def test_adam(compare):
    """Adam amplifies rounding where a gradient is almost 0, so only the size of the difference is asked for."""
    stock, fast = compare(optim="adamw_torch", learning_rate=1e-3)
    assert update_difference(fast, stock) < 1e-2


@pytest.mark.parametrize("mode", ["token_truncate", *slow("token_mask", "sequence_truncate", "sequence_mask")])
def test_importance_correction_of_vllm_keeps_trls_order(compare, mode, caplog):
    def pretend_vllm(trainer):
        trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
        trainer.vllm_importance_sampling_mode = mode
        trainer.vllm_generation = SimpleNamespace(sync_weights=lambda: None)
        trainer._last_loaded_step = -1
        stock_rollout = trainer.rollout_func
        trainer.rollout_func = lambda prompts, host: (
            (rows := stock_rollout(prompts, host))
            | {"logprobs": [[-4.5 - 0.01 * (place % 5) for place in range(len(ids))] for ids in rows["completion_ids"]]}
        )
        if isinstance(trainer, FastGRPOTrainer):
            trainer.fast_update.choose_parts()

    bounds = {"vllm_importance_sampling_clip_max": 1.2 if "token" in mode else 1e6}
    if "mask" in mode:
        bounds["vllm_importance_sampling_clip_min"] = 1e-3
    with caplog.at_level(logging.WARNING, "abcgrpo"):
        stock, fast = compare(adjust=pretend_vllm, **bounds)
    assert_same(stock, fast)
    parts = fast.trainer.update_parts
    assert parts.skip
    assert parts.move
    assert not parts.defer
    assert "vLLM's importance correction" in caplog.text
    for name in ("mean", "max"):
        metric = f"sampling/sampling_logp_difference/{name}"
        assert fast.logs[0][metric] == pytest.approx(stock.logs[0][metric], rel=1e-4)


# -- negative controls: the comparison notices -------------------------------------------------------------------------


class WithoutOldLogps(Fast):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fast_update._fill_old_logps = lambda batches: None


class MovesAlthoughTheCutMatters(Fast):
    loss_depends_on_cut = False


class SkipsTooMuch(Fast):
    def rows_with_signal(self, batch):
        signal = super().rows_with_signal(batch)
        return signal & (batch["advantages"] > 0)


class SkipsInTheKL(Fast):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        object.__setattr__(self.fast_update.parts, "skip", True)


@pytest.mark.parametrize(
    ("broken", "config"),
    [
        (WithoutOldLogps, {}),
        (MovesAlthoughTheCutMatters, {"loss_type": "bnpo"}),
        (SkipsTooMuch, {}),
        (SkipsInTheKL, {"beta": 0.04}),
    ],
)
def test_negative_controls(compare, broken, config):
    stock, fast = compare(fast=broken, **config)
    assert largest_difference(fast.gradients, stock.gradients) > 100 * GRADIENTS


def test_the_comparison_reaches_clipped_tokens(compare):
    stock, _ = compare()
    assert longest_step(stock) > 0


# -- work done, metrics, the switch ------------------------------------------------------------------------------------


def counted_tokens(rows: list[Row]) -> tuple[int, int]:
    """Tokens of all rows, and of those in groups with signal."""
    size = [len(row.prompt) + len(row.completion) for row in rows]
    groups = [rows[start : start + GROUP] for start in range(0, len(rows), GROUP)]
    signal = [len({row.reward for row in group}) > 1 for group in groups for _ in group]
    return sum(size), sum(tokens for tokens, has in zip(size, signal, strict=True) if has)


def test_tokens_run(compare):
    """With gradient: the active rows' tokens, once. Without: theirs but for the first of four steps."""
    canned = rollouts(1, 8, seed=5)
    stock, fast = compare(canned, config_class=FastGRPOConfig, update_entropy=False)
    everything, active = counted_tokens(canned[0])
    width = max(len(r.prompt) for r in canned[0]) + max(len(r.completion) for r in canned[0])
    assert stock.positions == {"grad": 32 * width, "no_grad": 32 * width}
    assert fast.positions["grad"] == active
    assert 0 < fast.positions["no_grad"] < active
    shares = [entry["update/active_tokens"] for entry in fast.logs]
    assert all(0 <= share <= 1 for share in shares)
    assert all(entry["update/padding"] == 0 for entry in fast.logs)
    assert sum(entry["update/active_rows"] for entry in fast.logs) / 4 == pytest.approx(0.5)
    assert active / everything == pytest.approx(0.5, abs=0.3)


def test_entropy_is_that_of_all_tokens_and_costs_no_gradient(compare):
    """Micro-batches of one row count per row in TRL's mean, so that moving rows does not change it."""
    canned = rollouts(1, 8, seed=5)
    one_row = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "steps_per_generation": 32}
    stock, fast = compare(canned, **one_row)
    for theirs, ours in zip(stock.logs, fast.logs, strict=True):
        assert ours["entropy"] == pytest.approx(theirs["entropy"], rel=1e-5)
    assert fast.positions["grad"] == pytest.approx(counted_tokens(canned[0])[1], rel=0.3)


def test_entropy_is_measured_in_logged_steps_only(compare):
    canned = rollouts(1, 8, seed=5)
    every, second, never = (
        compare(canned, logging_steps=steps, config_class=FastGRPOConfig, update_entropy=on)[1]
        for steps, on in ((1, True), (2, True), (1, False))
    )
    assert never.positions["no_grad"] < second.positions["no_grad"] < every.positions["no_grad"]
    assert [entry["entropy"] for entry in second.logs] == pytest.approx(
        [entry["entropy"] for entry in every.logs[1::2]], rel=1e-6
    )
    assert [entry["entropy"] for entry in never.logs] == [None] * 4


def test_stock_switches_all_off(compare, caplog):
    with caplog.at_level(logging.INFO, "abcgrpo"):
        stock, fast = compare(config_class=FastGRPOConfig, update="stock")
    assert largest_difference(fast.gradients, stock.gradients) == 0
    assert fast.positions == stock.positions
    assert not any(name.startswith("update/") for name in fast.logs[0])
    assert 'update: "stock"' in caplog.text


def test_a_checkpoint_names_no_attention_of_ours(compare, tmp_path):
    _, fast = compare(max_steps=1)
    fast.trainer.save_model(str(tmp_path / "saved"))
    assert "varlen" not in (tmp_path / "saved" / "config.json").read_text()


@pytest.mark.parametrize("entry", ["row", ["row"], {"row": 1}])
def test_entries_that_cannot_follow_their_row_are_refused(entry):
    with pytest.raises(TypeError, match="'names' is a"):
        join([{"advantages": torch.zeros(2), "names": entry}] * 2)


def test_unknown_switch_is_refused(compare):
    with pytest.raises(ValueError, match="update is one of"):
        compare(config_class=FastGRPOConfig, update="quick")


def test_a_run_says_what_is_active_and_why_not(compare, caplog):
    with caplog.at_level(logging.INFO, "abcgrpo"):
        compare(loss_type="bnpo", beta=0.04)
    told = [record.getMessage() for record in caplog.records if "Fast update" in record.getMessage()]
    assert len(told) == 1
    for part in (
        "packed layout",
        "skipping: beta ≠ 0",
        "moving: the loss depends on the cut",
        "deferring: beta ≠ 0",
    ):
        assert part in told[0]


def test_evaluation_takes_trls_own_path(compare):
    """Loss and metrics of an evaluation equal stock's; nothing is skipped, and nothing counted."""

    def evaluated(trainer):
        trainer.model.eval()
        ids = torch.randint(3, 90, (4, 9), generator=torch.Generator().manual_seed(0))
        ids[:, -1] = EOS
        batch = {
            "prompt_ids": ids[:, :4],
            "completion_ids": ids[:, 4:],
            "advantages": torch.tensor([1.0, 0, 0, -1]),
        }
        batch |= {"prompt_mask": torch.ones(4, 4).long(), "completion_mask": torch.ones(4, 5).long()}
        batch["num_items_in_batch"] = torch.tensor(20)
        with torch.no_grad():
            return trainer.compute_loss(trainer.model, batch), dict(trainer._metrics["eval"])

    runs = compare(max_steps=1, learning_rate=0.0)
    (stock_loss, stock_metrics), (loss, metrics) = (evaluated(run.trainer) for run in runs)
    assert loss == stock_loss
    assert metrics == stock_metrics
