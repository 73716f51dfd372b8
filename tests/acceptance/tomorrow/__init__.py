"""The next release of the test project: it publishes people to one more topic."""

TOPIC = "people-of-tomorrow"
