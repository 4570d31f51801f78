"""Links from the documentation into the repository: to Python modules they become links into the API reference."""

import posixpath
import re

import api_pages

LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def on_the_site(markdown: str, path: str) -> str:
    """The Markdown of a page with its links out of `docs/` replaced.

    A link to a module or package of `src/abcgrpo` leads to its part of the API reference. Anything else in the
    repository is not on the site: its link becomes plain text.
    """

    def replaced(link: re.Match[str]) -> str:
        text, target, anchor = link.group(1), link.group(2), link.group(3) or ""
        found = posixpath.normpath(posixpath.join("docs", posixpath.dirname(path), target))
        if found.startswith("docs/"):
            return link.group(0)
        page = api_pages.page_of(found)
        if page is None:
            return text
        here = posixpath.relpath(page.path, posixpath.dirname(path) or ".")
        return f"[{text}]({here}{anchor or '#' + page.anchor})"

    return LINK.sub(replaced, markdown)
