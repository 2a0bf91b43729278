"""`scripts/figures`: measures what the project promises, and compares it to the values kept."""
