"""Algorithm 1 of ABC-GRPO in plain PyTorch: a policy learns to write digits in ascending order.

    python examples/plain_pytorch.py              # ABC-GRPO
    python examples/plain_pytorch.py cispo        # any other clipping rule by its name

What a trainer adds (a language model, sampling at speed, evaluation, resume) is left out; the loop is the whole of it.
"""

import sys

import torch
from torch import Tensor, nn

from abcgrpo import group_advantages, policy_loss
from abcgrpo.rules import resolve_rule

PROMPTS, GROUP, LENGTH, DIGITS = 8, 8, 6, 10
MINI_BATCHES = 4


class Policy(nn.Module):
    """Logits of the next digit, from the digit before it; the first one follows the prompt, a digit itself."""

    def __init__(self) -> None:
        super().__init__()
        self.next = nn.Embedding(DIGITS, DIGITS)
        nn.init.zeros_(self.next.weight)

    def logprobs(self, prompts: Tensor, responses: Tensor) -> Tensor:
        """Of each digit of the responses; (B, LENGTH)."""
        before = torch.cat([prompts[:, None], responses[:, :-1]], dim=1)
        return self.next(before).log_softmax(-1).gather(-1, responses[..., None]).squeeze(-1)

    @torch.no_grad()
    def sample(self, prompts: Tensor) -> Tensor:
        digits = [prompts]
        for _ in range(LENGTH):
            digits.append(torch.distributions.Categorical(logits=self.next(digits[-1])).sample())
        return torch.stack(digits[1:], dim=1)


def train(rule_name: str = "abc_grpo", rollouts: int = 60) -> list[float]:
    """The mean reward of each rollout."""
    torch.manual_seed(0)
    policy, rule, mean_rewards = Policy(), resolve_rule(rule_name), []
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    for _ in range(rollouts):
        prompts = torch.randint(DIGITS, (PROMPTS,)).repeat_interleave(GROUP)  # G responses to each prompt
        responses = policy.sample(prompts)
        rewards = (responses.diff(dim=1) >= 0).float().mean(1)  # the share of steps that do not go down
        advantages = group_advantages(rewards, GROUP)  # eq. 3
        old_logprobs = policy.logprobs(prompts, responses).detach()
        for rows in torch.randperm(len(prompts)).chunk(MINI_BATCHES):  # r = 1 in the first, and moves in the others
            logprobs = policy.logprobs(prompts[rows], responses[rows])
            mask = torch.ones_like(logprobs)  # every digit counts
            loss = policy_loss(logprobs, old_logprobs[rows], advantages[rows], mask, rule)  # eq. 5 to 8
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        mean_rewards.append(rewards.mean().item())
    return mean_rewards


if __name__ == "__main__":
    found = train(*sys.argv[1:2])
    print(f"mean reward: {found[0]:.2f} in the first rollout, {found[-1]:.2f} in the last")
