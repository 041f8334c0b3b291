"""A table of checkboxes: what of this kernel goes along, what it weighs, and two buttons that send it.

Only stock ipywidgets, so that it works wherever they do. All that the user's program wrote is escaped; without
widgets the same table is text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython

from jupyter_mlops.capture import Survey, Variable, survey
from jupyter_mlops.capture.datafiles import is_file_name
from jupyter_mlops.capture.table import bytes_text
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.notebook.arguments import publish_parser
from jupyter_mlops.notebook.display import MUTED, Card
from jupyter_mlops.notebook.magics import register
from jupyter_mlops.notebook.publish import publish_named
from jupyter_mlops.notebook.snapshot_card import SnapshotCard
from jupyter_mlops.notebook.snapshots import capture_chosen, keep, own_variables
from jupyter_mlops.notebook.survey_table import notes_of, total_text
from jupyter_mlops.schema.services import LOCKED

if TYPE_CHECKING:
    from jupyter_mlops.client.service import Service
    from jupyter_mlops.client.snapshot import Snapshot

EVERYTHING = "(everything)"

_COLUMNS = (
    "display: grid; grid-template-columns: 9em 9em 6em minmax(9em, 1fr) minmax(9em, 1.5fr); gap: 0 1em; "
    "align-items: center"
)
_CUT = "overflow: hidden; text-overflow: ellipsis; white-space: nowrap"
_WRAPPED = "white-space: normal; overflow-wrap: anywhere"
_PRE = "white-space: pre-wrap; line-height: 1.4; margin: 0"
_BAD = "color: var(--jp-error-color1, #d32f2f)"
_GOOD = "color: var(--jp-success-color1, #388e3c)"
_NAME_WIDTH = "14em"


def snapshot_widget(
    function: str | None = None,
    *,
    name: str = "",
    keep: Iterable[str] = (),
    drop: Iterable[str] = (),
    files: Iterable[str] = (),
) -> Picker:
    """Choose in a table of checkboxes what is kept or published.

    Parameters
    ----------
    function:
        Name of the function to publish; without one everything is chosen first.
    name:
        What to call the snapshot or service.
    keep, drop:
        Names to tick and to untick.
    files:
        Data files that go along: paths and patterns.

    Raises
    ------
    UsageError
        Outside IPython, or when there is no such variable.
    """
    shell = get_ipython()
    if shell is None:
        raise UsageError("snapshot_widget() looks into a notebook's kernel, and there is none here")
    register(shell)
    kept = list(keep)
    kept_files = [one for one in kept if is_file_name(one)]
    names = [one for one in kept if one not in kept_files]
    try:
        found = survey(own_variables(shell), function, keep=names, drop=drop)
        return Picker(shell, found, name, list(files), kept_files)
    except MLOpsError as error:
        raise UsageError(str(error)) from None


class Picker:
    """The widget, and what came of it.

    Parameters
    ----------
    shell:
        The IPython shell.
    found:
        What is in it.
    name:
        What the name field holds at first.
    files:
        Data files that go along.
    kept_files:
        Files that go along although they look like they hold a secret.
    """

    def __init__(self, shell: Any, found: Survey, name: str, files: list[str], kept_files: list[str]) -> None:
        self.snapshot: Snapshot | None = None
        """The last snapshot that was taken here."""
        self.service: Service | None = None
        """The last service that was published here."""
        self._shell = shell
        self._survey = found
        self._files = files
        self._kept_files = kept_files
        self._boxes: dict[str, Any] = {}
        self._build(name)
        self._fill()

    @property
    def selected(self) -> list[str]:
        """Names that are ticked."""
        return [name for name, box in self._boxes.items() if box.value]

    def __repr__(self) -> str:
        return str(replace(self._survey, selected=tuple(self.selected)))

    def _repr_mimebundle_(self, **more: Any) -> dict[str, Any]:
        data: dict[str, Any] = self.widget._repr_mimebundle_(**more)
        return data | {"text/plain": repr(self)}

    def _build(self, name: str) -> None:
        functions = [one.name for one in self._survey.variables if one.kind == "function"]
        chosen = self._survey.function or EVERYTHING
        choices = list(dict.fromkeys([EVERYTHING, *functions, chosen]))
        self._function = widgets.Dropdown(options=choices, value=chosen, description="Function")
        self._name = widgets.Text(value=name, description="Name", placeholder="cars")
        self._version = widgets.Text(description="Version", placeholder="the next number")
        self._sample = widgets.Text(description="Sample", placeholder="X.head(1) or 120, 2.8")
        self._locked = widgets.Checkbox(
            description="Locked environment",
            tooltip="Score in an environment of its own, with the packages that this kernel has now",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        self._private = widgets.Checkbox(
            description="Private",
            tooltip="Keep nothing of its calls, not even of those that raise",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        self._snapshot = widgets.Button(description="Snapshot", tooltip="Keep what is ticked on the server")
        self._publish = widgets.Button(
            description="Publish", button_style="primary", tooltip="Publish the function with what is ticked"
        )
        self._reset = widgets.Button(description="As at first", tooltip="Tick what was ticked at first")
        self._rows = widgets.VBox(layout=widgets.Layout(max_height="420px", overflow="auto", width="100%"))
        self._total, self._message, self._result = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._output = widgets.Output()
        self._function.observe(lambda _: self._look(), "value")
        self._snapshot.on_click(lambda _: self._run("Taking the snapshot", self._take))
        self._publish.on_click(lambda _: self._run("Publishing", self._send))
        self._reset.on_click(lambda _: self._tick(self._survey.selected))
        self.widget = widgets.VBox(
            [
                widgets.HBox([self._function, self._reset]),
                widgets.HTML(_header()),
                self._rows,
                self._total,
                widgets.HBox([self._name, self._version, self._sample], layout=widgets.Layout(flex_flow="row wrap")),
                widgets.HBox([self._locked, self._private]),
                widgets.HBox([self._snapshot, self._publish]),
                self._message,
                self._output,
                self._result,
            ]
        )
        """What is displayed."""

    def _fill(self) -> None:
        """Make a row for each variable of the survey."""
        self._boxes = {one.name: self._box(one) for one in self._survey.variables}
        self._rows.children = [
            widgets.HBox(
                [self._boxes[one.name], widgets.HTML(_row(one), layout=widgets.Layout(flex="1 1 auto", min_width="0"))],
                layout=widgets.Layout(align_items="center", min_height="28px", overflow="hidden"),
            )
            for one in self._survey.variables
        ]
        self._add_up()

    def _box(self, one: Variable) -> Any:
        box = widgets.Checkbox(
            value=one.name in self._survey.selected,
            description=one.name,
            indent=False,
            disabled=bool(one.problem),
            layout=widgets.Layout(width=_NAME_WIDTH, flex="0 0 auto"),
        )
        box.observe(lambda _: self._add_up(), "value")
        return box

    def _add_up(self) -> None:
        names = self.selected
        missing = [f"<div style='{_BAD}'>{escape(str(one))}</div>" for one in self._survey.missing(names)]
        total = f"<strong>{escape(total_text(self._survey, names))}</strong>"
        self._total.value = f"<div role='status' aria-live='polite'>{total}{''.join(missing)}</div>"

    def _tick(self, names: Iterable[str]) -> None:
        wanted = frozenset(names)
        for name, box in self._boxes.items():
            box.value = name in wanted

    def _look(self) -> None:
        """Survey the kernel anew, for another function."""
        self._survey = survey(own_variables(self._shell), self._chosen())
        self._fill()

    def _chosen(self) -> str | None:
        return None if self._function.value == EVERYTHING else str(self._function.value)

    def _run(self, what: str, work: Callable[[], str]) -> None:
        """Do what a button says; a refusal is a message below, and no traceback."""
        buttons = (self._snapshot, self._publish)
        for button in buttons:
            button.disabled = True
        self._say(f"{what}...", MUTED)
        self._result.value = ""
        self._output.clear_output()
        try:
            with self._output:
                # The output swallows what leaves it.
                told, style = self._tried(work)
        finally:
            for button in buttons:
                button.disabled = False
        self._say(told, style)

    def _tried(self, work: Callable[[], str]) -> tuple[str, str]:
        try:
            return work(), _GOOD
        except (UsageError, MLOpsError) as error:
            return str(error), _BAD
        except KeyboardInterrupt:
            return "Interrupted; nothing is left of it.", _BAD

    def _take(self) -> str:
        chosen = replace(self._survey, selected=tuple(self.selected))
        captured = capture_chosen(self._shell, chosen, self._files, self._kept_files)
        self.snapshot = keep(self._connection(), captured, self._name.value.strip())
        self._result.value = SnapshotCard(self.snapshot)._repr_html_()
        return f"Snapshot {self.snapshot.name} is kept."

    def _send(self) -> str:
        function, name = self._chosen(), self._name.value.strip()
        if function is None:
            raise UsageError("choose the function to publish, at the top")
        if not name:
            raise UsageError("give the service a name")
        options = publish_parser(cell=False).parse_args(self._arguments(function, name))
        service, sample = publish_named(self._shell, self._connection, function, options)
        service.example = sample
        self.service = service
        self._result.value = Card(service).html()
        return f"{service.name} {service.version} is published: {service.url}"

    def _arguments(self, function: str, name: str) -> list[str]:
        ticked = frozenset(self.selected)
        needed = [one for one in self._survey.variables if one.reached]
        kept = [one.name for one in self._survey.variables if one.name in ticked and (one.secret or not one.reached)]
        options = {
            "--drop": ",".join(one.name for one in needed if one.name not in ticked),
            "--keep": ",".join([*kept, *self._kept_files]),
            "--files": ",".join(self._files),
            "--sample": self._sample.value.strip(),
            "--environment": LOCKED if self._locked.value else "",
        }
        given = [f"{option}={value}" for option, value in options.items() if value]
        given += ["--private"] if self._private.value else []
        version = self._version.value.strip()
        return [*given, "--", function, name, *([version] if version else [])]

    def _connection(self) -> Any:
        return self._shell.magics_manager.registry["MLOpsMagics"].connection()

    def _say(self, text: str, style: str) -> None:
        self._message.value = f"<pre role='status' aria-live='polite' style='{style}; {_PRE}'>{escape(text)}</pre>"


def _header() -> str:
    cells = "".join(f"<span>{name}</span>" for name in ("type", "shape", "size", "reached", "to know"))
    return (
        f"<div style='{MUTED}; display: flex'><span style='flex: 0 0 {_NAME_WIDTH}'>name</span>"
        f"<div style='{_COLUMNS}; flex: 1 1 auto; margin-left: 4px'>{cells}</div></div>"
    )


def _row(one: Variable) -> str:
    notes = "; ".join(notes_of(one))
    cells = [(one.type, ""), (one.shape, ""), (bytes_text(one.size), ""), (one.why, ""), (notes, f"{_BAD}; {_WRAPPED}")]
    shown = "".join(
        f"<span style='{style or _CUT}' title='{escape(text)}'>{escape(text)}</span>" for text, style in cells
    )
    return f"<div style='{_COLUMNS}; line-height: 1.4'>{shown}</div>"
