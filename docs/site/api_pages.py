"""The API reference: a page for each module or package directly under `abcgrpo`, read from the source, not imported."""

from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "abcgrpo"
FOLDER = "reference/python"
LEFT_OUT = ("cli", "__main__")
"""The command line has a page of its own."""


@dataclass(frozen=True)
class Place:
    """Where a module stands on the site."""

    path: str
    anchor: str


def subjects() -> dict[str, list[str]]:
    """Top-level module or package → the dotted names of its public modules; the package itself comes first."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not parts or parts[0] in LEFT_OUT or any(part.startswith("_") for part in parts):
            continue
        found.setdefault(parts[0], []).append(".".join(("abcgrpo", *parts)))
    return {name: sorted(modules) for name, modules in found.items()}


def navigation() -> list[dict[str, str]]:
    """An entry for each page."""
    return [{f"abcgrpo.{name}": f"{FOLDER}/{name}.md"} for name in subjects()]


def files() -> dict[str, str]:
    """Path → Markdown of each page."""
    return {
        f"{FOLDER}/{name}.md": f"# abcgrpo.{name}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"
        for name, modules in subjects().items()
    }


def page_of(path: str) -> Place | None:
    """The place of a file or folder of the repository such as `src/abcgrpo/rules`; None for anything else."""
    parts = Path(path.removesuffix("/__init__.py").removesuffix(".py")).parts
    if parts[:2] != ("src", "abcgrpo") or len(parts) < 3:
        return None
    modules = subjects().get(parts[2], [])
    name = ".".join(parts[1:])
    return Place(f"{FOLDER}/{parts[2]}.md", name) if name in modules else None
