"""Snapshots that users keep, and the list of compute nodes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "snapshots",
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("owner", sa.String, nullable=False, index=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "snapshot_blobs",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("snapshot", sa.String, sa.ForeignKey("snapshots.id", ondelete="CASCADE"), primary_key=True),
    )
    op.create_table(
        "compute_nodes",
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("uri", sa.String, nullable=False, unique=True),
        sqlite_autoincrement=True,
    )
