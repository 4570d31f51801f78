"""Grading that never hangs: one grader for training rewards and for evaluation.

| module          | subject                                                             |
|-----------------|---------------------------------------------------------------------|
| `extraction`    | response → the content of its last box                              |
| `normalization` | one spelling for what can be written in many                        |
| `structure`     | lists, sets, tuples, intervals; `members` compares them             |
| `atoms`         | one element and its unit; `units`, `clock`, `number_words`          |
| `rationals`     | the exact value of an arithmetical expression                       |
| `reading`       | what mathematics says, every token in its place; `expressions`      |
| `equations`     | labels, chains of equations, what is solved                         |
| `exact`         | True, False or "only algebra can tell"                              |
| `symbolic`      | algebra, by sympy (`conversion`, `values`); in `worker`s only       |
| `pool`          | worker processes with limits on CPU time, wall clock and memory     |
| `grader`        | `grade`, `grade_batch`                                              |
| `rewards`       | the reward signatures of TRL and verl                               |
| `rows`, `files` | checking rows of data; grading a file                               |

Numbers are equal or different: there is no tolerance.
"""

from abcgrpo.grading.extraction import extract_answer
from abcgrpo.grading.files import grade_file
from abcgrpo.grading.grader import grade, grade_batch
from abcgrpo.grading.pool import WorkerPool
from abcgrpo.grading.rewards import accuracy_reward, compute_score
from abcgrpo.grading.rows import RowChecker, check_rows, require_rows
from abcgrpo.grading.verdict import Reason, Verdict

__all__ = [
    "Reason",
    "RowChecker",
    "Verdict",
    "WorkerPool",
    "accuracy_reward",
    "check_rows",
    "compute_score",
    "extract_answer",
    "grade",
    "grade_batch",
    "grade_file",
    "require_rows",
]
