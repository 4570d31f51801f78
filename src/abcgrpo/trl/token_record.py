"""A sample of responses, token by token: what each was credited with, and which of them were clipped.

`tokens.jsonl` in the run's directory has a line for each of `record_tokens` responses of each logged step, in the order
of the steps. T is the number of the response's tokens, a tool's output included; lists have T items.

| field         | meaning                                                                                             |
|---------------|-----------------------------------------------------------------------------------------------------|
| `step`        | the optimizer step, as in `metrics.jsonl`                                                           |
| `prompt`      | its text                                                                                            |
| `reward`      | of the response, the weighted sum; null if it has none                                           |
| `tokens`      | the text that each token adds; "" for one that ends within a character                              |
| `own`         | 1: the policy wrote it; 0: a tool's output, for which the other lists hold 0 and the ratio 1        |
| `advantages`  | Â of each token                                                                                     |
| `ratios`      | r of each token, at the level of the loss                                                           |
| `events`      | 1 to 4: a clip event of that quadrant (`abcgrpo.quadrants`, at 0.2 whichever rule); 0: none         |
| `clipped`     | 1: the trained rule gives it another weight than r; null if the loss is TRL's own                |
| `prefix_gain` | V(s_{t+1}) − V(root): the mean reward of the group's responses that share the prefix up to and with |
|               | the token, less that of the group                                                                   |

The responses are those of the first process that have an advantage ≠ 0, the ones with the most clip events of the step
first: chosen to show events, not a random sample.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor
from transformers import TrainerCallback

from abcgrpo.files import json_line, read_json_lines, write_text
from abcgrpo.quadrants import clip_events
from abcgrpo.rules import Rule
from abcgrpo.run_files import TOKENS
from abcgrpo.tokens import tokens_of
from abcgrpo.trl.batch import Batch, loss_mask
from abcgrpo.trl.component import Component, LossPass, Metrics

NOTABLE = 1e-5
"""A weight that is further from the ratio than this, relative to it, is another weight; nearer is rounding."""


class TokenRecord(Component):
    """Keeps the candidates of the optimizer step that is being made, and writes them if it is logged.

    A resumed run from a state drops the lines of steps that it makes again.
    """

    name = "tokens"

    def __init__(self, trainer: Any, responses: int, rule: Rule | None) -> None:
        """
        Args:
            trainer: the trainer.
            responses: how many of each logged step.
            rule: the clipping rule of the loss; None if the loss is TRL's own.
        """
        super().__init__(trainer)
        self._responses = responses
        self._rule = rule
        self._path = Path(str(trainer.args.output_dir)) / TOKENS
        self._step: list[tuple[int, dict[str, Any]]] = []  # events and row, of the optimizer step that is being made
        self._last: list[dict[str, Any]] = []  # the rows of the last whole step
        trainer.add_callback(_TrainingBegins(self))

    def training_begins(self, step: int) -> None:
        """The run begins, or goes on, after `step` steps."""
        self._step, self._last = [], []
        if self.trainer.accelerator.is_main_process and self._path.exists():
            kept = [json_line(line) for line in read_json_lines(self._path) if line["step"] <= step]
            write_text(self._path, "".join(kept))

    @torch.no_grad()
    def loss_computed(self, passed: LossPass, metrics: Metrics) -> None:
        if passed.logprobs is None or "prefix_gain" not in passed.batch:
            return  # an evaluation, or not TRL's own way from rollout to loss
        if not self.trainer.accelerator.is_main_process:
            return
        batch, level = passed.batch, self.trainer.importance_sampling_level
        old_logprobs = batch.get("old_per_token_logps", passed.logprobs)
        tokens = tokens_of(passed.logprobs, old_logprobs, batch["advantages"], loss_mask(batch), level)
        events = clip_events(tokens.ratio, tokens.advantages, tokens.mask)
        count = torch.stack(list(events)).sum((0, 2))
        zero_advantage = (tokens.advantages == 0).all(1)
        order = torch.where(zero_advantage, -1, count).argsort(descending=True, stable=True)[: self._responses]
        chosen = order[~zero_advantage[order]]
        columns = {
            "own": tokens.mask.long(),
            "advantages": tokens.advantages,
            "ratios": tokens.ratio,
            "events": torch.stack([number * event for number, event in enumerate(events, start=1)]).sum(0),
            "prefix_gain": torch.where(tokens.mask, batch["prefix_gain"], 0.0),
        }
        if self._rule is not None:
            other = (self._rule.weight(tokens) - tokens.ratio).abs() > NOTABLE * tokens.ratio
            columns["clipped"] = (other & (tokens.advantages != 0)).long()
        for row in chosen.tolist():
            self._step.append((int(count[row]), self._row(batch, row, columns)))
        self._step.sort(key=lambda candidate: -candidate[0])  # stable: the earlier one comes first
        del self._step[self._responses :]

    def _row(self, batch: Batch, row: int, columns: dict[str, Tensor]) -> dict[str, Any]:
        there = batch["completion_mask"][row].bool()
        return {
            "prompt": batch["prompt_ids"][row][batch["prompt_mask"][row].bool()].tolist(),
            "reward": batch["rewards"][row].item(),
            "tokens": batch["completion_ids"][row][there].tolist(),
            **{name: values[row][there].tolist() for name, values in columns.items()},
        }

    def step_ends(self, passed: LossPass, metrics: Metrics) -> None:
        if passed.training:
            self._last = [row for _, row in self._step]
            self._step = []

    def log_ends(self, logs: Any) -> None:
        if "loss" not in logs:  # of an evaluation, or of the whole run
            return
        if self._last:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write("".join(json_line(self._line(row)) for row in self._last))
        self._last = []

    def _line(self, row: dict[str, Any]) -> dict[str, Any]:
        tokenizer = getattr(self.trainer.processing_class, "tokenizer", self.trainer.processing_class)
        return {
            "step": self.trainer.state.global_step,
            "prompt": tokenizer.decode(row["prompt"]),
            "reward": row["reward"],
            "tokens": pieces(tokenizer, row["tokens"]),
            "own": row["own"],
            "advantages": _short(row["advantages"]),
            "ratios": _short(row["ratios"]),
            "events": row["events"],
            "clipped": row.get("clipped"),
            "prefix_gain": _short(row["prefix_gain"]),
        }


def pieces(tokenizer: Any, ids: list[int]) -> list[str]:
    """What each token adds to the text; joined they are the text, unless it ends within a character."""
    if not tokenizer.is_fast:
        return [tokenizer.decode([token]) for token in ids]
    stream = DecodeStream(skip_special_tokens=False)
    return [stream.step(tokenizer.backend_tokenizer, token) or "" for token in ids]


def _short(values: list[float]) -> list[float]:
    """Five significant digits are enough to look at."""
    return [float(f"{value:.5g}") for value in values]


class _TrainingBegins(TrainerCallback):
    def __init__(self, record: TokenRecord) -> None:
        self.record = record

    def on_train_begin(self, args, state, control, **kwargs):
        self.record.training_begins(state.global_step)
