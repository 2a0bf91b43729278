"""Webhooks that are a broker, or one of Apprise's services; events by when they were judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("webhooks", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("way", sa.String(length=16), nullable=False, server_default="webhook")
        )
    op.create_index("events_by_label", "events", ["labelled_at"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index("events_by_label", "events")
    op.execute("DELETE FROM webhooks WHERE way <> 'webhook'")
    op.drop_column("webhooks", "way")
