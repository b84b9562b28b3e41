"""HL7's minimal lower layer protocol: systems hand messages over by TCP, and each is answered when it is safe.

What comes in becomes a mail and takes the way of all mail; ``delivery/mllp.py`` is the way out.
"""
