"""What the subscriber listens to."""

from logpipe_signals import subscribes
from testproject.mirror.serializers import CityCopySerializer, CountryCopySerializer, PersonCopySerializer

subscribes("people")(PersonCopySerializer)
subscribes("countries")(CountryCopySerializer)
subscribes("cities")(CityCopySerializer)
