"""The version of jr, said once."""

VERSION = "0.1.0"
