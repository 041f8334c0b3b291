"""The base of every wire type, and the number each stored or spoken format carries."""

from __future__ import annotations

import msgspec

API_VERSION = "1"
"""Version of the HTTP interface, in `/health` and in the client's header."""

SERVER_FILE_FORMAT = 1
"""Format of `server.json` in the data directory."""

MANIFEST_FORMAT = 1
"""Format of a snapshot: its manifest, its stream and its buffers."""

CHANNEL_FORMAT = 3
"""Format of the scoring channel between the server and a scoring kernel."""

CONTAINER_FORMAT = 1
"""Format of a realtime service's model: its prefix and its header."""

BATCH_FORMAT = 1
"""Format of a batch's files: its inputs in chunks, its results in frames."""

EVENTS_FORMAT = 1
"""Format of the messages of the `/events` WebSocket."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """A JSON object of the HTTP interface; Python names in snake case, wire names in camel case."""
