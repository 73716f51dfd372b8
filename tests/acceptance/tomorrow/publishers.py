"""What tomorrow's release publishes beside today's."""

from logpipe_signals import publishes
from testproject.people.models import Person
from testproject.people.serializers import PersonSerializer
from tests.acceptance.tomorrow import TOPIC

publishes(TOPIC, PersonSerializer)(Person)
