"""The hooks of mkdocs (mkdocs.yml): pages that are written from the code, and links that leave the documentation."""

from typing import Any

import api_pages
import command_line
import links
import rule_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the navigation."""
    section(config.nav, "Choose a rule").append({"Rule by rule": rule_pages.navigation()})
    section(config.nav, "Reference").append({"Python": api_pages.navigation()})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and figures."""
    for path, content in {**rule_pages.files(), **api_pages.files(), **command_line.files()}.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where they lead on the site."""
    path = page.file.src_uri
    return links.on_the_site(rule_pages.with_links(markdown) if path == "rules.md" else markdown, path)


def section(navigation: Any, title: str) -> list[Any]:
    """The entries of one section of the navigation."""
    return next(entries[title] for entries in navigation if title in entries)
