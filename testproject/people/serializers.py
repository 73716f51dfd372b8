"""What a person looks like on the topic."""

from rest_framework import serializers

from testproject.people.models import Person


class PersonSerializer(serializers.ModelSerializer):
    """A person, keyed by uuid."""

    MESSAGE_TYPE = "person"
    VERSION = 1
    KEY_FIELD = "uuid"
    SENSITIVE_FIELDS = ["email"]

    class Meta:
        model = Person
        fields = ["uuid", "first_name", "last_name", "email"]
