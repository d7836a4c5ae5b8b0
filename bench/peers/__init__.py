"""What the service is measured against: a server that does nothing, and another inbox, as small as an honest one is."""
