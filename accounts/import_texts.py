"""Texts about imports from other sync servers, for people and in their language."""

from typing import Final

from django.utils.translation import gettext_lazy as _

# by the names in ``feeds.imports.progress``
KINDS: Final = {
    "devices": _("Devices"),
    "podcasts": _("Podcasts"),
    "episodes": _("Listening history"),
    "settings": _("Settings of apps"),
    "favourites": _("Saved episodes"),
}
# a single item of a kind, by its number
ONES: Final = {
    "devices": _("Device %(number)d"),
    "podcasts": _("Podcast %(number)d"),
    "episodes": _("Action %(number)d"),
    "settings": _("Setting %(number)d"),
    "favourites": _("Episode %(number)d"),
}
FLAVOURS: Final = {
    "gpodder": _("a server with the protocol of gpodder.net"),
    "nextcloud": _("a Nextcloud with GPodder Sync"),
}
# why an import ended, by its ``error``
ENDS: Final = {
    "wrong_password": _("That server does not know this user name with this password."),
    "nextcloud_password": _(
        "This is a Nextcloud, and it does not know this user name with this password. With a log-in in two"
        " steps it wants an app password: you make one there, in your settings, under Security."
    ),
    "no_app": _(
        "This is a Nextcloud, but its app for podcasts is not installed. It is called GPodder Sync, and an"
        " administrator can add it."
    ),
    "no_server": _(
        "Something answers at this address, but no sync server for podcasts. Is the address complete? Some"
        " servers are in a folder, as in example.org/sync."
    ),
    "unreachable": _("No server can be reached at this address. Is it spelt right?"),
    "timeout": _("The server takes too long to answer."),
    "tls": _(
        "No safe connection to that server can be made: its certificate may have expired, or it has none. A"
        " server at home without one is named with http:// before its address."
    ),
    "refused": _(
        "This address cannot be used: it leads into a private network, to an unusual port or to this server"
        " itself. Whoever runs this server can allow private networks and other ports."
    ),
    "elsewhere": _(
        "This address leads on to another server. Your password goes only to the server that you name: type"
        " the address that your browser shows there."
    ),
    "too_many_redirects": _("The server redirects too often, or in a circle."),
    "paused": _("The server asks to be left alone for a while, or is being maintained."),
    "server_error": _("The server answered with an error of its own."),
    "bad_answer": _("The server answered in a way that cannot be used."),
    "no_json": _("The server answered with something that no sync server sends."),
    "not_found": _("The server no longer has what it had a moment ago."),
    "too_large": _("The server answered with more than can be read at once."),
    "cancelled": _("You stopped it."),
    "given_up": _("It did not come to its end within six hours, and the password is forgotten by now."),
}
UNKNOWN_END: Final = _("Something went wrong that nobody expected.")
# why a single item was refused
REFUSALS: Final = {
    "scheme": _("This is no web address: those of feeds begin with http:// or https://."),
    "invalid_host": _("This address names no server that there could be."),
    "credentials": _("An address with a user name or a password in it cannot be kept safe here."),
    "control_characters": _("There are characters in this address that no address has."),
    "too_long": _("This address is longer than a feed's may be."),
    "too_short": _("This is too short for an address."),
    "not_a_string": _("There is no address."),
    "not_an_object": _("This cannot be read."),
    "unknown_action": _("What was done with it is of a kind that is not known here."),
    "bad_number": _("A position or a length is no number of seconds."),
    "bad_time": _("Its time cannot be read."),
    "guid_too_long": _("The episode’s identifier is too long."),
    "too_many": _("There are more than 10,000 podcasts."),
    "device_name": _("This is no name that a device can have here."),
}
UNKNOWN_REFUSAL: Final = _("This cannot be kept here.")
