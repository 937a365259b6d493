"""How passwords are hashed."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class SmallArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id at OWASP's second setting: 19 MiB, two passes, one thread.

    Django's own takes 100 MiB and 8 threads for each hash (143 ms here against 19 ms): sixteen log-ins at
    once would take 1.6 GB, and end the small machines that this is made for.
    """

    memory_cost = 19_456
    time_cost = 2
    parallelism = 1
