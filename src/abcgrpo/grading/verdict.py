"""What a grader says of one response."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["exact", "equivalent", "different", "no_answer", "timeout", "killed", "unparsable_gold", "failed"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The grade of one response against one gold answer.

    | reason            | correct | meaning                                                               |
    |-------------------|---------|-----------------------------------------------------------------------|
    | `exact`           | True    | equal after normalisation, as text or as exact numbers                |
    | `equivalent`      | True    | found equal by computer algebra                                       |
    | `different`       | False   | an answer that is not the gold's                                      |
    | `no_answer`       | False   | no box, an empty one, or one that is never closed                     |
    | `timeout`         | False   | the comparison ran past its limit of CPU time (or the wall clock's)   |
    | `killed`          | False   | the comparison ran out of memory, or its process died                 |
    | `unparsable_gold` | None    | the gold answer makes no sense: nothing can be said of the response   |
    | `failed`          | False   | a grader of your own raised an error: a reward is not given          |
    """

    correct: bool | None
    answer: str | None
    """The extracted answer as it was written; None if there is none."""
    reason: Reason
    score: float | None = None
    """Of a grader that gives more than right and wrong; a reward is this score."""

    @property
    def reward(self) -> float | None:
        """The score, else 1.0 for right and 0.0 for wrong; None if nothing can be said."""
        if self.correct is None or self.reason == "failed":
            return None
        return float(self.correct) if self.score is None else self.score
