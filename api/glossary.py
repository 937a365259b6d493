"""What fields mean that the OpenAPI document would otherwise show by their names alone.

A field is looked up as ``Struct.field``, for names with several meanings, and then by its name. Fields of
requests have descriptions of their own (api/fields.py), and what only one struct has is explained with it.
"""

from typing import Any

_WHERE_KNOWN = "; null while its feed has not been fetched, and in answers of writes."
_AT = "2026-05-01T12:00:00Z"

DESCRIPTIONS = {
    "acted_at": "When it was done.",
    "action": "What was done with the episode.",
    "added_at": "When it was added; null for an entry that was only taken out.",
    "app": "The app that registered the device, as it names itself.",
    "app_id": "The id that an app gives itself, `iss` in its tokens; null for what was done on a page.",
    "attr": "The place of the error in the request; null if it concerns all of it.",
    "author": "Who makes the podcast, as its feed says.",
    "bio": "Some words about the user.",
    "caption": "The name of the device for people.",
    "categories": "Slugs of Apple's podcast categories.",
    "changed_at": "When the server last saw something new in it.",
    "code": "The kind of fault, for programs: it does not change.",
    "color": "Red, green and blue in hexadecimal; null if none was chosen.",
    "complete": "Whether the podcast says that no more episodes will come.",
    "copyright": "As the feed has it.",
    "cover": "The address of a WebP of at most 300 pixels each way, on this server; `96.webp` and"
    " `600.webp` are other sizes.",
    "created_at": "When it was made.",
    "current": "Whether it is the app that asks.",
    "cursor": "Send it with the next sync.",
    "data": "The contents of the event; the fields depend on its `type`.",
    "date_joined": "When the account was made.",
    "deleted_at": "When it was deleted; null while it exists.",
    "description": "As its owner or its feed describes it.",
    "detail": "What is wrong, for people, in English.",
    "device": "The id that the device gave itself; null if it is not known.",
    "device_id": "The id that the device gave itself, in its token; null if it gave none.",
    "device_name": "The name of the device, from its token; null if it gave none.",
    "duration": "The length in seconds, as the feed has it.",
    "email": "The e-mail address; empty if the user gave none.",
    "enclosure_length": "The size of the media file in bytes, as the feed has it.",
    "enclosure_type": "The media type of the file, as the feed has it.",
    "enclosure_url": "The address of the episode's media file; empty if it has none.",
    "episode": "The number of the episode, as the feed has it.",
    "episode_count": "How many episodes the server knows.",
    "episodes_finished": "How many episodes were heard to the end.",
    "event_id": "The id of the event, for `/events/{event_id}/undo`.",
    "event_type": "What was done.",
    "expires_at": "When it ends; null if it does not.",
    "explicit": "Whether the feed declares explicit content; null if it says nothing.",
    "exported_at": "When the document was made.",
    "featured": "Whether the operator recommends it.",
    "feed_count": "How many feeds are in it.",
    "feed_title": "The title of the podcast as the app knew it.",
    "feed_url": "The URL that `rss_source_feed` encodes.",
    "fetched_at": "When the feed was last fetched, with success or without.",
    "fingerprint": "The SHA-256 of the app's public key, in hexadecimal.",
    "first_seen": "When the device was first seen, to the day.",
    "forgotten_at": "When the device was removed; null if it never was.",
    "from": "The first day.",
    "guid": "The GUID of the episode as its feed has it; empty if it has none.",
    "happened_at": "When it was done.",
    "held_at": "When the device asked for it.",
    "href": "A link of the chapter.",
    "id": "The id of the entry.",
    "image": "The address of a picture.",
    "instance": "The address of the server that made the export.",
    "is_default": "Whether it is the collection of all subscriptions, which cannot be deleted.",
    "is_public": "Whether others may see it.",
    "item_count": "How many episodes are in it.",
    "item_title": "The title of the episode as the app knew it.",
    "key": "What the entry is about: a feed, an item, or an id.",
    "kind": "As the feed says: an episode is `full`, `trailer` or `bonus`, a podcast `episodic` or `serial`.",
    "language": "The code of a language, as the feed has it.",
    "likes": "How many listeners saved it.",
    "link": "The address of its page on the web.",
    "links": "Addresses on the web.",
    "list_id": "The playlist or collection that is changed.",
    "medium": "As the feed says: `podcast`, `music`, `video`, …",
    "moved_to": "Where the feed is now; null if it has not moved.",
    "name": "The name for people.",
    "newest_episode_at": "When its newest episode was published.",
    "next_cursor": "The `cursor` of the next page; null on the last.",
    "next_fetch_at": "When the feed will be fetched next.",
    "note": "Some words of the operator.",
    "ok_at": "When the feed was last fetched with success.",
    "place": "The place of the entry in the request.",
    "played": "Whether it was heard to the end, or marked so.",
    "plays": "How many listeners played it.",
    "podcast_guid": "The feed's `podcast:guid`.",
    "position": "Where the listener is, in whole seconds from the start.",
    "CollectionFeedEntry.position": "The place in the order, from 0; null for the order of adding.",
    "PlaylistItemEntry.position": "The place in the order, from 0; null for the order of adding.",
    "privacy": "What others may see: everything, only that somebody did it, or nothing.",
    "public_name": "The name that others see.",
    "published_at": "When the episode was published, as the feed has it.",
    "reason": "Why it stays, for programs.",
    "recorded_at": "When it arrived at the server.",
    "registered_at": "When the device was registered, the last time.",
    "removed_at": "When it was taken out; null if it never was.",
    "rss_feed_title": f"The title of the podcast{_WHERE_KNOWN}",
    "rss_item_title": f"The title of the episode{_WHERE_KNOWN}",
    "rss_source_feed": "The feed: its URL in base64, in the standard alphabet with padding.",
    "rss_source_id": "The feed's id in the app's own directory, if it gave one.",
    "rss_source_item": "The episode: `guid,enclosure_url` in base64, in the standard alphabet with padding.",
    "rule": "The rule that decided, such as `later_wins`.",
    "saved": "Whether it is saved now.",
    "saved_at": "When it was saved, the last time.",
    "schema": "The version of the format of `data`.",
    "scopes": "What the app may do.",
    "score": "How popular it is: newer deeds count more.",
    "score_previous": "The score of a week ago.",
    "season": "The number of the season, as the feed has it.",
    "seconds": "How long the user listened.",
    "settings": "The settings of a scope: a JSON object, encoded as a string.",
    "settled_at": "When the user confirmed or rejected it; null while it waits.",
    "shares": "How often it was shared.",
    "speaker": "Who says it; null if that is not known.",
    "speed": "The playback speed, as a factor; null if no device told.",
    "started": "The second at which the last stretch of listening began; null if no app told.",
    "state": "`queued`: it will be done within seconds.",
    "status": "`success`; or `dry_run` if nothing was to be changed.",
    "subscribed_at": "When the feed was followed, the last time.",
    "subscribers": "How many listeners follow it.",
    "text": "The words.",
    "time_zone": "The time zone of the days and hours: the user's own.",
    "title": "The title.",
    "to": "The last day.",
    "total": "The length of the episode in seconds, as an app told it; null if none did.",
    "type": "What kind of event it is.",
    "DeviceEntry.type": "The kind of device.",
    "ErrorAnswer.type": "`validation_error`: the request is malformed; `client_error`: it is refused for"
    " another reason; `server_error`: the same request may succeed later.",
    "uid": "The id of the podcast on this server, which stays when the feed moves.",
    "unsaved_at": "When it ceased to be saved; null if it never did.",
    "unsubscribed_at": "When the feed was unfollowed; null if it never was.",
    "updated_at": "When it was last changed, by the clock of whoever did it: the later one counts.",
    "url": "An address on the web.",
    "user_id": "The id of the user, `sub` in tokens.",
    "username": "The user's name; null for somebody who wants to be anonymous.",
    "version": "The number of the event in the user's history, from 1.",
    "warnings": "What is wrong in the feed, but did not keep it from being read.",
    "winner": "Whose value counts: always the server's.",
    "withdrawn_at": "When it was taken back; null if it still holds.",
    "words": "The change in a sentence, in English.",
}
# Examples of what an app meets first; requests have theirs in api/fields.py.
EXAMPLES: dict[str, Any] = {
    "attr": "play_statuses.17.position",
    "code": "invalid",
    "cursor": "WzQyLCI2NGZjOGVkMjYwZWYiLCIiXQ",
    "detail": "Expected an integer, got a string.",
    "device_id": "phone-1",
    "device_name": "Alice's phone",
    "enclosure_url": "https://example.org/1.mp3",
    "feed_url": "https://example.org/feed.xml",
    "guid": "episode-1",
    "position": 754,
    "played": False,
    "rss_feed_title": "Slow Radio",
    "rss_item_title": "The last ferry",
    "rss_source_feed": "aHR0cHM6Ly9leGFtcGxlLm9yZy9mZWVkLnhtbA==",
    "rss_source_item": "ZXBpc29kZS0xLGh0dHBzOi8vZXhhbXBsZS5vcmcvMS5tcDM=",
    "subscribed_at": _AT,
    "total": 1_800,
    "updated_at": _AT,
    "username": "alice",
}


def explain(struct: str, schema: dict[str, Any]) -> None:
    """Add, in place, descriptions and examples to the fields in the schema of a struct that have none.

    A field that the struct's own description names keeps that one.
    """
    own = schema.get("description", "")
    for name, field in schema.get("properties", {}).items():
        if "$ref" in field or _says("description", field):
            continue
        if f"{struct}.{name}" in DESCRIPTIONS or f"`{name}`" not in own:
            field["description"] = DESCRIPTIONS.get(f"{struct}.{name}") or DESCRIPTIONS[name]
        if name in EXAMPLES and f"{struct}.{name}" not in DESCRIPTIONS and not _says("enum", field):
            field["examples"] = [EXAMPLES[name]]


def _says(what: str, field: dict[str, Any]) -> bool:
    """Whether a field's schema has a keyword, in itself or in what it may be or hold."""
    inner = [*field.get("anyOf", ()), *([field["items"]] if "items" in field else [])]
    return what in field or any(what in each or "$ref" in each for each in inner)
