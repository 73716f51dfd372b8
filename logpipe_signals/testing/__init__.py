"""What a project's own tests need. Nothing here runs in production."""
