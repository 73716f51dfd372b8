"""What the subscriber listens to: people one by one, so that `save()` and signals run; cities in bulk, for speed."""

from logpipe_signals import subscribes
from testproject.mirror.serializers import CityCopySerializer, CountryCopySerializer, PersonCopySerializer

subscribes("people")(PersonCopySerializer)
subscribes("countries")(CountryCopySerializer)
subscribes("cities", bulk=True)(CityCopySerializer)
