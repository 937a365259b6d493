"""Import a listener's data from another sync server, by gpodder's protocol or that of Nextcloud's app."""
