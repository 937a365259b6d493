DELETE FROM events.snapshots WHERE stream = %s AND version < 2147483647
