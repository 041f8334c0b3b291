"""`jupyter mlops users ...`: the local users of the server that runs on a data directory."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from jupyter_mlops.client.transport import Address, Transport, segment
from jupyter_mlops.discovery import data_dir, running_server
from jupyter_mlops.errors import InvalidRequest, MLOpsError, ServerUnreachable
from jupyter_mlops.schema.access import Role
from jupyter_mlops.schema.users import UserView

Command = Callable[[Transport, argparse.Namespace], str]


def main(words: list[str]) -> int:
    """Run one command.

    Parameters
    ----------
    words:
        The words after `jupyter mlops users`.

    Returns
    -------
    int
        The exit code: 0, or 1 when the command did not succeed.
    """
    chosen = _parser().parse_args(words)
    try:
        print(chosen.run(_connect(chosen.data_dir), chosen))
    except MLOpsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter mlops users", description="Manage the users who may log in with a password."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    roles = [role.value for role in Role]

    def command(name: str, run: Command, text: str, *, user: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        if user:
            added.add_argument("name", metavar="NAME", help="the user")
        added.add_argument("--data-dir", help="the data directory (default: Jupyter's data directory + mlops)")
        added.set_defaults(run=run)
        return added

    command("list", _list, "List the users, oldest first.", user=False)
    adding = command("add", _add, "Add a user.")
    adding.add_argument("--role", choices=roles, default=Role.CONTRIBUTOR.value, help="default: %(default)s")
    changing = command("password", _password, "Give a user a new password; the user's logins end.")
    for parser_with_password in (adding, changing):
        parser_with_password.add_argument(
            "--password-file", metavar="FILE", help="a file that holds the password; without it, it is asked for"
        )
    command("role", _role, "Give a user another role; the user's logins end.").add_argument("role", choices=roles)
    command("remove", _remove, "Remove a user; the user's logins end, and the services stay.")
    return parser


def _connect(directory: str | None) -> Transport:
    path = data_dir(directory)
    found = running_server(path)
    if found is None:
        raise ServerUnreachable(f"no server runs on {path}; start one: jupyter mlops start --data-dir {path}")
    return Transport(Address(url=found.url, token=found.token))


def _list(transport: Transport, chosen: argparse.Namespace) -> str:  # noqa: ARG001  # every command has this form
    users = msgspec.json.decode(transport.request("GET", "/users"), type=list[UserView])
    width = max(len(user.name) for user in users)
    return "\n".join(f"{user.name:{width}}  {user.role.value:11}  {user.created[:19]}" for user in users)


def _add(transport: Transport, chosen: argparse.Namespace) -> str:
    body = {"name": chosen.name, "password": _read_password(chosen), "role": chosen.role}
    transport.request("POST", "/users", body)
    return f"user {chosen.name} is added as {chosen.role}"


def _password(transport: Transport, chosen: argparse.Namespace) -> str:
    _change(transport, chosen, password=_read_password(chosen))
    return f"user {chosen.name} has a new password and has to log in again"


def _role(transport: Transport, chosen: argparse.Namespace) -> str:
    _change(transport, chosen, role=chosen.role)
    return f"user {chosen.name} is {chosen.role} now and has to log in again"


def _remove(transport: Transport, chosen: argparse.Namespace) -> str:
    transport.request("DELETE", f"/users/{segment(chosen.name)}")
    return f"user {chosen.name} is removed"


def _change(transport: Transport, chosen: argparse.Namespace, **body: Any) -> None:
    transport.request("PATCH", f"/users/{segment(chosen.name)}", body)


def _read_password(chosen: argparse.Namespace) -> str:
    """Read the password from its file, or ask for it twice; it never stands on the command line."""
    if chosen.password_file:
        try:
            return Path(chosen.password_file).read_text().strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the password file {chosen.password_file} cannot be read: {error}") from None
    if not sys.stdin.isatty():
        raise InvalidRequest("there is no terminal to ask for the password; name a file with --password-file")
    password = getpass.getpass(f"Password of {chosen.name}: ")
    if password != getpass.getpass("The same again: "):
        raise InvalidRequest("the two passwords are not the same")
    return password
