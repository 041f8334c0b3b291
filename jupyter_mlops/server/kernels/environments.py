"""Private virtual environments, made by uv from what a snapshot's record says; one for each set of packages."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections import defaultdict
from pathlib import Path

from jupyter_mlops.errors import Conflict, InvalidRequest, PublishRefused
from jupyter_mlops.schema.snapshots import Environment

BUILD_SECONDS = 900.0
NEEDED = ("ipykernel", "msgspec")
"""What a scoring kernel itself needs in its interpreter."""

_READY = ".ready"
_OURS = frozenset({"jupyter_mlops", "jupyter-mlops"})


class Environments:
    """Makes environments, and finds those that are made.

    Parameters
    ----------
    directory:
        Where they lie; each is named after its content, and whole when it holds the file `.ready`.
    wheels:
        A folder of wheels that packages are taken from, without any index; empty for the index that uv is set to.
    """

    def __init__(self, directory: Path, wheels: str) -> None:
        self._directory = directory
        self._wheels = wheels
        self._building: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, recorded: Environment) -> str:
        """The Python of an environment that has the recorded packages in their recorded versions.

        Parameters
        ----------
        recorded:
            What the snapshot's record says.

        Raises
        ------
        InvalidRequest
            When there is no record.
        Conflict
            When this server has no uv.
        PublishRefused
            When a package cannot be had, in uv's words.
        """
        if not recorded.python:
            raise InvalidRequest(
                "a locked environment is made from the record of a snapshot, and this service brings none",
                fields="$.environment",
            )
        packages = sorted(
            f"{name}=={version}" for name, version in recorded.packages.items() if name.lower() not in _OURS
        )
        key = json.dumps([recorded.python, packages, self._wheels]).encode()
        place = self._directory / hashlib.blake2b(key, digest_size=16).hexdigest()
        async with self._building[place.name]:
            if not (place / _READY).exists():
                await self._build(place, recorded, packages)
        return str(_python(place))

    def keep_only(self, interpreters: set[str]) -> None:
        """Remove the environments that no revision uses, and those that were never finished.

        Parameters
        ----------
        interpreters:
            The interpreters of all revisions.
        """
        if self._directory.is_dir():
            for place in self._directory.iterdir():
                busy = place.name in self._building and self._building[place.name].locked()
                if not busy and str(_python(place)) not in interpreters:
                    shutil.rmtree(place, ignore_errors=True)

    async def _build(self, place: Path, recorded: Environment, packages: list[str]) -> None:
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        self._directory.mkdir(mode=0o700, exist_ok=True)
        here = await asyncio.to_thread(os.path.isfile, recorded.executable)
        wanted = recorded.executable if here else recorded.python
        await _uv("venv", "--quiet", "--no-project", "--python", wanted, str(place))
        source = ["--no-index", "--find-links", self._wheels] if self._wheels else []
        needed = [name for name in NEEDED if not any(one.startswith(f"{name}==") for one in packages)]
        await _uv("pip", "install", "--quiet", "--python", str(_python(place)), *source, *packages, *needed)
        (place / _READY).touch()


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


async def _uv(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        _program(), *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(BUILD_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        raise PublishRefused(f"the environment was not made within {BUILD_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()[-12:]
        raise PublishRefused("the environment of the service cannot be made; uv says:\n" + "\n".join(lines))


def _program() -> str:
    found = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
    if found is None:
        raise Conflict(
            "a locked environment is made by uv, which this server does not have; install it beside the server "
            "(pip install 'jupyter_mlops[locked]'), or publish without --environment locked",
            fields="$.environment",
        )
    return found
