r"""The final answer of a response: the last \boxed{…} or \fbox{…}. One pass, linear in the length of the text."""

import re

_TOKEN = re.compile(r"\\(?:boxed|fbox)[ \t\n]{0,8}\{|\\\\(?!boxed|fbox)|\\[{}]|[{}]")
_BOX = re.compile(r"\\(?:boxed|fbox)")
_JOINT = re.compile(
    r"(?:[\s$.]|\\[()\[\],;: ]|\\quad)*(?:,|;|(?:,\s*)?\\text\{\s*(?:and|or)\s*\}|(?:,\s*)?\b(?:and|or)\b)"
    r"(?:[\s$]|\\[()\[\],;: ]|\\quad)*"
)
_LONGEST_JOINT = 60
_END_OF_THINKING = "</think>"

_FALLBACK_TAIL = 2000
_STATED = re.compile(r"(?i:answer)(?i:\s+is|\s*[:=])[ \t*:]*(\$[^$\n]{1,200}\$|[^\s$][^\n]{0,200})")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:/\d+)?")


def extract_answer(response: str) -> str | None:
    r"""The content of the last outermost \boxed{…} or \fbox{…}, after the last `</think>` where there is one.

    Boxes joined by commas, "and" or "or" up to that last one are one answer: their contents, joined by ", ".
    None where there is no box, where the last one is empty, and where it is never closed (a truncated response).
    """
    text = (
        response[response.rfind(_END_OF_THINKING) + len(_END_OF_THINKING) :]
        if _END_OF_THINKING in response
        else response
    )
    boxes = _outermost_boxes(text)
    if not boxes:
        return None
    contents = [text[boxes[-1][1] : boxes[-1][2] - 1].strip()]
    for (_, _, end), (start, _, _) in zip(reversed(boxes[:-1]), reversed(boxes), strict=False):
        if start - end > _LONGEST_JOINT or not _JOINT.fullmatch(text, end, start):
            break
        contents.append(text[boxes[-len(contents) - 1][1] : end - 1].strip())
    if not all(contents):
        return None
    return ", ".join(dict.fromkeys(reversed(contents)))


def fallback_answer(response: str) -> str | None:
    """For evaluation only: what a response without any box states after "answer is", or else its last number.

    Looks at the last 2,000 characters. A response with a box, even an empty or a truncated one, has no fallback.
    """
    tail = response[-_FALLBACK_TAIL:]
    if "\\boxed" in response or "\\fbox" in response:
        return None
    if stated := _STATED.findall(tail):
        return stated[-1].strip().strip("*").strip() or None
    numbers = _NUMBER.findall(tail)
    return numbers[-1] if numbers else None


def _outermost_boxes(text: str) -> list[tuple[int, int, int]]:
    """(start, start of the content, end) of the closed boxes that lie in no other closed box, in order.

    Empty where the box that opens last is never closed.
    """
    open_groups: list[tuple[int, int] | None] = []  # a box's start and content, or None for a plain brace
    boxes: list[tuple[int, int, int]] = []
    last_opened = -1
    start = _BOX.search(text)  # braces before the first box cannot matter
    for token in _TOKEN.finditer(text, start.start()) if start else ():
        mark = token.group()
        if mark == "{":
            open_groups.append(None)
        elif mark == "}":
            group = open_groups.pop() if open_groups else None
            if group is not None:
                while boxes and boxes[-1][0] > group[0]:
                    boxes.pop()
                boxes.append((*group, token.end()))
        elif mark.endswith("{") and mark != "\\{":
            last_opened = token.start()
            open_groups.append((last_opened, token.end()))
    closed = boxes and boxes[-1][0] <= last_opened < boxes[-1][2]
    still_open = any(group is not None and group[0] == last_opened for group in open_groups)
    return boxes if closed and not still_open else []
