"""People in the admin: every edit here is published."""

from django.contrib import admin

from testproject.people.models import Person


@admin.register(Person)
class PersonAdmin(admin.ModelAdmin):
    """Edits people."""

    list_display = ["__str__", "email", "uuid"]
    search_fields = ["first_name", "last_name", "email"]
    readonly_fields = ["uuid"]
