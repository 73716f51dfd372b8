"""`manage.py demo`: the product shown to somebody who has never seen it."""
