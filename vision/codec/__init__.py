"""Files to pixels and back. `header` needs Pillow alone; nothing here imports torch."""
