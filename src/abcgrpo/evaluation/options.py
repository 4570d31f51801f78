"""How models are evaluated: the options of `abcgrpo evaluate`, which the section `evaluation:` of an experiment shares.

Each field is written here once, with its default, its description (the help of the command line) and its check.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from abcgrpo.errors import UserError
from abcgrpo.evaluation.samplers import BATCH_SIZES
from abcgrpo.evaluation.samplers.server import CONCURRENCY, RETRIES


class EvaluationOptions(BaseModel):
    """Which library generates answers, how many for each problem, and how.

    Raises:
        ValidationError: an unknown name, a value out of range, or an option that would have no effect.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    questions: int | None = Field(
        default=None,
        ge=1,
        description="Number of problems, from the first. Default: all problems of a file, 128 of a generator.",
    )
    samples: int = Field(default=64, ge=1, description="Answers per problem. Take more than the largest k of Pass@k.")
    sampler: Literal["transformers", "vllm", "server"] = Field(
        default="transformers", description="What generates the answers: transformers, vllm, or a server."
    )
    server: str | None = Field(
        default=None,
        description="URL of a server with OpenAI's interface, ending in /v1. It then generates the answers.",
    )
    concurrency: int | None = Field(
        default=None, ge=1, description=f"Requests to the server at the same time. Default: {CONCURRENCY}."
    )
    retries: int | None = Field(
        default=None,
        ge=0,
        description=f"Number of times that a failed request to the server is repeated. Default: {RETRIES}.",
    )
    timeout: float | None = Field(
        default=None,
        gt=0,
        description="Seconds until a request to the server fails. Default: a quarter second per token, at least 600.",
    )
    temperature: float | None = Field(
        default=None,
        ge=0,
        description="Sampling temperature. 0 takes the most likely token. Default: as the task says.",
    )
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Sample from the most likely tokens with this total probability."
    )
    top_k: int | None = Field(
        default=None, ge=0, description="Sample from this number of most likely tokens. 0: from all tokens."
    )
    max_new_tokens: int | None = Field(default=None, ge=1, description="Maximum number of tokens per answer.")
    batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Answers that are generated and saved together; another size draws other answers. Default: "
        f"{', '.join(f'{size} with {sampler}' for sampler, size in BATCH_SIZES.items())}.",
    )
    seed: int = Field(default=0, description="Seed of the sampling.")

    @model_validator(mode="before")
    @classmethod
    def _sampler_of_a_server(cls, given: Any) -> Any:
        """The URL of a server says by itself that the server generates the answers."""
        if isinstance(given, dict) and given.get("server") is not None and "sampler" not in given:
            return given | {"sampler": "server"}
        return given

    @model_validator(mode="after")
    def _without_effect(self) -> "EvaluationOptions":
        if self.server is None:
            for name in ("concurrency", "retries", "timeout"):
                if getattr(self, name) is not None:
                    raise UserError(f"{name} has no effect without server, the URL of a server: give it as well.")
            if self.sampler == "server":
                raise UserError("sampler server needs its URL: server http://…/v1")
        elif self.sampler != "server":
            raise UserError(
                f"server generates the answers on a server, sampler {self.sampler} in this process: give one of them."
            )
        return self

    @property
    def connection(self) -> dict[str, Any]:
        """Arguments of the server's sampler; empty for the others."""
        if self.server is None:
            return {}
        given = {"concurrency": self.concurrency, "retries": self.retries, "timeout": self.timeout}
        return {"url": self.server} | {name: value for name, value in given.items() if value is not None}
