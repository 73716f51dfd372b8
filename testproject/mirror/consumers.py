"""What the subscriber listens to."""

from logpipe_signals import subscribes
from testproject.mirror.serializers import CityCopySerializer, CountryCopySerializer, PersonCopySerializer

subscribes("people")(PersonCopySerializer)
subscribes("countries")(CountryCopySerializer)
# Many and simple: applied set-wise, without save() and signals.
subscribes("cities", bulk=True)(CityCopySerializer)
