SELECT head, next - 1 FROM events.restores ORDER BY next
