"""From the files that runs leave to tables, figures and a page. Nothing here needs torch or a trainer."""

from abcgrpo.report.records import load
from abcgrpo.report.write import write

__all__ = ["load", "write"]
