"""The prompt: one template, for training and for evaluation."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from abcgrpo.errors import UserError, unknown_name

Prompt = str | list[dict[str, str]]
"""What TRL calls a prompt: text as it is, or a conversation for the model's chat template."""

PLACE = "{problem}"
Form = Literal["chat", "plain"]
FORMS: tuple[Form, ...] = ("chat", "plain")


@dataclass(frozen=True)
class PromptTemplate:
    """How a problem is put to a model.

    Raises:
        UserError: a text without exactly one `{problem}`, or an unknown form.
    """

    text: str
    """Holds `{problem}` once; all else, other braces included, stays as it is."""
    form: Form = "chat"
    """`chat`: a conversation, for models with a chat template. `plain`: the text itself, for models without."""

    def __post_init__(self) -> None:
        if self.text.count(PLACE) != 1:
            raise UserError(f"A prompt template holds {PLACE} exactly once, and {self.text!r} does not.")
        if self.form not in FORMS:
            raise unknown_name("form", self.form, FORMS, "prompt template")

    def render(self, problem: str | list[dict[str, Any]]) -> Prompt:
        """The prompt of a problem.

        A problem that is a conversation (a system prompt, several turns) stays one: the text goes around its last
        message, which is the user's.

        Raises:
            UserError: a conversation in the form `plain`, or one that does not end with the user's text.
        """
        if isinstance(problem, str):
            text = self.text.replace(PLACE, problem)
            return text if self.form == "plain" else [{"role": "user", "content": text}]
        if self.form == "plain":
            raise UserError("A problem that is a conversation needs the prompt form `chat`, and a chat template.")
        last = problem[-1] if problem else {}
        if last.get("role") != "user" or not isinstance(last.get("content"), str):
            raise UserError(f"A problem that is a conversation should end with a user's message, not {last!r:.120}.")
        return [*problem[:-1], last | {"content": self.text.replace(PLACE, last["content"])}]

    def changed(self, text: str | None = None, form: str | None = None) -> "PromptTemplate":
        """This template with what is given instead; see the class for what it raises."""
        return PromptTemplate(self.text if text is None else text, self.form if form is None else form)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, str]:
        """The template as results keep it."""
        return asdict(self)


def problem_text(problem: str | list[dict[str, Any]]) -> str:
    """A problem as one text, to compare, hash and measure: of a conversation its JSON."""
    return problem if isinstance(problem, str) else json.dumps(problem)


def prompt_tokens(tokenizer: Any, prompt: Prompt, model: str) -> list[int]:
    """The tokens of a prompt: of the text, or of what the chat template makes of the conversation.

    Raises:
        UserError: a conversation for a model without a chat template.
    """
    if isinstance(prompt, str):
        return tokenizer(prompt).input_ids
    if not tokenizer.chat_template:
        raise UserError(
            f"{model} has no chat template, so it cannot take a prompt of the form `chat`. Use "
            f"--prompt-form plain (in recipes prompt_form: plain)."
        )
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False).input_ids


THE_PAPERS = PromptTemplate(r"Please reason step by step, and put your final answer within \boxed{}. {problem}")
"""The paper's sentence before the problem, as one user message."""
BARE = PromptTemplate("{problem}", "plain")
"""The problem and nothing else."""
