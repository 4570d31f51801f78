"""What models are trained and measured on: problems, their prompts, and how an answer is graded.

| module          | subject                                                                        |
|-----------------|--------------------------------------------------------------------------------|
| `task`          | `Task`: rows, prompt, grade, reward, sampling and truth in one object          |
| `registry`      | `get_task`: from a name, `reasoning-gym/NAME`, a file or an import path         |
| `own`           | a file and a function; TRL's convention                                        |
| `prompts`       | the prompt template                                                            |
| `sources`       | rows from files and from the hub                                               |
| `mathematics`   | problems with one final answer, and `benchmarks` by name                       |
| `countdown`     | a task that is generated, with a small base                                    |
| `reasoning_gym` | the data sets of reasoning-gym                                                |
| `generated`     | what tasks that generate their problems share; `pretrain` makes their bases    |
| `bases`         | models by name                                                                 |
| `parquet`       | rows as verl reads them                                                        |
"""

from abcgrpo.tasks.bases import BASES, resolve_model
from abcgrpo.tasks.registry import DEFAULT, Spec, get_rewards, get_task, spec_text
from abcgrpo.tasks.task import Row, SamplingDefaults, Task, TrainingData, with_prompts

__all__ = [
    "BASES",
    "DEFAULT",
    "Row",
    "SamplingDefaults",
    "Spec",
    "Task",
    "TrainingData",
    "get_rewards",
    "get_task",
    "resolve_model",
    "spec_text",
    "with_prompts",
]
