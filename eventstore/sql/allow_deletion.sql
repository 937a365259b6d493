SET LOCAL balados.retention = 'on'
