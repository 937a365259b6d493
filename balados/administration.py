"""The administration's site."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import BadRequest, ValidationError
from django.db import DataError, ProgrammingError
from django.http import HttpRequest

logger = logging.getLogger(__name__)

# what Django's pages raise for ids and lookups that cannot be: ?username__regex=( or ?date_joined__year=99999
UNANSWERABLE = (
    *(DataError, ProgrammingError, ValidationError),
    *(ValueError, TypeError, LookupError, ArithmeticError),
)


class Administration(AdminSite):
    """Django's, but a question that has no answer is 400 and no fault of ours."""

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return view(request, *args, **kwargs)
            except UNANSWERABLE:
                if not (request.GET or args or kwargs):
                    raise
                # whole: should it be a fault of ours all the same, it is not lost
                logger.warning("400 in the administration", exc_info=True)
                raise BadRequest("This page knows no answer to that.") from None

        return super().admin_view(checked, cacheable)


class AdministrationConfig(AdminConfig):
    default_site = "balados.administration.Administration"
