"""Answers from a server with OpenAI's interface: vLLM, SGLang, `transformers serve`, or one on the net."""

import asyncio
import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from abcgrpo.errors import UserError
from abcgrpo.evaluation.sampling import Sample, Sampling
from abcgrpo.tasks.prompts import Prompt

CONCURRENCY = 32
"""Requests under way at once."""
RETRIES = 5
"""How often a request that failed is sent again."""
SHORTEST_LIMIT = 600.0
SECONDS_PER_TOKEN = 0.25
"""The time that one try may take unless a limit is given: as much for each token of the longest answer, and at least
`SHORTEST_LIMIT` seconds, since a busy server is slow."""
PASSING = (408, 409, 429)
"""Statuses that pass, beside those from 500 on."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before the second try, doubled before each further one."""


class BadReplyError(Exception):
    """A reply that holds no answer, though its status is 200."""


class ServerSampler:
    """Asks for one answer at a time (some servers ignore `n`), several at once, each with its own seed.

    Whether a seed is obeyed is the server's affair. A conversation goes to /chat/completions, text to /completions.
    Fields that leave things as they are (top_p = 1, top_k = 0) are not sent, since some servers refuse unknown ones;
    top_k is vLLM's and SGLang's, not OpenAI's.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        url: str,
        concurrency: int = CONCURRENCY,
        retries: int = RETRIES,
        timeout: float | None = None,
    ) -> None:
        """Nothing is sent yet. The key is taken from OPENAI_API_KEY, if it is set.

        Args:
            model: what the server calls the model.
            sampling: how answers are drawn.
            url: up to and with /v1.
            concurrency: answers under way at once.
            retries: how often a request is sent again, waiting longer each time, after a broken connection, a reply
                that holds no answer or does not come in time, or the statuses 408, 409, 429 and 5xx.
            timeout: seconds that one try may take, from sending to the last byte; by default a quarter of a second for
                each token of `sampling.max_new_tokens`, and at least 600.

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
        self.timeout = timeout or max(SHORTEST_LIMIT, SECONDS_PER_TOKEN * sampling.max_new_tokens)
        self._fields: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_new_tokens}
        if sampling.top_p != 1:
            self._fields["top_p"] = sampling.top_p
        if sampling.top_k:
            self._fields["extra_body"] = {"top_k": sampling.top_k}

    def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], drawn: dict[int, Sample] | None = None
    ) -> list[Sample]:
        """An answer to each prompt.

        Args:
            prompts: what is asked.
            seeds: one for each.
            drawn: filled by position as answers come, so that none is lost where this raises. After a first request
                that failed for good no further one is sent; those under way are waited for.

        Raises:
            UserError: the server refuses, or a request failed after all retries.
        """
        answers: dict[int, Sample] = {} if drawn is None else drawn
        asyncio.run(self._sample_all(prompts, seeds, answers))
        return [answers[at] for at in range(len(prompts))]

    async def _sample_all(self, prompts: Sequence[Prompt], seeds: Sequence[int], answers: dict[int, Sample]) -> None:
        free = asyncio.Semaphore(self.concurrency)
        failures: list[UserError] = []
        async with self._openai.AsyncOpenAI(
            base_url=self.url, api_key=os.environ.get("OPENAI_API_KEY", "none"), max_retries=0, timeout=None
        ) as client:

            async def answer(at: int) -> None:
                async with free:
                    if not failures:
                        try:
                            answers[at] = await self._sample_one(client, prompts[at], seeds[at])
                        except UserError as error:
                            failures.append(error)

            await asyncio.gather(*map(answer, range(len(prompts))))
        if failures:
            raise failures[0]

    async def _sample_one(self, client: Any, prompt: Prompt, seed: int) -> Sample:
        """An answer, after as many tries as it takes and `retries` allows.

        Raises:
            UserError: none of them gave one.
        """
        tries = 0
        while True:
            tries += 1
            asked_to_wait = None
            try:
                async with asyncio.timeout(self.timeout):
                    return _sample_in(await self._ask(client, prompt, seed), is_text=isinstance(prompt, str))
            except self._openai.APIStatusError as error:
                status = error.status_code
                message = f"{self.url} refused a request with status {status}: {error.response.text[:500]}"
                if status not in PASSING and status < 500:
                    raise UserError(message) from error
                asked_to_wait = error.response.headers.get("retry-after")
            except TimeoutError:
                message = (
                    f"{self.url} does not answer within {self.timeout:.0f} seconds. An answer that takes longer needs "
                    f"a higher limit: --timeout SECONDS."
                )
            except self._openai.APIConnectionError as error:
                message = f"{self.url} does not answer: {error.__cause__ or error}"
            except (BadReplyError, self._openai.APIError, ValueError) as error:  # a ValueError: not JSON, or not text
                message = f"{self.url} sent a reply without an answer: {error or type(error).__name__}"
            if tries > self.retries:
                raise UserError(f"{message} ({tries} {'try' if tries == 1 else 'tries'})")
            await asyncio.sleep(_wait(tries, asked_to_wait))

    async def _ask(self, client: Any, prompt: Prompt, seed: int) -> Any:
        if isinstance(prompt, str):
            return await client.completions.create(model=self.model, prompt=prompt, seed=seed, **self._fields)
        return await client.chat.completions.create(model=self.model, messages=prompt, seed=seed, **self._fields)


def _wait(tries: int, asked: str | None) -> float:
    """Seconds before the next try: what the server asks for, as far as it is a number of them and within reason."""
    seconds = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT)
    return min(max(seconds, float(asked)), LONGEST_WAIT) if asked and asked.replace(".", "", 1).isdigit() else seconds


def _sample_in(reply: Any, is_text: bool) -> Sample:
    """The answer in a reply. The client checks no types, so that anything may be anywhere.

    Raises:
        BadReplyError: it is not there.
    """
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise BadReplyError(f"no choice in {str(reply)[:300]!r}")
    choice = choices[0]
    text = getattr(choice, "text", None) if is_text else _message_text(getattr(choice, "message", None))
    if not isinstance(text, str):
        raise BadReplyError(f"no {'text' if is_text else 'message'} in {str(choice)[:300]!r}")
    tokens = getattr(getattr(reply, "usage", None), "completion_tokens", None)
    if not isinstance(tokens, int):
        raise BadReplyError(f"no usage.completion_tokens in {str(reply)[:300]!r}")
    return Sample(text, tokens, getattr(choice, "finish_reason", None) or "unknown")


def _message_text(message: Any) -> str | None:
    """What the model wrote. Servers that take the reasoning out of the answer send it in a field of its own."""
    if message is None or not hasattr(message, "content"):
        return None
    reasoning = getattr(message, "reasoning_content", None)
    content = message.content or ""
    return f"<think>{reasoning}</think>{content}" if reasoning else content
