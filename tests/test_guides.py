"""The examples of the pages "How to add …", and of `examples/`, run as they stand."""

import importlib
import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from abcgrpo import policy_loss
from abcgrpo.cli.app import app
from abcgrpo.files import read_json
from abcgrpo.rules import resolve_rule
from tests.experiments.in_process import command, in_process  # noqa: F401
from tests.rules.batches import token_batch

ROOT = Path(__file__).parent.parent


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A user's directory, in which commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    own = ("my_rules", "my_engine")
    for name in own:  # another test may have had modules of these names
        sys.modules.pop(name, None)
    yield tmp_path
    for name in own:
        sys.modules.pop(name, None)


def test_a_task_of_ones_own(in_process) -> None:  # noqa: F811
    """Every file and every command of the page, in their order."""
    sys.modules.pop("my_task", None)
    text = (ROOT / "docs/own-task.md").read_text()
    named = re.findall(r"`(\w+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in named] == ["make_data.py", "my_task.py", "mine.yaml"]
    for name, content in named:
        (in_process / name).write_text(content)
    seen = []
    for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        program, *arguments = line.split()
        if program == "python":
            runpy.run_path(arguments[0])
        else:
            result = command(*arguments)
            assert result.exception is None, result.output
            seen.append(result.output)
    assert json.loads((in_process / "test.jsonl").read_text().splitlines()[0]).keys() == {
        "problem",
        "numbers",
        "target",
    }
    evaluated, plan, _ = seen
    assert "Pass@16" in evaluated
    assert "NOTHING" not in evaluated
    assert "my_task" in plan
    report = read_json(in_process / "runs/mine/report/report.json")
    assert list(report["arms"]) == ["GRPO", "ABC-GRPO"]
    assert report["missing"] == []
    assert (in_process / "runs/mine/report/report.html").is_file()
    rows = {row["problem"]: row for row in map(json.loads, (in_process / "test.jsonl").read_text().splitlines())}
    grade = importlib.import_module("my_task").grade
    assert grade("4+10=14,14-3=11", {"numbers": [3, 4, 10], "target": 11})  # the page's example
    assert not grade("3*4=12,12-10=2", {"numbers": [3, 4, 10], "target": 2})
    assert len(rows) == 64
    sys.modules.pop("my_task", None)


def write_example(page: str, directory: Path) -> None:
    """The first Python block of a page, under the file name that the page gives it."""
    text = (ROOT / "docs" / page).read_text()
    (name,) = re.findall(r"`(my_\w+\.py)`", text)
    (directory / name).write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])


def test_a_rule_of_ones_own(directory) -> None:
    write_example("adding-a-rule.md", directory)
    rule = resolve_rule({"name": "my_rules.Confident", "eps": 0.2})
    assert rule.to_dict() == {"name": "my_rules.Confident", "eps": 0.2}
    batch = token_batch(0)
    logprobs = batch.logprobs.clone().requires_grad_()
    policy_loss(logprobs, batch.old_logprobs, batch.advantages, batch.mask, rule, normalizer=1.0).backward()
    ratio, old = (batch.logprobs - batch.old_logprobs).exp(), batch.old_logprobs.exp()
    inside = (ratio - 1).abs() < 0.2 * (1 - old)
    lengths = batch.mask.sum(1, keepdim=True).clamp(min=1)
    expected = torch.where(inside & batch.mask, -ratio * batch.advantages[:, None] / lengths, 0.0)
    assert inside[batch.mask].any()
    assert not inside[batch.mask].all()
    torch.testing.assert_close(logprobs.grad, expected)
    with pytest.raises(ValueError, match="eps must be a number ≥ 0"):
        resolve_rule({"name": "my_rules.Confident", "eps": -1})


def test_the_commands_of_the_page(directory) -> None:
    write_example("adding-a-rule.md", directory)
    for line in re.findall(r"^\$ abcgrpo (rules .*?)(?:  +#.*)?$", (ROOT / "docs/adding-a-rule.md").read_text(), re.M):
        arguments = [part.strip("'") for part in re.findall(r"'[^']*'|\S+", line)]
        result = CliRunner().invoke(app, arguments)
        assert result.exception is None, result.exception
        assert "the width for a token whose old probability was 0" in " ".join(result.output.split())


def test_a_rule_of_ones_own_is_trls_configuration(directory) -> None:
    write_example("adding-a-rule.md", directory)
    from abcgrpo.trl import ABCGRPOConfig

    config = ABCGRPOConfig("out", rule="my_rules.Confident", use_cpu=True, bf16=False, report_to=[])
    assert config.clipping_rule.to_dict() == {"name": "my_rules.Confident", "eps": 0.4}


def test_an_engine_of_ones_own(directory) -> None:
    write_example("adding-an-engine.md", directory)
    engine = importlib.import_module("my_engine")
    given = token_batch(1)
    batch = {
        "logprobs": given.logprobs.requires_grad_(),
        "old_logprobs": given.old_logprobs,
        "advantages": given.advantages,
        "response_mask": given.mask,
        "tokens_of_the_step": 100,
    }
    total, logged = engine.loss(batch, {"rule": {"name": "cispo", "cap": 2}})
    expected = policy_loss(*given, resolve_rule({"name": "cispo", "cap": 2}), "token_mean", normalizer=100)
    assert total == expected
    assert set(logged) == {"clip/q1", "clip/q2", "clip/q3", "clip/q4"}
    with pytest.raises(ValueError, match=r"kl_coefficient=0\.1 has no effect"):
        engine.loss(batch, {"rule": "grpo", "kl_coefficient": 0.1})
    with pytest.raises(ValueError, match="names no clipping rule"):
        engine.loss(batch, {})


@pytest.mark.parametrize("rule", ["abc_grpo", "grpo", "cispo"])
def test_the_loop_in_plain_pytorch_learns(rule: str) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "plain_pytorch.py"))
    rewards = example["train"](rule)
    assert sum(rewards[:5]) / 5 < 0.7
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.2
