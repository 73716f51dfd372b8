"""A Django project around django-logpipe. It runs in the environment that has it, and imports nothing of ours."""
