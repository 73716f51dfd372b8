"""A service that publishes its people and applies everybody's to the same table."""
