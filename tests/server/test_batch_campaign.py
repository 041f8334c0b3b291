"""The short form of the campaign against batches: what it breaks, and what must hold, stands in docs/reliability.md."""

import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "batch_faults.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [("--only", "kills", "--rows", "60", "--kills", "2"), ("--sites", "4", "--only", "sweep")]
)
def test_nothing_is_lost_recorded_twice_or_misplaced(options):
    run = subprocess.run(
        [sys.executable, CAMPAIGN, "--late", "60", *options], capture_output=True, text=True, timeout=110
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "lost 0, recorded twice 0, under the wrong row 0" in run.stdout
