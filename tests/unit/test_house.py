"""The house stands: its import rules, the size of its files, its migrations, its lock file."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from jupyter_mlops.errors import BY_NAME, MLOpsError
from jupyter_mlops.server.handlers.base import STATUS_OF
from jupyter_mlops.server.stores import database, tables

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "jupyter_mlops").rglob("*.py"), *(ROOT / "labextension" / "src").rglob("*.ts*")]


def test_the_rooms_import_only_what_they_may():
    ended = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_idea(path):
    assert len(path.read_text().splitlines()) <= 400


def test_no_file_names_a_registry_or_this_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    lock = json.loads((ROOT / "labextension" / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    hosts = re.compile(r"registry\.npmjs|files\.pythonhosted|pypi\.org/simple|deb\.debian\.org")
    own = Path(__file__).relative_to(ROOT).as_posix()
    found = [name for name in listed if name != own and hosts.search((ROOT / name).read_text(errors="ignore"))]
    assert found == []


def test_all_migrations_make_the_tables(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.sqlite'}")
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == tables.HEAD
        from alembic.autogenerate import compare_metadata

        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_every_error_has_a_status_and_a_sentence():
    only_here = {"MLOpsError", "ServerUnreachable", "CaptureError", "CodeRaised"}
    for name, kind in BY_NAME.items():
        assert kind.__doc__, name
        assert name in MLOpsError.__module__ or name in (sys.modules[MLOpsError.__module__].__doc__ or "")
        if name not in only_here and kind.__module__ == MLOpsError.__module__:
            assert any(parent in STATUS_OF for parent in kind.__mro__), name


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False), ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 7), True),
        ((3, 51, 2), False), ((3, 51, 3), True), ((3, 52, 0), True),
    ],
)  # fmt: skip
def test_the_write_ahead_log_is_used_only_where_it_is_safe(version, safe):
    assert database.wal_is_safe(version) is safe


def test_importing_the_package_is_light():
    code = "import sys, jupyter_mlops; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("pandas", "numpy", "tornado", "sqlalchemy", "msgspec", "urllib3", "IPython"):
        assert f"'{heavy}'" not in loaded
