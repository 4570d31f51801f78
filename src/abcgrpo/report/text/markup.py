"""Tables as Markdown and as LaTeX."""

from collections.abc import Iterable, Sequence


def markdown(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

    return "\n".join([line(titles), "|" + "---|" * len(titles), *map(line, lines)])


def tabular(titles: Sequence[str], lines: Iterable[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A LaTeX `tabular` for the booktabs package, notes as comments. The first cell heads a block of lines.

    A block begins where the first cell changes, and shows it once. Intervals are in smaller type.
    """
    texts = 2
    out = [f"% {' '.join(note.split())}" for note in notes]
    out += [r"\begin{tabular}{" + "l" * texts + "r" * (len(titles) - texts) + "}", r"\toprule"]
    out += [" & ".join(map(latex_text, titles)) + r" \\", r"\midrule"]
    before = None
    for first, *rest in lines:
        if before not in (None, first):
            out.append(r"\midrule")
        shown = ["" if first == before else latex_text(first), latex_text(rest[0]), *map(latex_cell, rest[1:])]
        out.append(" & ".join(shown) + r" \\")
        before = first
    return "\n".join([*out, r"\bottomrule", r"\end{tabular}", ""])


def latex_cell(cell: str) -> str:
    """Value and interval; the en dash of an empty cell as TeX has it."""
    value, _, interval = cell.partition(" ")
    shown = latex_text(value).replace("–", "--")
    return f"{shown} {{\\scriptsize {latex_text(interval)}}}" if interval else shown


def latex_text(text: str) -> str:
    """Text with TeX's own characters escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)
