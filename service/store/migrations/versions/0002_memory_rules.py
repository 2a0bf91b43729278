"""By which rule a stream's memory learns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("streams", schema=None) as batch_op:
        batch_op.add_column(sa.Column("memory_rule", sa.String(length=20), nullable=True))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("streams", schema=None) as batch_op:
        batch_op.drop_column("memory_rule")
