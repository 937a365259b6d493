from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from operations import feed_identity
from operations.command import OperatorCommand


class Command(OperatorCommand):
    help = "Undo the merge of a feed into another, by you or automatic: both become what they were before."
    details = """
  manage.py feed_unmerge https://old.example/feed.xml

Name the feed by the URL that it had when it was merged, or by the base64 form of it that apps use. The two
are not merged again automatically. If the other feed has since been merged into a third, undo that merge
first.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feed")

    def handle(self, *args: Any, **options: Any) -> None:
        url, kept = feed_identity.unmerge(options["feed"], timezone.now())
        self.stdout.write(f"Unmerged: {url} is a separate feed again, beside {kept}.")
