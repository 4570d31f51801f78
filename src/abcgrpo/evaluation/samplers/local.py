"""Answers by `transformers`' `generate`, on a GPU if there is one."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from abcgrpo.evaluation.adapters import is_adapter, load_with_adapter, tokenizer_place
from abcgrpo.evaluation.sampling import Sample, Sampling
from abcgrpo.generation import fast_generation
from abcgrpo.tasks.prompts import Prompt, prompt_tokens
from abcgrpo.tasks.sources import model_not_loaded


class TransformersSampler:
    """Draws a batch at once, so the first seed of a batch is the batch's."""

    def __init__(self, model: str, sampling: Sampling) -> None:
        """Load a model from a directory, an adapter's too, or the hub.

        Raises:
            UserError: it cannot be loaded.
        """
        adapted, place = load_with_adapter(model) if is_adapter(model) else None, tokenizer_place(model)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(place, padding_side="left")
            network = adapted or AutoModelForCausalLM.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise model_not_loaded(model, error) from error
        self.name = model
        self.model: Any = network.eval()
        self.dtype = str(network.dtype).removeprefix("torch.")
        """Dtype of the weights, which is the checkpoint's."""
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.ends = _end_tokens(self.model.generation_config.eos_token_id) | _end_tokens(self.tokenizer.eos_token_id)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        greedy = sampling.temperature == 0
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        self.generation = GenerationConfig(
            do_sample=not greedy,
            max_new_tokens=sampling.max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=sorted(self.ends),
            **({} if greedy else drawn),
        )

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], drawn: dict[int, Sample] | None = None
    ) -> list[Sample]:
        """An answer to each prompt; the same batch with the same first seed gives the same answers."""
        torch.manual_seed(seeds[0])
        encoded: list[list[int]] = []
        for at, prompt in enumerate(prompts):  # the samples of a problem follow one another
            again = at > 0 and prompt == prompts[at - 1]
            encoded.append(encoded[-1] if again else prompt_tokens(self.tokenizer, prompt, self.name))
        inputs = self.tokenizer.pad({"input_ids": encoded}, return_tensors="pt").to(self.model.device)
        with fast_generation(self.model):
            output = self.model.generate(**inputs, generation_config=self.generation)
        return [self._sample(tokens) for tokens in output[:, inputs["input_ids"].shape[1] :].tolist()]

    def _sample(self, tokens: list[int]) -> Sample:
        length = next((at + 1 for at, token in enumerate(tokens) if token in self.ends), None)
        text = self.tokenizer.decode(tokens[:length], skip_special_tokens=True)
        return Sample(text, length or len(tokens), "length" if length is None else "stop")


def _end_tokens(ids: int | list[int] | None) -> set[int]:
    return {ids} if isinstance(ids, int) else set(ids or ())
