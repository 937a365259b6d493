SELECT projector, position FROM events.projection_versions
