"""Pages of the site that are made when it is built: from the top folder's files, the command line and the schemas."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import typer
import typer.cli
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from elmo_mf.cli.main import app

ROOT = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not below `docs`."""
    pages = {"index.md": _read("README.md"), "cli.md": command_line(), "records.md": schemas()}
    pages |= {name: _read(name) for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
    pages |= {f"leaderboard/{name}": _read(f"leaderboard/{name}") for name in ("README.md", "EXPLAIN.md")}
    # beside README.md, which is the site's leaderboard/index.html
    pages["leaderboard/page.html"] = _read("leaderboard/index.html")
    figures = [f"leaderboard/{path.name}" for path in (ROOT / "leaderboard").glob("*.svg")]
    pages |= {name: _read(name) for name in figures}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links as they are on the site."""
    if page.file.src_uri == "leaderboard/README.md":
        markdown = markdown.replace("`index.html` beside this file, opened in a browser,", "[This page](page.html)")
    if page.file.src_uri == "index.md":
        markdown = markdown.replace("`leaderboard/index.html`", "[one page](leaderboard/page.html)")
    return markdown.replace("](docs/", "](").replace("](../leaderboard/", "](leaderboard/")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def command_line() -> str:
    """The reference of all commands, from their own help."""
    group = typer.main.get_command(app)
    text = typer.cli.get_docs_for_click(obj=group, ctx=typer.Context(group), name="elmo-mf", title="Command line")
    text = re.sub(r"^```console\n\$ ", "```sh\n", text.replace("\b\n", ""), flags=re.MULTILINE)
    text = re.sub(r"^Examples:\n\n((?:  .*\n)+)", _examples, text, flags=re.MULTILINE)
    return re.sub(r"<([A-Z]+)>", r"&lt;\1&gt;", text)


def _examples(match: re.Match[str]) -> str:
    return f"Examples:\n\n```sh\n{dedent(match[1])}```\n"


def schemas() -> str:
    """What is in a record and in an exported board, from their JSON schemas."""
    parts = [
        "# Records",
        "Each run of a sweep leaves one JSON file, and `elmo-mf leaderboard --export json` writes a board as one. "
        "Their schemas are [record.schema.json](record.schema.json) and [board.schema.json](board.schema.json); this "
        "is what they hold.",
    ]
    for file, title in (("record", "A record"), ("board", "An exported board")):
        schema = json.loads(_read(f"docs/{file}.schema.json"))
        parts += [f"## {title}", *_fields(schema)]
        for name, definition in schema.get("$defs", {}).items():
            parts += [f"### {name}", *_fields(definition)]
    return "\n\n".join(parts) + "\n"


def _fields(schema: dict[str, Any]) -> list[str]:
    lines = [" ".join(schema.get("description", "").partition("Examples:")[0].split())]
    if "properties" in schema:
        fields = schema["properties"].items()
        rows = [f"| `{name}` | {_kind(one)} | {' '.join(one.get('description', '').split())} |" for name, one in fields]
        lines.append("\n".join(["| field | kind | what it is |", "|---|---|---|", *rows]))
    return lines


def _kind(schema: dict[str, Any]) -> str:
    """A field's type in words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    inner = schema.get("additionalProperties")
    return f"names with {_kind(inner)}" if isinstance(inner, dict) else str(schema.get("type", "anything"))
