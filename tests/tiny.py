"""The smallest training that tests of the command line run: two steps of the shipped base on a CPU."""

from textwrap import indent

TINY_TRAINING = """
per_device_train_batch_size: 16
steps_per_generation: 2
num_generations: 8
max_completion_length: 24
max_steps: 2
learning_rate: 1e-4
loss_type: grpo
scale_rewards: none
bf16: false
gradient_checkpointing: false
dataloader_pin_memory: false
logging_steps: 1
save_steps: 2
save_only_model: true
"""
"""As a recipe has it."""
TINY_SECTION = f"training:{indent(TINY_TRAINING, '  ')}"
"""As an experiment has it."""
