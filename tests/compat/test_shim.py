"""The SDK with the shim's extras: its faults mended, and the pool methods that its public release never had.

In a process of its own, because the extras change the SDK.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import PASSWORD

PROGRAM = """
import sys, warnings

warnings.filterwarnings("ignore", "the imp module is deprecated", DeprecationWarning)
import azsdk_shim
from azureml.deploy import DeployClient

url, password = sys.argv[1:]
client = DeployClient(url, use="MLServer", auth=("admin", password))
service = client.service("pooled").version("1").code_str("y = x").inputs(x=int).outputs(y=int).deploy()
assert client.create_or_update_service_pool("pooled", "1", 1, 2).status_code == 200
(node,) = client.get_service_pool_status("pooled", "1")
assert set(node) >= {"ComputeNodeEndpoint", "Status"}, node
assert node["Status"] in {"Success", "Pending"}, node
assert client.delete_service_pool("pooled", "1").status_code == 200
changed = client.service("pooled").description("without a version").redeploy()
assert changed.capabilities()["description"] == "without a version"
assert changed.consume(3).output("y") == 3
print("held")
"""


def test_the_extras(server, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, server.url, PASSWORD],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "AZSDK_SHIM_EXTRAS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "held\n"
