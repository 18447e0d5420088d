"""Single sign-on: one sign-in for several apps."""
