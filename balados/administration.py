"""The administration's site."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest

View = Callable[..., Any]


class Administration(AdminSite):
    """Django's, but what no list can be searched for (``?username__regex=(``) is 400 and no fault of ours."""

    def admin_view(self, view: View, cacheable: bool = False) -> Any:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return view(request, *args, **kwargs)
            except DataError:
                raise BadRequest("The database understands no such search.") from None

        return super().admin_view(checked, cacheable)


class AdministrationConfig(AdminConfig):
    default_site = "balados.administration.Administration"
