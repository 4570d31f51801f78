r"""The final answer of a response: the last \boxed{…} or \fbox{…}. One pass, linear in the length of the text."""

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"\\(?:boxed|fbox)(?:[ \t\n]{0,8}\{|[ \t]{0,8}(?P<bare>-?\d{1,40}(?:\.\d{1,40})?))|\\\\(?!boxed|fbox)|\\[{}]|[{}]"
)
_BOX = re.compile(r"\\(?:boxed|fbox)")
_JOINT = re.compile(
    r"(?:[\s$.]|\\[()\[\],;: ]|\\quad)*(?:,|;|(?:,\s*)?\\text\{\s*(?:and|or)\s*\}|(?:,\s*)?\b(?:and|or)\b)"
    r"(?:[\s$]|\\[()\[\],;: ]|\\quad)*(?P<name>[a-zA-Z](?:_\w)?\s*=\s*)?"
)
_NAME_BEFORE = re.compile(r"(?<![\w\\])([a-zA-Z](?:_\w)?)\s*=[\s$]*\Z")
_LONGEST_JOINT = 60
_END_OF_THINKING = "</think>"

_FALLBACK_TAIL = 2000
_STATED = re.compile(r"(?i:answer)(?i:\s+is|\s*[:=])[ \t*:]*(\$[^$\n]{1,200}\$|[^\s$][^\n]{0,200})")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:/\d+)?")


def extract_answer(response: str) -> str | None:
    r"""The content of the last outermost \boxed{…} or \fbox{…}, after the last `</think>` where there is one.

    Boxes joined by commas, "and" or "or" up to that last one are one answer: their contents, joined by ", ", with
    their names where each has one: x = \boxed{1}, y = \boxed{2}. A number needs no braces: \boxed 5.
    None if there is no box, where the last one is empty, and where it is never closed (a truncated response).
    """
    text = (
        response[response.rfind(_END_OF_THINKING) + len(_END_OF_THINKING) :]
        if _END_OF_THINKING in response
        else response
    )
    boxes = _outermost_boxes(text)
    if not boxes:
        return None
    joined = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if joined[-1].start - box.end > _LONGEST_JOINT:
            break
        joint = _JOINT.fullmatch(text, box.end, joined[-1].start)
        if joint is None or (joint["name"] and not _name_before(text, box)):
            break
        joined.append(box)
    contents = [text[box.content : box.content_end].strip() for box in reversed(joined)]
    if not all(contents):
        return None
    if len(joined) > 1 and all(names := [_name_before(text, box) for box in reversed(joined)]):
        contents = [f"{name}={content}" for name, content in zip(names, contents, strict=True)]
    return ", ".join(dict.fromkeys(contents))


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


class _Box(NamedTuple):
    start: int
    content: int
    content_end: int
    end: int


def _name_before(text: str, box: _Box) -> str:
    """The x of "x = \\boxed{1}"; empty if there is none."""
    found = _NAME_BEFORE.search(text, max(0, box.start - _LONGEST_JOINT), box.start)
    return found[1] if found else ""


def _outermost_boxes(text: str) -> list[_Box]:
    """The closed boxes that lie in no other, in order; none where the box that opens last is never closed."""
    open_groups: list[tuple[int, int] | None] = []  # a box's start and content, or None for a plain brace
    boxes: list[_Box] = []
    last_opened = -1
    start = _BOX.search(text)  # braces before the first box cannot matter
    for token in _TOKEN.finditer(text, start.start()) if start else ():
        mark = token.group()
        if mark == "{":
            open_groups.append(None)
        elif mark == "}":
            group = open_groups.pop() if open_groups else None
            if group is not None:
                while boxes and boxes[-1].start > group[0]:
                    boxes.pop()
                boxes.append(_Box(*group, token.start(), token.end()))
        elif token["bare"]:
            last_opened = token.start()
            boxes.append(_Box(last_opened, token.start("bare"), token.end(), token.end()))
        elif mark.endswith("{") and mark != "\\{":
            last_opened = token.start()
            open_groups.append((last_opened, token.end()))
    closed = boxes and boxes[-1].start <= last_opened < boxes[-1].end
    still_open = any(group is not None and group[0] == last_opened for group in open_groups)
    return boxes if closed and not still_open else []
