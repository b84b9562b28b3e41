"""Looking inside attachments: in another process that may be killed, with limits on everything a sender can make big.

The worker's side is :mod:`relayd.inspection.inspector`. It decodes the parts of a message into anonymous memory and
hands that to a child (:mod:`relayd.inspection.child`), which walks through archives and documents
(:mod:`relayd.inspection.walk`) and answers with what it saw. Why memory and not a file: docs/decisions/.
"""
