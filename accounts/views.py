"""Pages for set-up, registration, log-in and log-out, and for the keys of new apps."""

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import attempts, mails, setup
from accounts.addresses import client_address
from accounts.forms import LogInForm, NewAccountForm, SetupForm
from accounts.login_limits import remember_browser, too_many
from accounts.models import TAKEN, User
from accounts.pages import private, read_or_post, safe_next
from accounts.scopes import WORDS

# new accounts and attempts to create one, per address: enough for a household, too few to harvest names
REGISTRATIONS = 30
REGISTRATIONS_WITHIN = timedelta(hours=1)
# a button is pressed again after a longer time only if the first attempt went wrong
SENT_TWICE_WITHIN = timedelta(minutes=1)
# the scopes that most apps need, shown first in the app creator
COMMON = ("user.sync", "user.subscriptions", "user.plays", "user.read")


@sensitive_post_parameters()
@private
@read_or_post
def set_up(request: HttpRequest) -> HttpResponse:
    """Create the first administrator; 404 once there is one."""
    if not setup.pending():
        if request.method == "POST":  # lost the race against another set-up
            return redirect(settings.LOGIN_URL)
        raise Http404
    if request.method != "POST":
        form = SetupForm(initial={"token": request.GET.get("token", "")})
        return render(request, "accounts/setup.html", {"form": form})
    form = SetupForm(request.POST)
    if not form.is_valid():
        return render(request, "accounts/setup.html", {"form": form}, status=400)
    typed = form.cleaned_data
    try:
        user = setup.complete(
            typed["username"], typed.get("email", ""), typed["password1"], typed["token"], timezone.now()
        )
    except setup.WrongToken:
        form.add_error("token", _("This is not the token that the server printed."))
        return render(request, "accounts/setup.html", {"form": form}, status=400)
    except setup.AlreadySetUp:
        return redirect(settings.LOGIN_URL)
    return _welcome(request, user, settings.LOGIN_REDIRECT_URL)


@sensitive_post_parameters()
@private
@read_or_post
def register(request: HttpRequest) -> HttpResponse:
    """Create the account of a new listener."""
    if setup.pending():
        return redirect("set_up")
    if not settings.REGISTRATION_OPEN:
        return render(request, "accounts/closed.html", status=403)
    if request.method != "POST":
        context = {"form": NewAccountForm(), "next": request.GET.get("next", "")}
        return render(request, "accounts/register.html", context)
    wait = attempts.count("register", client_address(request), REGISTRATIONS, REGISTRATIONS_WITHIN)
    if wait:
        return too_many(request, wait)
    form = NewAccountForm(request.POST)
    user = _create(form) if form.is_valid() else None
    if again := None if user else _just_made(form):
        return _enter(request, again, safe_next(request))
    if user is None:
        context = {"form": form, "next": request.POST.get("next", "")}
        return render(request, "accounts/register.html", context, status=400)
    return _welcome(request, user, safe_next(request))


@sensitive_post_parameters()
@private
@read_or_post
def log_in(request: HttpRequest) -> HttpResponse:
    """Log in, and redirect to ``next`` if it is a page of this host."""
    if request.user.is_authenticated and request.method != "POST":
        return HttpResponseRedirect(safe_next(request))
    form = LogInForm(request, data=request.POST if request.method == "POST" else None)
    if form.is_valid():
        return _enter(request, form.get_user(), safe_next(request))
    target = safe_next(request)
    context = {
        "form": form,
        "next": target,
        "to_authorize": target.startswith("/authorize?"),
        "registration_open": settings.REGISTRATION_OPEN,
    }
    return render(request, "accounts/log_in.html", context, status=400 if form.is_bound else 200)


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


@require_safe
def app_creator(request: HttpRequest) -> HttpResponse:
    """Show the page that makes a key pair and an authorization in the browser; the server has no part in
    it."""
    context = {
        "instance": settings.PUBLIC_URL,
        "ticked": ["user.sync"],
        "common": {scope: WORDS[scope] for scope in COMMON},
        "other": {scope: words for scope, words in WORDS.items() if scope not in COMMON},
    }
    return render(request, "accounts/app_creator.html", context)


def _create(form: NewAccountForm) -> User | None:
    """Return the new user, or None with the reason in the form."""
    typed = form.cleaned_data
    try:
        with transaction.atomic(using="system"):
            address = typed.get("email", "")
            return User.objects.create_user(typed["username"], "", typed["password1"], new_email=address)
    except (IntegrityError, ValidationError):  # somebody took the name after it was checked
        form.add_error("username", TAKEN)
        return None


def _just_made(form: NewAccountForm) -> User | None:
    """Return the account of a form that was sent twice: one created a moment ago, with this name and
    password."""
    name, password = form.data.get("username", ""), form.data.get("password1", "")
    try:
        user = User.objects.get_by_natural_key(name.strip())
    except User.DoesNotExist:
        return None
    is_new = timezone.now() - user.date_joined < SENT_TWICE_WITHIN and user.username == name.strip()
    return user if is_new and user.is_active and user.check_password(password) else None


def _welcome(request: HttpRequest, user: User, target: str) -> HttpResponse:
    """Log a new user in, and send a mail to confirm the e-mail address if one was given."""
    if user.new_email:
        mails.order_soon("confirm", user)
        messages.success(
            request, _("Open the link that was sent to %(address)s.") % {"address": user.new_email}
        )
    return _enter(request, user, target)


def _enter(request: HttpRequest, user: User, target: str) -> HttpResponse:
    """Log ``user`` in, under a new session key, and redirect to ``target``."""
    if request.user.is_authenticated:  # Django changes the key only of an anonymous session
        request.session.cycle_key()
    # a user who has just been created was not authenticated by a backend, so the backend is named here
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    response = HttpResponseRedirect(target)
    remember_browser(request, response, user)
    return response
