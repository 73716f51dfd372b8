"""An admin of its own for the tests."""

from django.contrib.admin import AdminSite
from django.urls import path

from testproject.people.models import Person
from tests.zoo.models import Keeper

site = AdminSite(name="admin")
site.register([Person, Keeper])

urlpatterns = [path("admin/", site.urls)]
