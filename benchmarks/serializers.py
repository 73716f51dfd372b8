"""What people look like on the topic."""

from benchmarks.models import TriggeredPerson
from testproject.people.serializers import PersonSerializer


class TriggeredPersonSerializer(PersonSerializer):
    """A person, keyed by uuid."""

    class Meta(PersonSerializer.Meta):
        model = TriggeredPerson
