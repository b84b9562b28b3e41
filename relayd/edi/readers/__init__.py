"""The readers: octets of one format in, what their messages say out."""
