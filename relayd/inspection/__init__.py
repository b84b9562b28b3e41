"""Looking inside attachments, in a killable process with a memory limit."""
