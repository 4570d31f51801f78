"""The fast update stands in the middle of TRL's private methods. When one changes, somebody has to read it."""

import hashlib
import inspect

import pytest
from trl import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head, shuffle_sequence_dict, split_tensor_dict

READ = {
    GRPOTrainer._generate_and_score_completions: "1fa48922792d",
    GRPOTrainer._prepare_inputs: "f824e7fb0714",
    GRPOTrainer.training_step: "9e18632f7dd8",
    add_fused_lm_head: "422d009f04b6",
    shuffle_sequence_dict: "bab038755e57",
    split_tensor_dict: "b61a5760a03e",
}
"""What of trl 1.16.0 the update relies on beside `tests/trl/test_host_drift.py`, and a digest of the source read."""


@pytest.mark.parametrize("function", READ, ids=lambda function: function.__name__)
def test_the_function_is_the_one_that_was_read(function):
    digest = hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:12]
    assert digest == READ[function], f"{function.__qualname__} changed: read it, then write its digest {digest} here"
