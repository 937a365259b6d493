"""The pages."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, path, register_converter

from web import (
    account,
    covers,
    episodes,
    fetcher,
    history,
    home,
    opml,
    podcasts,
    privacy,
    readiness,
    styleguide,
    subscriptions,
    timeline,
    trending,
    visibility,
    websub,
)
from web.addresses import FeedConverter, ItemConverter

register_converter(FeedConverter, "feed")
register_converter(ItemConverter, "item")

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    path("dashboard", home.dashboard, name="dashboard"),
    path("subscriptions", subscriptions.subscriptions, name="subscriptions"),
    path("subscriptions/look", subscriptions.look),
    path("subscriptions/new", subscriptions.new, name="follow"),
    path("subscriptions/import", opml.bring),
    path("subscriptions.opml", opml.take_out),
    path("podcasts/<feed:feed>", podcasts.podcast, name="podcast"),
    path("podcasts/<feed:feed>/follow", subscriptions.follow),
    path("podcasts/<feed:feed>/unfollow", subscriptions.unfollow),
    path("podcasts/<feed:feed>/refresh", podcasts.refresh),
    path("podcasts/<feed:feed>/privacy", visibility.of_podcast),
    path("podcasts/<feed:feed>/hide", trending.hide_podcast),
    path("podcasts/<feed:feed>/show", trending.show_podcast),
    path("episodes/<item:item>", episodes.episode, name="episode"),
    path("episodes/<item:item>/played", episodes.played),
    path("episodes/<item:item>/unplayed", episodes.unplayed),
    path("episodes/<item:item>/save", episodes.save),
    path("episodes/<item:item>/unsave", episodes.unsave),
    path("episodes/<item:item>/privacy", visibility.of_episode),
    path("trending/podcasts", trending.podcasts, name="trending"),
    path("trending/episodes", trending.episodes),
    path("timeline", timeline.timeline, name="timeline"),
    path("timeline/show-all", timeline.show_all),
    path("privacy-manager", privacy.manager, name="privacy"),
    path("privacy-manager/preview", privacy.preview),
    path("privacy-manager/undo/<str:token>", privacy.undo),
    path("history", history.history, name="history"),
    path("settings/account", account.account, name="account"),
    path("settings/language", account.language, name="language"),
    path("settings/moves", account.moves),
    path("styleguide", styleguide.styleguide, name="styleguide"),
    path("about/fetcher", fetcher.fetcher, name="fetcher"),
    path("health/live", readiness.live, name="live"),
    path("health/ready", readiness.ready, name="ready"),
    *covers.paths,
    *(websub.paths if settings.WEBSUB else ()),
]
