"""MLServer with `cars` in its own process; run by a Python that has mlserver, scikit-learn and pandas."""

from __future__ import annotations

import asyncio
import os
import socket

import work
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Cars(MLModel):
    """One row in, one probability out."""

    async def load(self) -> bool:
        """There is nothing to load: `work` has it."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run one call."""
        given = {one.name: one.data[0] for one in payload.inputs}
        answer = ResponseOutput(name="answer", shape=[1], datatype="FP64", data=[work.cars(**given)])
        return InferenceResponse(model_name=self.name, outputs=[answer])


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


async def serve() -> None:
    """Serve, and say where as soon as it answers."""
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # it logs to standard output
    port = free_port()
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=free_port(),
        metrics_port=free_port(),
        parallel_workers=0,
        use_structured_logging=False,
        debug=False,
    )
    server = MLServer(settings)
    running = asyncio.create_task(server.start([ModelSettings(name="cars", implementation=Cars)]))
    while not running.done():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            break
    await asyncio.sleep(1)  # its models load beside its port
    print(f"ready at http://127.0.0.1:{port}", file=said, flush=True)
    await running


if __name__ == "__main__":
    asyncio.run(serve())
