"""Answers by vLLM in this process; the extra `vllm` brings it."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from transformers import AutoConfig

from abcgrpo.errors import UserError
from abcgrpo.evaluation.adapters import whole_model
from abcgrpo.evaluation.sampling import Sample, Sampling
from abcgrpo.tasks.prompts import Prompt, prompt_tokens
from abcgrpo.tasks.sources import model_not_loaded


class VLLMSampler:
    """Draws every answer with its own seed. How vLLM schedules them may change its sums, and with them an answer.

    The model computes in the numbers of its checkpoint, as with transformers: vLLM by itself would take bfloat16 for
    float32, and draw other answers.
    """

    def __init__(self, model: str, sampling: Sampling) -> None:
        """Load a model from a directory or the hub; an adapter is merged into its base first.

        Raises:
            UserError: vLLM is not installed, or the model cannot be loaded.
        """
        try:
            self._vllm: Any = import_module("vllm")
        except ImportError as error:
            raise UserError(
                f"vLLM cannot be imported ({error}). Install it (pip install 'abcgrpo[vllm]'; it needs a GPU), start a "
                f"vLLM server elsewhere and give its --server URL, or use --sampler transformers."
            ) from error
        self.name = model
        self.sampling = sampling
        with whole_model(model) as whole:
            try:
                dtype = AutoConfig.from_pretrained(whole).dtype
            except (OSError, ValueError) as error:
                raise model_not_loaded(model, error) from error
            self.dtype = str(dtype or "auto").removeprefix("torch.")
            """Dtype of the weights: the checkpoint's, or `auto` (vLLM's choice) if it names none."""
            self._engine = self._vllm.LLM(model=whole, dtype=self.dtype, seed=sampling.seed)
            self._tokenizer = self._engine.get_tokenizer()

    def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], drawn: dict[int, Sample] | None = None
    ) -> list[Sample]:
        """An answer to each prompt."""
        tokens = [{"prompt_token_ids": prompt_tokens(self._tokenizer, prompt, self.name)} for prompt in prompts]
        settings = [
            self._vllm.SamplingParams(
                n=1,
                temperature=self.sampling.temperature,
                top_p=self.sampling.top_p,
                top_k=self.sampling.top_k or -1,
                max_tokens=self.sampling.max_new_tokens,
                seed=seed,
            )
            for seed in seeds
        ]
        answered = [each.outputs[0] for each in self._engine.generate(tokens, settings, use_tqdm=False)]
        return [Sample(each.text, len(each.token_ids), each.finish_reason) for each in answered]
