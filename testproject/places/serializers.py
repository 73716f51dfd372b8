"""What countries and cities look like on their topics."""

from rest_framework import serializers

from testproject.places.models import City, Country


class CountrySerializer(serializers.ModelSerializer):
    """A country, keyed by its code."""

    MESSAGE_TYPE = "country"
    VERSION = 1
    KEY_FIELD = "code"

    class Meta:
        model = Country
        fields = ["code", "name", "capital"]


class CountryInCitySerializer(serializers.ModelSerializer):
    """The country as a city shows it."""

    class Meta:
        model = Country
        fields = ["code", "name"]


class CitySerializer(serializers.ModelSerializer):
    """A city with its country nested and its tags by name; keyed by GeoNames' id."""

    MESSAGE_TYPE = "city"
    VERSION = 1
    KEY_FIELD = "geoname_id"

    country = CountryInCitySerializer()
    tags: serializers.SlugRelatedField = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)

    class Meta:
        model = City
        fields = ["geoname_id", "name", "country", "population", "latitude", "longitude", "tags"]
