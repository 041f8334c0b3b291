"""From a trained model to the bytes of a realtime service: convert, compare, pack.

What converts a family of models is in a module of its name; each says the model's columns, its own answers and
its forms as a graph (`original.Original`), and `serialize` does the rest. Heavy libraries are imported where they
are used.
"""

from __future__ import annotations

from jupyter_mlops.models.serialize import SerializedModel, serialize_model

__all__ = ["SerializedModel", "serialize_model"]
