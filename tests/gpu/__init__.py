"""What only a card can show. Skipped without one."""
