"""Names browsers by the User-Agent that they send."""

from typing import Final

from django.http import HttpRequest

# names of browsers, and of the systems they run on, by a substring of the User-Agent: the first match counts
BROWSERS: Final = {
    "Firefox/": "Firefox",
    "Edg/": "Edge",
    "OPR/": "Opera",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
SYSTEMS: Final = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Mac OS": "macOS",
    "Windows": "Windows",
}


def device_name(request: HttpRequest) -> str:
    """Return what the history and the list of sessions call this browser, like ``Firefox on Android``."""
    agent = request.headers.get("User-Agent", "")
    browser = next((name for sign, name in BROWSERS.items() if sign in agent), "Browser")
    system = next((name for sign, name in SYSTEMS.items() if sign in agent), "")
    system = system or ("Linux" if "Linux" in agent else "")
    return f"{browser} on {system}" if system else browser
