"""The sandbox: the real service runs a candidate, with recorded requests, before anybody blesses it for service."""
