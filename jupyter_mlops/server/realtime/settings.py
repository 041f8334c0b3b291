"""The settings of realtime services, and what is made of them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from traitlets import Float, HasTraits, Int

from jupyter_mlops.server.kernels import memory
from jupyter_mlops.server.kernels.channel import Listener
from jupyter_mlops.server.kernels.guardian import SHARED
from jupyter_mlops.server.kernels.launcher import Launcher
from jupyter_mlops.server.realtime.checker import Checker
from jupyter_mlops.server.realtime.worker import Employment
from jupyter_mlops.server.realtime.workers import Workers

SHARE = 0.25
"""Part of the machine's memory that models may use when no setting says otherwise."""
WORKING_MEMORY = 2 * 2**30
"""Bytes that a worker may use beside its models."""
_IN_MEMORY = Path("/dev/shm")  # noqa: S108  # folders there are made by mkdtemp, for their owner only
_LEAST_SPACE = 512 * 2**20


class RealtimeSettings(HasTraits):
    """Traits of the application that realtime services have for themselves."""

    realtime_workers = Int(
        0, min=0, config=True, help="Most processes that score realtime services; 0 for as many as there are cores."
    )
    realtime_memory = Int(
        0,
        min=0,
        config=True,
        help="Bytes that the models of all realtime services together may use; 0 for a quarter of the memory. The "
        "least recently used ones give way, and come back at their next call.",
    )
    realtime_check_seconds = Float(
        60.0,
        min=1.0,
        config=True,
        help="Seconds in which a published model must be read and answer a few made-up rows.",
    )


def make_workers(settings: RealtimeSettings, launcher: Launcher, listener: Listener) -> Workers:
    """Make what scores realtime services; nothing is started yet.

    Parameters
    ----------
    settings:
        How many workers, and how much memory.
    launcher:
        Its directory and variables are the workers' too.
    listener:
        What they connect to.
    """
    cores = os.cpu_count() or 1
    most = settings.realtime_workers or cores
    budget = settings.realtime_memory or int(SHARE * memory.total())
    folder = _shared(launcher.directory)
    employment = Employment(
        listener=listener,
        environment=launcher.environment,
        directory=launcher.directory,
        folder=folder,
        in_memory=folder != launcher.directory,
        threads=max(1, cores // most),
        memory=budget + WORKING_MEMORY,
    )
    return Workers(employment, maximum=most, memory=budget, installed=installed())


def make_checker(settings: RealtimeSettings, launcher: Launcher) -> Checker:
    """Make what judges models."""
    return Checker(launcher.environment, launcher.directory, settings.realtime_check_seconds)


def installed() -> bool:
    """Whether this machine has what scores realtime services; nothing of it is imported here."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def _shared(directory: Path) -> Path:
    """A private folder in memory, where there is such a place with room; the directory itself elsewhere."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(_IN_MEMORY).free >= _LEAST_SPACE:
            folder = Path(tempfile.mkdtemp(prefix="mlops-", dir=_IN_MEMORY))
            (directory / SHARED).symlink_to(folder)  # so that whoever removes the directory finds it
            return folder
    return directory
