"""Tables for a terminal, charts, and documents from templates."""
