SELECT fingerprint, position, version, answer FROM events.commands WHERE stream = %s AND id = %s
