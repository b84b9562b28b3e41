"""The policies a sysadmin switches on in policies.yaml, one file each; also the templates for their own."""
