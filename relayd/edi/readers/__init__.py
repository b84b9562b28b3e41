"""The readers: octets of one format in, :class:`relayd.edi.model.Reading` out. None raises for what a message holds."""
