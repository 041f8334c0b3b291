"""FastAPI on uvicorn[standard] with the functions in its own process: what people write by hand today."""

# No `from __future__ import annotations`: FastAPI reads the hints.
import socket

import uvicorn
import work
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Numbers(BaseModel):
    """Inputs of `add`."""

    x: float
    y: float


class Car(BaseModel):
    """Inputs of `cars`."""

    hp: float
    wt: float


class Answer(BaseModel):
    """What both return."""

    answer: float


# Coroutines, because a plain function would go through a thread pool and be slower.
@app.post("/add")
async def add(numbers: Numbers) -> Answer:
    """Run one call of `add`."""
    return Answer(answer=work.add(numbers.x, numbers.y))


@app.post("/cars")
async def cars(car: Car) -> Answer:
    """Run one call of `cars`."""
    return Answer(answer=work.cars(car.hp, car.wt))


@app.post("/cars-onnx")
async def cars_onnx(car: Car) -> Answer:
    """Run one call of the model of `cars` as a graph."""
    from models import scorer

    return Answer(answer=float(scorer("cars").row(car.hp, car.wt)[1]))


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning"))
    # Connections wait in the backlog until uvicorn accepts them.
    print(f"ready at http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    server.run(sockets=[listening])
