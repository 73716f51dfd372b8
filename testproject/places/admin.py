"""Countries, cities and tags in the admin."""

from django.contrib import admin

from testproject.places.models import City, Country, Tag


@admin.register(Tag)
class TagAdmin(admin.ModelAdmin):
    """Edits tags."""

    search_fields = ["name"]


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):
    """Edits countries."""

    list_display = ["name", "code", "capital"]
    search_fields = ["name", "code"]


@admin.register(City)
class CityAdmin(admin.ModelAdmin):
    """Edits cities; a quarter of a million of them, so nothing lists them all."""

    list_display = ["name", "country", "population", "geoname_id"]
    list_select_related = ["country"]
    search_fields = ["name"]
    autocomplete_fields = ["country", "tags"]
    ordering = ["-population"]
