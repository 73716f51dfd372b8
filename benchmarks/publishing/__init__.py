"""The publishing half."""
