"""What is known of podcasts beside what listeners do with them. Store: system."""

from django.db import models


class Category(models.Model):
    """What a podcast is about, in two levels: ``parent`` is None at the top.

    The slug never changes: whatever refers to a category does so by it. ``seeded``: made by seed_up, which
    keeps it up to date, and seed_down takes it away; others are the operator's own.
    """

    slug = models.SlugField(primary_key=True, max_length=64)
    name = models.CharField(max_length=100)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="children"
    )
    seeded = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        db_table = '"system"."categories"'
        verbose_name_plural = "categories"
        constraints = [
            models.CheckConstraint(condition=~models.Q(name=""), name="categories_have_names"),
            models.CheckConstraint(
                condition=models.Q(parent=None) | ~models.Q(parent=models.F("slug")),
                name="categories_not_below_themselves",
            ),
        ]

    def __str__(self) -> str:
        return self.name
