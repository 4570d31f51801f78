"""From the files that runs leave to tables, figures and a page. Nothing here needs torch or a trainer.

`records.load` reads the files and `write.write` makes the report; reading needs no library that draws.
"""
