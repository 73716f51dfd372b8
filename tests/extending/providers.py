"""What a publication asks of each row."""


def by_initial(person):
    """The message key: people of one initial are on one partition, in order."""
    return person.last_name[:1].upper()


def tenant_of(person):
    """Further headers."""
    return {"tenant": person.email.partition("@")[2] or "none"}
