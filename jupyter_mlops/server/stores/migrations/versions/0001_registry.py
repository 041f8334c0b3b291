"""The registry: users and logins, versions and their revisions, and which revision holds which blob."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "users",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("password_hash", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("created", sa.String, nullable=False),
    )
    op.create_table(
        "logins",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("user", sa.String, sa.ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
        sa.Column("ends", sa.Float, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("login", sa.String, sa.ForeignKey("logins.id", ondelete="CASCADE"), nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("used", sa.Boolean, nullable=False),
    )
    op.create_table(
        "revisions",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("name", "version", "number"),
    )
    op.create_table(
        "versions",
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("revision", sa.String, sa.ForeignKey("revisions.id"), nullable=False),
        sa.UniqueConstraint("name", "version"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "blob_references",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("revision", sa.String, sa.ForeignKey("revisions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
    )
    op.create_index("blob_references_by_owner", "blob_references", ["owner", "digest"])
    op.create_table(
        "meta",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.Integer, nullable=False),
    )
