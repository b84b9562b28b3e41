"""Write messages from documents: the reverse of :mod:`relayd.edi.readers`, in the forms that systems ask for.

A writer puts each value where the form has a place for it, and into remarks where it hasn't. What is lost all the
same is found by reading what was written (:mod:`relayd.edi.losses`), not by the writer's own word.
"""
