"""A decoding loop for `transformers`' `generate`: the same distribution as its own, from less work.

- Rows that have ended leave the batch; the original computes them until the longest one ends.
- What rows have in common is computed once: the prompt of the answers of a group, or of the samples of a problem, and
  then every beginning of an answer that several of them share. Such a beginning is called a prefix here.
- New tokens are written behind the old ones; the original copies all keys and values at every token.

Every row is drawn from the model's distribution as before, by a random number of its own. These are dealt out to other
rows than in the original's loop, so a seed gives other answers than there, and the same ones every time.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, StoppingCriteriaList
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.generation import logits_process as processors
from transformers.generation.stopping_criteria import EosTokenCriteria, MaxLengthCriteria
from transformers.integrations.fsdp import is_fsdp_managed_module

from abcgrpo.dropout import active_dropout
from abcgrpo.generation.cache import RoomyLayer

logger = logging.getLogger(__name__)

ROW_BY_ROW = (
    processors.TemperatureLogitsWarper,
    processors.TopKLogitsWarper,
    processors.TopPLogitsWarper,
    processors.MinPLogitsWarper,
    processors.TypicalLogitsWarper,
    processors.EpsilonLogitsWarper,
    processors.MinLengthLogitsProcessor,
    processors.MinNewTokensLengthLogitsProcessor,
    processors.SuppressTokensLogitsProcessor,
)
"""Processors that look at a row's own scores and length only, and keep nothing of the batch."""

INPUTS = {"attention_mask", "position_ids", "past_key_values", "use_cache", "logits_to_keep", "cache_position"}
"""What `generate` prepares for a text."""


def decode(
    model: Any,
    input_ids: Any,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    **model_kwargs: Any,
) -> Any:
    """For `model.generate(custom_generate=decode)`. What this loop cannot do is left to the model's own, and logged.

    Args:
        model: as `generate` was called on.
        input_ids: (B, P), padded on the left.
        logits_processor: as `generate` has built them.
        stopping_criteria: likewise.
        generation_config: likewise.
        model_kwargs: arguments of the model's forward pass.

    Returns:
        (B, P + T), prompts and answers, padding behind the end of an answer; T tokens of the longest answer.
    """
    reason = _why_not(model, input_ids, logits_processor, stopping_criteria, generation_config, model_kwargs)
    if reason:
        _tell(reason)
        own: Any = type(model)
        return own._sample(model, input_ids, logits_processor, stopping_criteria, generation_config, **model_kwargs)
    choose = _drawn if generation_config.do_sample else _greedy
    ends: Tensor | None = getattr(generation_config, "_eos_token_tensor", None)
    padding: Tensor | None = getattr(generation_config, "_pad_token_tensor", None)
    prompt = input_ids.size(1)
    longest = stopping_criteria.max_length
    assert longest is not None, "checked"
    sequences = input_ids.new_full((len(input_ids), longest), 0 if padding is None else int(padding))
    sequences[:, :prompt] = input_ids
    mask = torch.ones_like(sequences)
    if (given := model_kwargs.get("attention_mask")) is not None:  # `generate` leaves out a mask of ones
        mask[:, :prompt] = given
    positions = mask.cumsum(1) - 1
    mask = None if mask.all() else mask  # attention needs none then, and is faster without
    rows = torch.arange(len(input_ids), device=input_ids.device)  # those that have not ended
    layers = [RoomyLayer(len(rows)) for _ in model_kwargs["past_key_values"].layers]
    kept = Cache(layers=list(layers))
    begins = input_ids if mask is None else torch.cat([input_ids, mask[:, :prompt]], dim=1)
    prefix = torch.unique(begins, dim=0, return_inverse=True)[1]  # of each row; the model's batch is one of prefixes
    new = slice(0, prompt)  # the tokens that the cache does not hold yet
    for width in range(prompt, longest):
        example = _example_of(prefix, rows)
        seen = None if mask is None else mask[example, :width]
        logits = _forward(model, kept, sequences[example, new], seen, positions[example, new].clamp(min=0))
        tokens = choose(logits_processor(sequences[example, :width], logits), prefix)
        sequences[rows, width] = tokens
        if ends is not None:
            left = torch.isin(tokens, ends).logical_not().nonzero().squeeze(1)
            rows, tokens, prefix = rows[left], tokens[left], prefix[left]
        if width + 1 == longest or not len(rows):
            return sequences[:, : width + 1]
        prefix, sources, targets, count = _grown(prefix, tokens, logits.size(1))
        for layer in layers:
            layer.move(sources, targets, count)
        new = slice(width, width + 1)
    return sequences


@contextmanager
def fast_generation(model: Any) -> Iterator[None]:
    """`model.generate` decodes with `decode` within this context, on a CPU; elsewhere nothing changes.

    Args:
        model: a model of transformers, without wrappers; adapters that change weights may be in it.
    """
    if not _on_cpu(model):
        yield
        return
    model.generate = partial(model.generate, custom_generate=decode)
    try:
        yield
    finally:
        del model.generate


def _example_of(prefix: Tensor, rows: Tensor) -> Tensor:
    """A row that starts with each prefix; which one does not matter."""
    example = rows.new_empty(int(prefix.max()) + 1)
    example[prefix] = rows
    return example


def _grown(prefix: Tensor, tokens: Tensor, vocabulary: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """The prefixes when each row has one token more, and what has to move so that the cache is theirs.

    Prefixes are numbered without gaps. As many as can keep their number, and so their place in the cache: the first
    continuation of a prefix, unless the number is too high now. The others take the numbers that are free.

    Args:
        prefix: (R,), the number of each row's prefix.
        tokens: (R,), what each row goes on with.
        vocabulary: how many different tokens there are.

    Returns:
        (R,), the new number of each row's prefix; (M,) and (M,), from where and to where the cache is copied; and how
        many prefixes there are. No place is both copied from and copied to.
    """
    longer, which = torch.unique(prefix * vocabulary + tokens, return_inverse=True)
    before, count = longer // vocabulary, len(longer)
    stays = before < count
    stays[1:] &= before[1:] != before[:-1]
    number = torch.empty_like(longer)
    number[stays] = before[stays]
    free = torch.ones(count, dtype=torch.bool, device=longer.device)
    free[before[stays]] = False
    places = free.nonzero().squeeze(1)
    number[~stays] = places
    return number[which], before[~stays], places, count


def _forward(model: PreTrainedModel, kept: Cache, ids: Tensor, mask: Tensor | None, positions: Tensor) -> Tensor:
    """Logits of the last token of each row, float32; the cache grows by `ids`."""
    takes = signature(type(model).forward).parameters
    last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "past_key_values": kept} | last
    return model(**inputs, use_cache=True).logits[:, -1].float()


def _drawn(scores: Tensor, prefix: Tensor) -> Tensor:
    """A token for each row, from the scores of its prefix."""
    return torch.multinomial(scores.softmax(-1)[prefix], 1).squeeze(1)


def _greedy(scores: Tensor, prefix: Tensor) -> Tensor:
    return scores.argmax(-1)[prefix]


def _on_cpu(model: Any) -> bool:
    """Whole weights on a CPU: on a GPU, and where weights are sharded, transformers' own loop is the better one."""
    weights = list(model.parameters())
    sharded = is_fsdp_managed_module(model) or any(
        hasattr(weight, "ds_id") or hasattr(weight, "device_mesh") for weight in weights
    )
    return not sharded and {weight.device.type for weight in weights} == {"cpu"}


def _why_not(
    model: Any,
    input_ids: Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    config: GenerationConfig,
    inputs: dict[str, Any],
) -> str:
    past = inputs.get("past_key_values")
    given = {name for name, value in inputs.items() if value is not None}
    if model.config.is_encoder_decoder or given - INPUTS:
        return f"more than a text is generated from ({', '.join(sorted(given - INPUTS)) or 'an encoder'})"
    if not {"attention_mask", "position_ids"} <= signature(type(model).forward).parameters.keys():
        return f"{type(model).__name__} takes no mask and positions"
    if type(past) is not DynamicCache or not past.layers or {type(layer) for layer in past.layers} != {DynamicLayer}:
        return f"{type(model).__name__} keeps more than the keys and values of full attention"
    if past.get_seq_length():
        return "the cache is not new"
    if past.offloading:
        return "the cache is kept elsewhere"
    if model.training and (dropout := active_dropout(model)):
        return f"{dropout}, so that answers have nothing in common"
    if config.num_beams != 1 or config.return_dict_in_generate or config.prefill_chunk_size is not None:
        return "beams, scores or a prompt in pieces are asked for"
    if stopping_criteria.max_length is None or stopping_criteria.max_length <= input_ids.size(1):
        return "there is no length limit"
    for part, known in ((logits_processor, ROW_BY_ROW), (stopping_criteria, (EosTokenCriteria, MaxLengthCriteria))):
        for each in part:
            if type(each) not in known:
                return f"{type(each).__name__} may look at the whole batch"
    return ""


@cache
def _tell(reason: str) -> None:
    """Once for each reason."""
    logger.info("Generation by transformers' own loop: %s.", reason)
