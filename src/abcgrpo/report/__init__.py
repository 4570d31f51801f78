"""From the files that runs leave to tables, figures and a page. Nothing here needs torch or a trainer.

| room      | what it does                                                                                     |
|-----------|--------------------------------------------------------------------------------------------------|
| `reading` | from files to `Records`: experiments, single runs, training logs, scores from anywhere           |
| `content` | from `Records` to the content of `report.json`: metrics, comparisons, sentences                  |
| `drawing` | panels, each one Vega-Lite specification                                                         |
| `text`    | tables for the terminal, Markdown and LaTeX; CSV files                                           |
| `page`    | `report.html`                                                                                    |
| `write`   | all files of a report                                                                            |
"""
