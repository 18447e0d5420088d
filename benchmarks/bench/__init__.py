"""What the middleware costs, beside what others cost, measured in pairs."""
