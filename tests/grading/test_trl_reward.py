"""The reward inside TRL's own training loop, with an answer that never ends among the completions."""

import pytest

from abcgrpo.grading import accuracy_reward

trainers = pytest.importorskip("tests.trl.trainers")


@pytest.mark.slow
def test_inside_a_trl_reward_call(tmp_path):
    written = [r"\boxed{\sqrt{12}}", r"\boxed{9^{9^{9^9}}}", r"\boxed{7}", "none"] * 2

    def reward(completions, log_metric, **columns):
        assert len(completions) == len(written)
        return accuracy_reward(written, answer=[r"2\sqrt{3}"] * len(written), log_metric=log_metric, **columns)

    trainer = trainers.host_trainer(tmp_path, max_steps=1, reward=reward)
    trainer.train()
    (logged,) = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert logged["reward"] == pytest.approx(0.25)
    assert logged["grading/timeout"] == pytest.approx(0.25)
    assert logged["grading/no_answer"] == pytest.approx(0.25)
    assert logged["grading/unparsable_gold"] == 0.0
