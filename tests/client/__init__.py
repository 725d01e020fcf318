"""The client of the workflow API: ``fake-server request``."""
