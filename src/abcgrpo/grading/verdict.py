"""What a grader says of one response."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["exact", "equivalent", "different", "no_answer", "timeout", "killed", "unparsable_gold"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The grade of one response against one gold answer.

    | reason            | correct | meaning                                                               |
    |-------------------|---------|-----------------------------------------------------------------------|
    | `exact`           | True    | equal after normalisation, as text or as exact numbers                |
    | `equivalent`      | True    | found equal by computer algebra, or within a benchmark's tolerance    |
    | `different`       | False   | an answer that is not the gold's                                      |
    | `no_answer`       | False   | no box, an empty one, or one that is never closed                     |
    | `timeout`         | False   | the comparison ran past its limit of CPU time (or the wall clock's)   |
    | `killed`          | False   | the comparison ran out of memory, or its process died                 |
    | `unparsable_gold` | None    | the gold answer makes no sense: nothing can be said of the response   |
    """

    correct: bool | None
    answer: str | None
    """The extracted answer as it was written; None where there is none."""
    reason: Reason
