"""Pool settings of each version."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; none means the defaults."""
    with op.batch_alter_table("versions") as versions:
        versions.add_column(sa.Column("pool", sa.LargeBinary, nullable=True))
