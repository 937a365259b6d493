"""The language and time zone of the pages for a listener, and whether
subscriptions follow podcasts that move."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages import read_or_post
from web.forms import PreferencesForm
from web.shortcuts import for_listeners
from web.toasts import tell

KEPT = ("language", "time_zone", "follow_moves")


@read_or_post
@for_listeners
def preferences(request: HttpRequest, user: User) -> HttpResponse:
    """Show the form, and save it."""
    if request.method != "POST":
        form = PreferencesForm(initial={name: getattr(user, name) for name in KEPT})
        return render(request, "web/account/preferences.html", {"form": form})
    form = PreferencesForm(request.POST)
    if not form.is_valid():
        return render(request, "web/account/preferences.html", {"form": form}, status=400)
    for name in KEPT:
        setattr(user, name, form.cleaned_data[name])
    user.save(update_fields=KEPT)
    with translation.override(user.language or translation.get_language_from_request(request)):
        tell(request, _("Kept."))
    return redirect("account")
