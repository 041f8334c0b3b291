"""The options of the magics: one parser each, and a splitter that leaves Python expressions whole."""

from __future__ import annotations

import argparse
import ast
from typing import Any, NoReturn

from IPython.core.error import UsageError

_OPENING, _CLOSING = "([{", ")]}"
_EXPRESSIONS = frozenset({"--sample"})

LOCKED = "locked"
"""What can follow `--environment`; as in `schema.services`, which loading the magics does not need."""

BATCH_ACTIONS = ("attach", "list")
"""What can follow `%batch` besides a service."""

PRIORITIES, ENGINES = ("low", "normal", "high"), ("local", "dask")
"""As in `schema.batches`, which loading the magics does not need."""

AUTO = "auto"
"""What can follow `--realtime`: serve ONNX when it answers as the model does, else let a kernel score."""

SNAPSHOT_ACTIONS = {"list": (), "show": ("ID",), "load": ("ID",), "delete": ("ID",), "download": ("ID", "[PATH]")}
"""What can follow `%snapshot` besides a name, and what follows that."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are the user's, not the program's."""

    def error(self, message: str) -> NoReturn:
        """Refuse a line in one paragraph."""
        raise UsageError(f"{self.prog}: {message}\n{self.format_usage().strip()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:  # noqa: ARG002
        """Never end the user's kernel."""
        raise UsageError(message or self.format_usage())


def publish_parser(*, cell: bool) -> Parser:
    """Make the parser of `%%publish` (cell) or `%publish` (line)."""
    parser = Parser(prog="%%publish" if cell else "%publish", add_help=False, allow_abbrev=False)
    if not cell:
        parser.add_argument(
            "what", metavar="FUNCTION", help="a function, a fitted estimator, or a pickle or joblib file"
        )
    parser.add_argument("name", metavar="NAME", help="the service's name")
    parser.add_argument("version", metavar="VERSION", nargs="?", help="its version; without one, the next whole number")
    if cell:
        parser.add_argument("--function", metavar="F", help="the function to publish, else the cell's last one")
    parser.add_argument("--init", metavar="F", help="a function that runs once in each scoring kernel, before any call")
    parser.add_argument("--inputs", metavar="a=float,b=int", help="types of the inputs; else hints, else the sample")
    parser.add_argument("--outputs", metavar="answer=DataFrame", help="names and types of the outputs")
    parser.add_argument("--artifacts", metavar="f,g", help="files that a call writes and its caller gets")
    parser.add_argument("--alias", metavar="A", help="name of the generated function that calls the service")
    parser.add_argument("--description", metavar="TEXT", help="what the service is for")
    parser.add_argument("--sample", metavar="EXPR", help="inputs that the service must answer before it is visible")
    parser.add_argument("--drop", metavar="x,y", help="names that must not go along")
    parser.add_argument("--keep", metavar="x", help="further names to take along")
    parser.add_argument(
        "--files", metavar="GLOB", help="data files to take along: data/cars.csv, or data/*.csv,model.txt"
    )
    parser.add_argument(
        "--tolerance", metavar="T", type=float, help="how far the proof's numbers may differ, relatively; 1e-9"
    )
    parser.add_argument("--force", action="store_true", help="publish also when the fresh kernel answers otherwise")
    parser.add_argument("--timeout", metavar="S", type=float, help="deadline of one call in seconds")
    parser.add_argument(
        "--batchable", action="store_true", help="the function takes columns; calls that wait together run as one"
    )
    parser.add_argument(
        "--kernels", metavar="MIN:MAX", help="kernels that run always, and at most under load; 1:4, or 2 for 2:2"
    )
    parser.add_argument("--memory", metavar="2GB", help="memory of one kernel, beyond which it is ended")
    parser.add_argument(
        "--environment",
        metavar="locked",
        choices=(LOCKED,),
        help="locked: score in an environment of its own, with the packages that this kernel has now",
    )
    parser.add_argument(
        "--private", action="store_true", help="keep nothing of its calls, not even of those that raise"
    )
    parser.add_argument(
        "--realtime",
        metavar="[MODEL|auto]" if cell else "[auto]",
        nargs="?",
        const="",
        help=("the cell's last model, or this one," if cell else "the model")
        + " becomes a realtime service; auto: only when its ONNX form answers the same, else a kernel scores",
    )
    parser.add_argument("--update", action="store_true", help="change the version if it exists")
    parser.add_argument("--as", metavar="VAR", dest="variable", help="also put the service into this variable")
    return parser


def mlops_parser() -> Parser:
    """Make the parser of `%mlops`."""
    parser = Parser(prog="%mlops", add_help=False, allow_abbrev=False)
    parser.add_argument("action", choices=("connect", "status", "disconnect"))
    parser.add_argument("url", metavar="URL", nargs="?", help="the server; without one it is found or started")
    parser.add_argument("--user", metavar="U", help="log in as this user; the password is asked for")
    return parser


def snapshot_parser() -> Parser:
    """Make the parser of `%snapshot`."""
    parser = Parser(prog="%snapshot", add_help=False, allow_abbrev=False)
    parser.add_argument(
        "words",
        metavar="NAME",
        nargs="*",
        help="what to call it; or list, show ID, load ID, delete ID, download ID [PATH], where a name does for an ID",
    )
    parser.add_argument("--function", metavar="F", help="only what this function reaches")
    parser.add_argument("--drop", metavar="x,y", help="names that must not go along")
    parser.add_argument("--keep", metavar="x", help="further names to take along, and secrets")
    parser.add_argument(
        "--files", metavar="GLOB", help="data files to take along: data/cars.csv, or data/*.csv,model.txt"
    )
    parser.add_argument("--pick", action="store_true", help="choose in a table of checkboxes")
    parser.add_argument("--overwrite", action="store_true", help="with load: replace what is there without asking")
    return parser


def batch_parser() -> Parser:
    """Make the parser of `%batch`."""
    parser = Parser(prog="%batch", add_help=False, allow_abbrev=False)
    parser.add_argument(
        "what",
        metavar="SERVICE[/VERSION]",
        help="a service's name, or a variable that holds one; or attach ID, or list",
    )
    parser.add_argument(
        "words",
        metavar="RECORDS",
        nargs="*",
        help="a DataFrame or another expression that gives records, or the path of a file of them",
    )
    parser.add_argument("--parallel", metavar="N", type=int, help="how many records may run at a time; 10")
    parser.add_argument("--as", metavar="VAR", dest="variable", help="also put the batch into this variable")
    parser.add_argument(
        "--priority", metavar="P", choices=PRIORITIES, help="low, normal or high: who goes first when kernels are short"
    )
    parser.add_argument(
        "--engine", metavar="E", choices=ENGINES, help="local, or dask where the server has a Dask scheduler"
    )
    return parser


def services_parser() -> Parser:
    """Make the parser of `%services`."""
    parser = Parser(prog="%services", add_help=False, allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", nargs="?", help="show this service")
    parser.add_argument("version", metavar="VERSION", nargs="?", help="in this version")
    return parser


def parse(parser: Parser, line: str) -> argparse.Namespace:
    """Parse a magic's line.

    Parameters
    ----------
    parser:
        The magic's parser.
    line:
        What follows the magic's name.

    Raises
    ------
    UsageError
        With the fault and the usage.
    """
    return parser.parse_args(_arguments(line))


def _arguments(line: str) -> list[str]:
    """Split a line; an expression reaches to the next option and keeps its quotes and spaces."""
    words = split(line)
    arguments: list[str] = []
    while words:
        word = words.pop(0)
        option, sign, value = word.partition("=")
        if option in _EXPRESSIONS:
            parts = [value] if sign else []
            while words and not words[0].startswith("--"):
                parts.append(words.pop(0))
            if not any(parts):
                raise UsageError(f"{option} wants an expression, such as {option} 120,2.8")
            arguments.append(f"{option}={' '.join(parts)}")
        elif word.startswith("--") and sign:
            arguments.append(f"{option}={_unquoted(value)}")
        else:
            arguments.append(_unquoted(word))
    return arguments


def split(line: str) -> list[str]:
    """Split at white space outside of quotes and brackets.

    Parameters
    ----------
    line:
        Text such as `cars 1.0 --sample {"hp": 120, "wt": 2.8}`.
    """
    words: list[str] = []
    word, quote, depth = "", "", 0
    for character in line:
        if quote:
            quote = "" if character == quote and not word.endswith("\\") else quote
        elif character in "'\"" and (not word or depth or not word[-1].isalnum()):
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth = max(depth - 1, 0)
        elif character.isspace() and not depth:
            if word:
                words.append(word)
            word = ""
            continue
        word += character
    return [*words, word] if word else words


def _unquoted(word: str) -> str:
    if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
        try:
            return str(ast.literal_eval(word))
        except (ValueError, SyntaxError):
            return word[1:-1]
    return word


def names_of(text: str | None) -> list[str]:
    """Read a list such as `f,g`."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def types_of(text: str | None, option: str) -> dict[str, str] | None:
    """Read types such as `a=float,b=list[float]`.

    Parameters
    ----------
    text:
        What followed the option; None when it was not given.
    option:
        Its name, for the message.
    """
    if text is None:
        return None
    types: dict[str, str] = {}
    for part in _top_level_parts(text):
        name, sign, written = part.rpartition("=")
        if not sign or not name.strip() or not written.strip():
            raise UsageError(f"{option} wants name=type pairs such as {option} a=float,b=int; {part.strip()!r} is none")
        types[_unquoted(name.strip())] = written.strip()
    return types


def kernels_of(text: str | None) -> tuple[int | None, int | None]:
    """Read the sizes of a pool, such as `1:4`; `2` is `2:2`, and `1:` leaves the most to the server.

    Parameters
    ----------
    text:
        What followed `--kernels`; None when it was not given.
    """
    if text is None:
        return None, None
    least, sign, most = text.partition(":")
    if not (least or most) or not all(part.isascii() and part.isdecimal() for part in (least, most) if part):
        raise UsageError(
            f"--kernels wants MIN:MAX, such as --kernels 1:4 (one always, four under load); {text!r} is not that"
        )
    if not sign:
        return int(least), int(least)
    return int(least or 0), int(most or 0)


def _top_level_parts(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]


def help_of(parser: Parser, example: str, text: str) -> str:
    """Write a magic's help: its sentence, a line that runs, its options."""
    options: list[Any] = [action for action in parser._actions if action.help]  # noqa: SLF001
    width = max(len(_spelling(action)) for action in options)
    listed = "\n".join(f"  {_spelling(action):<{width}}  {action.help}" for action in options)
    return f"{text}\n\nExample::\n\n{example}\n\n{listed}\n"


def _spelling(action: Any) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    return f"{action.option_strings[0]} {action.metavar}" if action.metavar else str(action.option_strings[0])
