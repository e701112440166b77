"""What `bitsmith bounds` answers: proved, observed and sufficient widths, and what they cost."""
