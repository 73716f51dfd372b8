"""Real processes on real services, hurt on purpose; a checker says afterwards whether the promises held."""
