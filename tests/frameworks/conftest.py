"""Django is configured before any test imports its models."""

from sites import django_site

assert django_site.settings.configured
