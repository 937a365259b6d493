"""What a browser is called, from what it says about itself."""

from typing import Final

from django.http import HttpRequest

# the name of the browser, and of the system that it runs on, by what stands in the User-Agent: first match
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
    """``Firefox on Android``: what the history and the list of sessions call this browser."""
    agent = request.headers.get("User-Agent", "")
    browser = next((name for sign, name in BROWSERS.items() if sign in agent), "Browser")
    system = next((name for sign, name in SYSTEMS.items() if sign in agent), "")
    system = system or ("Linux" if "Linux" in agent else "")
    return f"{browser} on {system}" if system else browser
