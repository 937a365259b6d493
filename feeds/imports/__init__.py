"""What a listener brings along from another sync server: gpodder's protocol, or that of Nextcloud's app."""
