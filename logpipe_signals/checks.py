"""System checks: what would lose or stop messages is said at start-up, with the cure."""
