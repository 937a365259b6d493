"""What each scope lets an app do, in words for the person who decides."""

from accounts.scopes import SCOPES, TOPICS

_TOPIC_WORDS = {
    "subscriptions": ("the podcasts you follow", "follow and unfollow podcasts"),
    "plays": ("what you listen to and how far", "record what you listen to and how far"),
    "playlists": ("your playlists", "make, change and delete playlists"),
    "collections": ("your collections of podcasts", "make, change and delete collections"),
    "privacy": ("what you keep private", "change what you keep private"),
}

WORDS = {
    "*": "Do everything that you can do here, also what later versions add",
    "*.read": "See everything that is here of you, also what later versions add",
    "*.write": "Change everything that is here of you, also what later versions add",
    "user": "See, change and keep in step everything in your account",
    "user.read": "See your whole history, and take out all your data as one file",
    "user.write": "Bring in exported data, remove parts of your history for good, make tokens for players",
    "user.sync": "Keep your podcasts, plays and playlists in step with the app, both ways",
    "user.*": "See, change and keep in step every part of your account",
    "user.*.read": "See every part of your account",
    "user.*.write": "Change every part of your account",
}
for _topic in TOPICS:
    _see, _change = _TOPIC_WORDS[_topic]
    WORDS[f"user.{_topic}"] = f"See {_see}, and {_change}"
    WORDS[f"user.{_topic}.read"] = f"See {_see}"
    WORDS[f"user.{_topic}.write"] = f"{_change[0].upper()}{_change[1:]}"

# a scope without words would be approved without being understood
assert set(WORDS) == set(SCOPES)
