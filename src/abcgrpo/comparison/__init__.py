"""Is one arm better than another? Differences over paired seeds and questions, and when they are a verdict. No torch.

| module         | subject                                                                            |
|----------------|------------------------------------------------------------------------------------|
| `interval`     | a mean difference, and its interval over seeds, questions and samples              |
| `significance` | sign-flip p-values of seeds, Holm's correction, probability of improvement          |
| `power`        | the smallest effect that the rule would have detected                              |
| `compare`      | all comparisons of an experiment, the family they are corrected over, the verdict   |

`docs/comparison.md` has the reasons, and how often all of it is right.
"""
