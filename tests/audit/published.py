"""Where the logs are that the paper's authors published. They are no part of this project."""

import os
from pathlib import Path

import pytest

PUBLISHED = Path(os.environ.get("ABCGRPO_PUBLISHED_LOGS", Path(__file__).parents[3] / "shared" / "data" / "published"))
needs_published_logs = pytest.mark.skipif(
    not (PUBLISHED / "Qwen3-4B-Base-grpo" / "trainer_state.json").exists(),
    reason="needs the authors' four training logs: $ABCGRPO_PUBLISHED_LOGS/Qwen3-{1.7B,4B}-Base-{grpo,abc-grpo}/",
)


def log(size: str, method: str) -> Path:
    """A published `trainer_state.json`."""
    return PUBLISHED / f"Qwen3-{size}-Base-{method}" / "trainer_state.json"
