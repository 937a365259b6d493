SELECT version, position, state FROM events.snapshots WHERE stream = %s AND schema = %s
