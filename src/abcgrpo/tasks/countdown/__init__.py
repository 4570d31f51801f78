"""The countdown task: problems, verifier, and a tiny base model that has learnt the format but not the skill."""

from pathlib import Path

from abcgrpo.tasks.countdown.problems import Problem, generate, verify
from abcgrpo.tasks.generated import Base, generated_task

BASE_MODEL = Path(__file__).parent / "base"
"""A `Qwen3ForCausalLM` with a character tokenizer, made by `abcgrpo.tasks.pretrain`."""

LONGEST_ANSWER = 48

TASK = generated_task("countdown", generate, verify, ("numbers", "target"), LONGEST_ANSWER)
BASE = Base(generate, "0123456789+-*=,:>", steps=650)

__all__ = ["BASE", "BASE_MODEL", "TASK", "Problem", "generate", "verify"]
