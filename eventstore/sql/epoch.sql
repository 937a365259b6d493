SELECT epoch FROM events.restores ORDER BY next DESC LIMIT 1
