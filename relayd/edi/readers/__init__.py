"""What each format's messages mean: octets in, a :class:`relayd.edi.model.Reading` out."""
