"""What listeners type into the pages."""
