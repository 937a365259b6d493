"""Podcast apps that speak gpodder's protocol."""
