"""Answers from a server with OpenAI's interface: vLLM, SGLang, `transformers serve`, or one on the net."""

import asyncio
import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.evaluation.sampling import Sample, Sampling
from abcgrpo.tasks.prompts import Prompt

TIMEOUT = 3600.0
"""Seconds that one answer may take: long ones on a busy server are slow."""


class ServerSampler:
    """Asks for one answer at a time (some servers ignore `n`), several at once, each with its own seed.

    Whether a seed is obeyed is the server's affair. A conversation goes to /chat/completions, text to /completions.
    Fields that leave things as they are (top_p = 1, top_k = 0) are not sent, since some servers refuse unknown ones;
    top_k is vLLM's and SGLang's, not OpenAI's.
    """

    def __init__(self, model: str, sampling: Sampling, url: str, concurrency: int = 32, retries: int = 5) -> None:
        """Nothing is sent yet.

        Args:
            model: what the server calls the model.
            sampling: how answers are drawn.
            url: up to and with /v1.
            concurrency: answers under way at once.
            retries: how often a request is sent again after a broken connection or the statuses 408, 409, 429 and 5xx,
                waiting longer each time. The key is taken from OPENAI_API_KEY, if it is set.

        Raises:
            UserError: the `openai` client is not installed.
        """
        try:
            self._openai: Any = import_module("openai")
        except ImportError as error:
            raise UserError(f'A server needs the openai client ({error}): pip install "abcgrpo[server]".') from error
        self.model = model
        self.url = url
        self.concurrency = concurrency
        self.retries = retries
        self._fields: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_new_tokens}
        if sampling.top_p != 1:
            self._fields["top_p"] = sampling.top_p
        if sampling.top_k:
            self._fields["extra_body"] = {"top_k": sampling.top_k}

    def sample(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Sample]:
        """An answer to each prompt.

        Raises:
            UserError: the server refuses, or is not there after all retries.
        """
        return asyncio.run(self._sample_all(prompts, seeds))

    async def _sample_all(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Sample]:
        free = asyncio.Semaphore(self.concurrency)
        async with self._openai.AsyncOpenAI(
            base_url=self.url,
            api_key=os.environ.get("OPENAI_API_KEY", "none"),
            max_retries=self.retries,
            timeout=TIMEOUT,
        ) as client:

            async def answer(prompt: Prompt, seed: int) -> Sample:
                async with free:
                    return await self._sample_one(client, prompt, seed)

            try:
                return await asyncio.gather(*map(answer, prompts, seeds))
            except self._openai.APIStatusError as error:
                raise UserError(
                    f"{self.url} refused a request with status {error.status_code}: {error.response.text[:500]}"
                ) from error
            except self._openai.APIConnectionError as error:
                raise UserError(f"{self.url} does not answer, {self.retries} retries included: {error}") from error

    async def _sample_one(self, client: Any, prompt: Prompt, seed: int) -> Sample:
        if isinstance(prompt, str):
            answered = await client.completions.create(model=self.model, prompt=prompt, seed=seed, **self._fields)
        else:
            answered = await client.chat.completions.create(
                model=self.model, messages=prompt, seed=seed, **self._fields
            )
        if not answered.choices or answered.usage is None:
            raise UserError(f"{self.url} sent a reply without an answer or without its number of tokens: {answered}")
        choice = answered.choices[0]
        text = choice.text if isinstance(prompt, str) else _message_text(choice.message)
        return Sample(text, answered.usage.completion_tokens, choice.finish_reason or "unknown")


def _message_text(message: Any) -> str:
    """What the model wrote. Servers that take the reasoning out of the answer send it in a field of its own."""
    reasoning = getattr(message, "reasoning_content", None)
    content = message.content or ""
    return f"<think>{reasoning}</think>{content}" if reasoning else content
