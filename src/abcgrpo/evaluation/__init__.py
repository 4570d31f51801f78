"""Measuring models: samples that are kept, metrics that are derived from them, intervals that say what they cover.

| module      | subject                                                                       |
|-------------|-------------------------------------------------------------------------------|
| `options`   | the options of an evaluation, which the command line and experiments share     |
| `sampling`  | how answers are drawn; the plan of batches and seeds                           |
| `samplers`  | who draws them: transformers, vLLM, a server                                  |
| `adapters`  | checkpoints of adapters and their bases                                       |
| `store`     | the lines that are kept                                                       |
| `grades`    | what a line says of an answer; grading kept answers again                      |
| `evaluate`  | a model, a benchmark, a directory of graded samples                           |
| `metrics`   | Avg@k, Pass@k, majority vote of each question                                 |
| `intervals` | means over questions, and how far they can be trusted                         |
| `results`   | all figures of evaluations, as `results.json` has them                        |
"""
