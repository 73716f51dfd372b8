"""The copies in the admin: to look at. Only the consumer writes them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from testproject.mirror.models import CityCopy, CountryCopy, PersonCopy


class CopyAdmin(admin.ModelAdmin):
    """Shows, changes nothing."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False


@admin.register(PersonCopy)
class PersonCopyAdmin(CopyAdmin):
    """People as they arrived."""

    list_display = ["__str__", "email", "uuid"]
    search_fields = ["first_name", "last_name", "email"]


@admin.register(CountryCopy)
class CountryCopyAdmin(CopyAdmin):
    """Countries as they arrived."""

    list_display = ["name", "code", "capital"]
    search_fields = ["name", "code"]


@admin.register(CityCopy)
class CityCopyAdmin(CopyAdmin):
    """Cities as they arrived."""

    list_display = ["name", "country_code", "population", "tags"]
    search_fields = ["name"]
    ordering = ["-population"]
