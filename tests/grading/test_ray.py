"""Inside Ray: in a task, and in an actor whose methods run in threads."""

import pytest

from abcgrpo.grading import compute_score, grade

ray = pytest.importorskip("ray")


@pytest.mark.slow
def test_tasks_and_threaded_actors():
    class Grader:
        def reasons(self) -> list[str]:
            answers = (r"\boxed{\sqrt{12}}", r"\boxed{9^{9^{9^9}}}", r"\boxed{\sqrt{13}}")
            return [grade(answer, r"2\sqrt{3}").reason for answer in answers]

    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        grader = ray.remote(Grader).options(max_concurrency=2).remote()
        found = ray.get([grader.reasons.remote(), grader.reasons.remote()])
        assert found == [["equivalent", "timeout", "different"]] * 2
        score = ray.remote(lambda: compute_score("mathematics", r"\boxed{\sqrt{12}}", r"2\sqrt{3}"))
        assert ray.get(score.remote()) == 1.0
    finally:
        ray.shutdown()
