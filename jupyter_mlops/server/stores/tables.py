"""The tables, nothing else; `migrations/` makes them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

HEAD = "0004"
"""The newest migration; a test compares it with the files."""

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("name", String, primary_key=True),
    Column("password_hash", String, nullable=False),
    Column("role", String, nullable=False),
    Column("created", String, nullable=False),
)

logins = Table(
    "logins",
    metadata,
    Column("id", String, primary_key=True),
    Column("user", String, ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("ends", Float, nullable=False),  # seconds since 1970 after which no refresh helps
    Column("revoked", Boolean, nullable=False, default=False),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", String, primary_key=True),  # SHA-256: the token itself is never stored
    Column("login", String, ForeignKey("logins.id", ondelete="CASCADE"), nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Boolean, nullable=False, default=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),  # schema.services.Revision as JSON
    UniqueConstraint("name", "version", "number"),
)

versions = Table(
    "versions",
    metadata,
    Column("ordinal", Integer, primary_key=True, autoincrement=True),  # order of publication
    Column("name", String, nullable=False),
    Column("version", String, nullable=False),
    Column("revision", String, ForeignKey("revisions.id"), nullable=False),
    Column("pool", LargeBinary, nullable=True),  # schema.pools.PoolSettings as JSON; none for the defaults
    UniqueConstraint("name", "version"),
    sqlite_autoincrement=True,
)

blob_references = Table(
    "blob_references",
    metadata,
    Column("digest", String, primary_key=True),
    Column("revision", String, ForeignKey("revisions.id", ondelete="CASCADE"), primary_key=True),
    Column("owner", String, nullable=False),
    Index("blob_references_by_owner", "owner", "digest"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("ordinal", Integer, primary_key=True, autoincrement=True),  # order of creation
    Column("id", String, nullable=False, unique=True),
    Column("owner", String, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),  # schema.snapshots.Snapshot as JSON
    sqlite_autoincrement=True,
)

snapshot_blobs = Table(
    "snapshot_blobs",
    metadata,
    Column("digest", String, primary_key=True),
    Column("snapshot", String, ForeignKey("snapshots.id", ondelete="CASCADE"), primary_key=True),
)

batches = Table(
    "batches",
    metadata,
    Column("ordinal", Integer, primary_key=True, autoincrement=True),  # order of submission
    Column("id", String, nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("key", String, nullable=True),  # what the owner may repeat the submission with
    Column("body", LargeBinary, nullable=False),  # stores.batches.BatchRecord as JSON
    Column("chunks", LargeBinary, nullable=False),  # chunks.Chunk as MessagePack
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("started", String, nullable=False),
    Column("ended", String, nullable=False),
    UniqueConstraint("owner", "key"),
    sqlite_autoincrement=True,
)

batch_slices = Table(  # the ledger: which rows have a result, and where it lies
    "batch_slices",
    metadata,
    Column("ordinal", Integer, primary_key=True, autoincrement=True),  # order of recording
    Column("batch", String, ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
    Column("first", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("file", Integer, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    UniqueConstraint("batch", "first"),
    sqlite_autoincrement=True,
)

batch_failures = Table(
    "batch_failures",
    metadata,
    Column("batch", String, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("message", String, nullable=False),
)

batch_artifacts = Table(
    "batch_artifacts",
    metadata,
    Column("batch", String, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("name", String, primary_key=True),
    Column("file", Integer, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("size", Integer, nullable=False),
)

batch_tries = Table(  # rows that were begun and have no result of that try
    "batch_tries",
    metadata,
    Column("ordinal", Integer, primary_key=True, autoincrement=True),
    Column("batch", String, ForeignKey("batches.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("first", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("kind", String, nullable=False),
    sqlite_autoincrement=True,
)

batch_blobs = Table(
    "batch_blobs",
    metadata,
    Column("digest", String, primary_key=True),
    Column("batch", String, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
)

compute_nodes = Table(
    "compute_nodes",
    metadata,
    Column("ordinal", Integer, primary_key=True, autoincrement=True),  # order of entry
    Column("uri", String, nullable=False, unique=True),
    sqlite_autoincrement=True,
)

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Integer, nullable=False),
)
