"""Batches, what is recorded of them, and the blobs that they need."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _batch(*, key: bool = False) -> sa.Column[str]:
    return sa.Column("batch", sa.String, sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=key)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "batches",
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("chunks", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("ended", sa.String, nullable=False),
        sa.UniqueConstraint("owner", "key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "batch_slices",
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("batch", sa.String, sa.ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("file", sa.Integer, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.UniqueConstraint("batch", "first"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "batch_failures",
        _batch(key=True),
        sa.Column("row", sa.Integer, primary_key=True),
        sa.Column("message", sa.String, nullable=False),
    )
    op.create_table(
        "batch_artifacts",
        _batch(key=True),
        sa.Column("row", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("file", sa.Integer, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
    )
    op.create_table(
        "batch_tries",
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("batch", sa.String, sa.ForeignKey("batches.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "batch_blobs",
        sa.Column("digest", sa.String, primary_key=True),
        _batch(key=True),
    )
