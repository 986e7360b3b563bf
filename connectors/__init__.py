"""From the networks to social events: each connector reads one source and says how far it has got."""
