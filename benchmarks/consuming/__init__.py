"""The consuming half."""
