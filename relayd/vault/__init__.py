"""Keys and sealing: the keyring, the weekly epochs, and the AES-256-GCM stream format."""
