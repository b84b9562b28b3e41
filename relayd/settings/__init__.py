"""Configuration: typed YAML whose mistakes are told with file, line and what to write instead."""
