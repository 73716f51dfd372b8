"""The publishing half: capture writes intents into the outbox, the relay sends the rows' state and retires them."""
