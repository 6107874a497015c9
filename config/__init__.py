"""Settings, logging and tracing."""
