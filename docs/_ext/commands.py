"""`.. command:: republish_all` shows what a management command says of itself: its help and its options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.management import load_command_class
from django.core.management.base import BaseCommand
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

DJANGOS = frozenset(
    BaseCommand().create_parser("manage.py", "")._option_string_actions  # Every command has these.
)


class Command(Directive):
    """One command of the package."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        parser = load_command_class("logpipe_signals", name).create_parser("manage.py", name)
        options = nodes.definition_list()
        options.extend(_entries(parser))
        return [*_paragraphs(parser.description or ""), options]


def _paragraphs(text: str) -> list[nodes.Node]:
    return [nodes.paragraph("", "", *_inline(part)) for part in text.split("\n\n")]


def _entries(parser: argparse.ArgumentParser) -> Iterator[nodes.Node]:
    for action in parser._actions:
        if not DJANGOS.issuperset(action.option_strings) or not action.option_strings:
            term = nodes.term("", "", nodes.literal("", _usage(action)))
            told = nodes.definition("", nodes.paragraph("", "", *_inline(_help(parser, action))))
            yield nodes.definition_list_item("", term, told)


def _usage(action: argparse.Action) -> str:
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper()
    value = action.metavar or choices
    names = ", ".join(action.option_strings)
    if not names:
        return f"{value} ..." if action.nargs in ("*", "+") else str(value)
    return names if action.nargs == 0 else f"{names} {value}"


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    values: dict[str, Any] = {**vars(action), "prog": parser.prog}
    return (action.help or "") % values


def _inline(text: str) -> list[nodes.Node]:
    """Return a text with `code` as code."""
    parts = " ".join(text.split()).split("`")
    return [nodes.literal("", part) if number % 2 else nodes.Text(part) for number, part in enumerate(parts)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directive known."""
    app.add_directive("command", Command)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
